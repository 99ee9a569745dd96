//! Cutting a stream into pieces of whole lines, so that several threads can look at lines. Memory
//! stays bounded however long a line is.
//!
//! Out of scope: what a line says.

use std::io::{self, BufRead};

use super::line::StoredLine;
use crate::entry::MAX_LINE_BYTES;
use crate::lines::{append_line, at_end};

/// A piece is at least so long, but at the end: some milliseconds of work.
const CHUNK_BYTES: usize = 1 << 17;

/// Some lines that follow each other.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The lines without their newlines, one behind the other; of an oversized one the beginning.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// The number of the first line, from 1.
    first: u64,
}

#[derive(Debug)]
struct Span {
    end: usize,
    /// How long the line really is.
    len: u64,
    terminated: bool,
    last: bool,
}

impl Chunk {
    pub(super) fn lines(&self) -> impl Iterator<Item = StoredLine<'_>> {
        let starts = std::iter::once(0).chain(self.spans.iter().map(|span| span.end));
        self.spans.iter().zip(starts).zip(self.first..).map(|((span, start), number)| StoredLine {
            number,
            bytes: self.bytes.get(start..span.end).unwrap_or_default(),
            len: span.len,
            terminated: span.terminated,
            last: span.last,
        })
    }
}

/// The pieces of a stream.
#[derive(Debug)]
pub(super) struct Chunks<R> {
    reader: R,
    /// How many lines were read.
    lines: u64,
    done: bool,
}

impl<R: BufRead> Chunks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, lines: 0, done: false }
    }

    /// Whether nothing is left to read.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    /// Reads the next piece into `chunk`; it has no lines when the stream was empty.
    pub(super) fn read(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        chunk.bytes.clear();
        chunk.spans.clear();
        chunk.first = self.lines + 1;
        while !self.done && chunk.bytes.len() < CHUNK_BYTES {
            if at_end(&mut self.reader)? {
                // Only a stream without any byte is noticed here.
                self.done = true;
                break;
            }
            let (len, terminated) =
                append_line(&mut self.reader, &mut chunk.bytes, MAX_LINE_BYTES)?;
            self.done = !terminated || at_end(&mut self.reader)?;
            self.lines += 1;
            let (end, last) = (chunk.bytes.len(), self.done);
            chunk.spans.push(Span { end, len, terminated, last });
        }
        Ok(())
    }
}
