//! The leaf hash of any line that has passed, for records that name earlier ones.
//!
//! References point backward, so each is looked up when it is met. Where the ledger can be read again,
//! the place of every 64th line is kept (8 bytes; 1.2 MB for ten million lines) and a lookup reads and
//! hashes at most 64 lines; where it is a stream, every leaf is kept (32 bytes a line).
//!
//! Out of scope: what a reference means.

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;

use crate::merkle::{TreeHash, leaf_hash};
use crate::seek::lines_from;

/// How many lines share one place.
const STRIDE: u64 = 64;

/// Reads so many bytes of the ledger that is verified, from an offset.
pub type ReadBack<'a> = dyn Fn(u64, usize) -> io::Result<Vec<u8>> + 'a;

/// Leaves of the lines so far.
#[derive(Clone)]
pub(super) struct Leaves<'a> {
    read: Option<&'a ReadBack<'a>>,
    /// With something to read from: where lines 0, 64, 128, … begin.
    places: Vec<u64>,
    /// Without: all leaves.
    kept: Vec<TreeHash>,
    lines: u64,
    bytes: u64,
}

impl std::fmt::Debug for Leaves<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaves").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<'a> Leaves<'a> {
    pub(super) fn new(read: Option<&'a ReadBack<'a>>) -> Self {
        Self { read, places: Vec::new(), kept: Vec::new(), lines: 0, bytes: 0 }
    }

    /// The next line, which has `bytes` with its newline.
    pub(super) fn push(&mut self, leaf: TreeHash, bytes: u64) {
        if self.read.is_none() {
            self.kept.push(leaf);
        } else if self.lines.is_multiple_of(STRIDE) {
            self.places.push(self.bytes);
        }
        self.lines += 1;
        self.bytes += bytes;
    }

    /// The leaf with this number; none when there is no such line yet.
    pub(super) fn leaf(&self, number: u64) -> io::Result<Option<TreeHash>> {
        if number >= self.lines {
            return Ok(None);
        }
        let at = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
        let Some(read) = self.read else { return Ok(self.kept.get(at(number)).copied()) };
        let Some(place) = self.places.get(at(number / STRIDE)) else { return Ok(None) };
        let (mut left, mut leaf) = (number % STRIDE, None);
        let mut each = |line: &[u8]| {
            if left > 0 {
                left -= 1;
                return ControlFlow::Continue(());
            }
            leaf = Some(leaf_hash(line));
            ControlFlow::Break(())
        };
        match lines_from(*place, self.bytes, &mut |offset, len| read(offset, len), &mut each) {
            // One of these lines is too long to be an entry, which is a fault by itself.
            Err(e) if e.kind() == ErrorKind::InvalidData => Ok(None),
            other => other.map(|()| leaf),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_is_found_again_by_reading_and_by_memory() {
        let lines: Vec<Vec<u8>> = (0..500)
            .map(|n: usize| format!("{n}{}", "x".repeat(n * 37 % 900)).into_bytes())
            .collect();
        let file: Vec<u8> = lines.iter().flat_map(|l| [&l[..], b"\n"].concat()).collect();
        let read = |offset: u64, len: usize| {
            let offset = usize::try_from(offset).unwrap();
            Ok(file[offset..offset + len].to_vec())
        };
        let (mut reading, mut keeping) = (Leaves::new(Some(&read)), Leaves::new(None));
        for line in &lines {
            for leaves in [&mut reading, &mut keeping] {
                assert_eq!(leaves.leaf(leaves.lines).unwrap(), None);
                leaves.push(leaf_hash(line), line.len() as u64 + 1);
            }
        }
        for (number, line) in lines.iter().enumerate() {
            let leaf = Some(leaf_hash(line));
            assert_eq!(reading.leaf(number as u64).unwrap(), leaf);
            assert_eq!(keeping.leaf(number as u64).unwrap(), leaf);
        }
        assert_eq!((reading.places.len(), reading.kept.len()), (8, 0));
        assert_eq!(format!("{keeping:?}"), "Leaves { lines: 500, .. }");
    }

    /// What cannot be read is an error, what lies behind a line that is too long to be an entry is no leaf.
    #[test]
    fn only_reading_fails() {
        let leaf = |read: &ReadBack<'_>, line: usize| {
            let mut leaves = Leaves::new(Some(read));
            leaves.push(leaf_hash(b"a"), 2);
            leaves.push(leaf_hash(b""), line as u64 + 1);
            leaves.push(leaf_hash(b"b"), 2);
            leaves.leaf(2)
        };
        let line = vec![b'x'; 4 << 20];
        let file = [&b"a\n"[..], &line, b"\nb\n"].concat();
        let read = |offset: u64, len: usize| {
            let offset = usize::try_from(offset).unwrap();
            Ok(file[offset..file.len().min(offset + len)].to_vec())
        };
        assert_eq!(leaf(&read, line.len()).unwrap(), None);
        let gone = |_: u64, _: usize| Err(io::Error::other("gone"));
        assert_eq!(leaf(&gone, 1).unwrap_err().to_string(), "gone");
    }
}
