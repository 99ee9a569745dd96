//! How a stream is cut into chunks of lines: as if it were read line by line.

use std::io::BufReader;

use proptest::prelude::*;

use super::chunk::{Chunk, Chunks};
use crate::entry::MAX_LINE_BYTES;
use crate::lines::{Line, next_line};

/// A line as text, or its beginning, with all else that is told of it.
type Told = (u64, Vec<u8>, u64, bool, bool);

fn by_chunks(file: &[u8], buffer: usize) -> Vec<Told> {
    let mut chunks = Chunks::new(BufReader::with_capacity(buffer, file));
    let (mut chunk, mut told) = (Chunk::default(), Vec::new());
    while !chunks.done() {
        chunks.read(&mut chunk).unwrap();
        told.extend(
            chunk.lines().map(|l| (l.number, l.bytes.to_vec(), l.len, l.terminated, l.last)),
        );
    }
    told
}

fn one_by_one(file: &[u8]) -> Vec<Told> {
    let (mut reader, mut line, mut told) = (file, Line::default(), Vec::new());
    while next_line(&mut reader, &mut line).unwrap() {
        let number = told.len() as u64 + 1;
        told.push((number, line.bytes.clone(), line.len, line.terminated, line.last));
    }
    told
}

/// A piece ends with the line that makes it long enough, so that memory is bounded.
#[test]
fn pieces_are_not_much_longer_than_they_have_to_be() {
    let file = [vec![b'x'; 999], vec![b'\n']].concat().repeat(1000);
    let (mut chunks, mut chunk) = (Chunks::new(&file[..]), Chunk::default());
    let mut pieces = Vec::new();
    while !chunks.done() {
        chunks.read(&mut chunk).unwrap();
        pieces.push(chunk.lines().count());
    }
    // 2^17 bytes; newlines are not kept.
    assert_eq!(pieces, [132, 132, 132, 132, 132, 132, 132, 76]);
}

proptest! {
    #[test]
    fn pieces_hold_the_same_lines_as_the_stream(
        lengths in prop::collection::vec(
            prop_oneof![0..200_usize, MAX_LINE_BYTES - 2..MAX_LINE_BYTES + 3, 0..200_000_usize],
            0..9,
        ),
        ended in any::<bool>(),
        buffer in prop_oneof![1..50_usize, 1000..100_000_usize],
    ) {
        let mut file = Vec::new();
        for (letter, length) in (b'a'..).zip(lengths) {
            file.extend(std::iter::repeat_n(letter, length));
            file.push(b'\n');
        }
        if !ended {
            file.pop();
        }
        prop_assert_eq!(by_chunks(&file, buffer), one_by_one(&file));
    }
}
