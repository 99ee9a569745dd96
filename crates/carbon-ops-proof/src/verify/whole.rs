//! Passing on what stands before a torn end, so that nobody behind it has to look ahead.
//!
//! Whether zeros in a line are what a crash leaves depends on how far the line is from the end of the
//! file. Where there are none, lines are passed on as they come; where there are, as much is read ahead
//! as a torn end can be long. Memory stays bounded by that. A torn end that is one line with no more
//! wrong than its own form is passed on too: it may be an entry that lacks only its newline.
//!
//! Out of scope: the rule, which is `torn.rs`, and judging lines.

use std::io::{self, BufRead, Read};

use memchr::{memchr, memrchr};

use crate::entry::MAX_LINE_BYTES;
use crate::torn::{self, MAX_TORN_BYTES};

/// How much is read at a time.
const BLOCK_BYTES: usize = 1 << 18;

/// What stands before a torn end.
#[derive(Debug)]
pub(super) struct Whole<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Up to where the buffer was consumed, and may be.
    consumed: usize,
    passed: usize,
    /// Where in the ledger the buffer begins, and its active file.
    offset: u64,
    active: u64,
    /// Whether what has been passed on ends within a line.
    within_line: bool,
    ended: bool,
    torn_bytes: Option<u64>,
}

impl<R: BufRead> Whole<R> {
    pub(super) fn new(reader: R, active: u64) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            consumed: 0,
            passed: 0,
            offset: 0,
            active,
            within_line: false,
            ended: false,
            torn_bytes: None,
        }
    }

    /// After the end: how many bytes of a torn end were not passed on.
    pub(super) fn torn_bytes(&self) -> Option<u64> {
        self.torn_bytes
    }

    /// Passes on more, or finds that there is none.
    fn advance(&mut self) -> io::Result<()> {
        while self.passed == self.consumed && self.torn_bytes.is_none() {
            let held = self.buffer.len() - self.passed;
            if self.ended && held == 0 {
                return Ok(());
            }
            if held == 0 || !self.pass() {
                self.read()?;
            }
        }
        Ok(())
    }

    /// Passes on what is known not to be torn; false when more has to be read to know it.
    fn pass(&mut self) -> bool {
        let held = self.buffer.get(self.passed..).unwrap_or_default();
        let end = if self.within_line {
            // A line so long that it began too far from any end.
            end_of_first_line(held)
        } else {
            match memchr(0, held) {
                Some(zero) => match self.past_zero(zero) {
                    PastZero::Whole(end) => end,
                    PastZero::Unknown => return false,
                    PastZero::Torn(keep) => {
                        self.torn_bytes = Some((held.len() - keep) as u64);
                        keep
                    }
                },
                None => match end_of_last_line(held) {
                    Some(end) => end,
                    None if self.ended || held.len() > MAX_TORN_BYTES => held.len(),
                    None => return false,
                },
            }
        };
        self.within_line = !held.get(..end).unwrap_or_default().ends_with(b"\n");
        self.passed += end;
        true
    }

    /// What may be passed on of what is held, in which the first zero stands there.
    fn past_zero(&self, zero: usize) -> PastZero {
        let held = self.buffer.get(self.passed..).unwrap_or_default();
        if let Some(end) = end_of_last_line(held.get(..zero).unwrap_or_default()) {
            return PastZero::Whole(end);
        }
        if held.len() > MAX_TORN_BYTES {
            // The line begins too far from the end.
            return PastZero::Whole(end_of_first_line(held));
        }
        if !self.ended {
            return PastZero::Unknown;
        }
        let start = self.offset + self.passed as u64;
        let Some(torn) = torn::begins(held, start, self.active).filter(|torn| *torn > 0) else {
            return PastZero::Whole(held.len());
        };
        let keep = usize::try_from(torn - start).unwrap_or(held.len());
        let rest = held.get(keep..).unwrap_or_default();
        if is_one_line(rest) { PastZero::Whole(held.len()) } else { PastZero::Torn(keep) }
    }

    fn read(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.consumed);
        self.offset += self.consumed as u64;
        self.passed -= self.consumed;
        self.consumed = 0;
        let mut block = self.reader.by_ref().take(BLOCK_BYTES as u64);
        self.ended = block.read_to_end(&mut self.buffer)? < BLOCK_BYTES;
        Ok(())
    }
}

/// What is known of bytes with a zero in them.
enum PastZero {
    /// So many are not torn.
    Whole(usize),
    /// All behind so many are torn, and not one line.
    Torn(usize),
    /// More has to be read.
    Unknown,
}

/// Up to where the first line goes, which may be all there is.
fn end_of_first_line(held: &[u8]) -> usize {
    memchr(b'\n', held).map_or(held.len(), |newline| newline + 1)
}

/// Up to where the last line goes that is there as a whole.
fn end_of_last_line(held: &[u8]) -> Option<usize> {
    memrchr(b'\n', held).map(|newline| newline + 1)
}

/// Whether a torn end is one line, as long as a line may be.
fn is_one_line(torn: &[u8]) -> bool {
    match memchr(b'\n', torn) {
        None => torn.len() <= MAX_LINE_BYTES + 1,
        Some(newline) => newline + 1 == torn.len() && newline <= MAX_LINE_BYTES,
    }
}

impl<R: BufRead> Read for Whole<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Whole<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.advance()?;
        Ok(self.buffer.get(self.consumed..self.passed).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.consumed = self.passed.min(self.consumed + amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &[u8], expected: usize) {
        // Readers that give little at a time, and all at once.
        for capacity in [1 + file.len() / 400, 1 << 20] {
            let whole = || Whole::new(io::BufReader::with_capacity(capacity, file), 0);
            let mut pieces = whole();
            let mut read = Vec::new();
            loop {
                let held = pieces.fill_buf().unwrap();
                let len = held.len();
                read.extend_from_slice(held);
                // However long a line is, or a hole.
                assert!(pieces.buffer.len() <= MAX_TORN_BYTES + BLOCK_BYTES);
                if len == 0 {
                    break;
                }
                pieces.consume(len);
            }
            assert!(read == file[..expected], "{} of {}", read.len(), file.len());
            let torn = (expected < file.len()).then(|| (file.len() - expected) as u64);
            assert_eq!(pieces.torn_bytes(), torn);
            let mut at_once = Vec::new();
            whole().read_to_end(&mut at_once).unwrap();
            assert!(at_once == read, "{} of {}", at_once.len(), read.len());
        }
    }

    fn lines(count: usize) -> Vec<u8> {
        [vec![b'x'; 99], vec![b'\n']].concat().repeat(count)
    }

    fn zeroed(mut file: Vec<u8>, range: std::ops::Range<usize>) -> Vec<u8> {
        file[range].fill(0);
        file
    }

    #[test]
    fn what_is_in_order_passes_as_it_is() {
        for count in [0, 1, 30, 30_000] {
            check(&lines(count), 100 * count);
        }
        // Damage that no crash leaves passes too, and so does a last line that may be an entry.
        for range in [0..100, 1030..1031, 2950..2960] {
            check(&zeroed(lines(30), range), 3000);
        }
        check(&lines(30)[..2950], 2950);
        check(&vec![b'x'; 3 * MAX_TORN_BYTES], 3 * MAX_TORN_BYTES);
        let long = [vec![b'x'; 3 * MAX_TORN_BYTES], b"\n".to_vec(), lines(30)].concat();
        check(&long, long.len());
        // The first line appears by a rename.
        let first = [&[0; 512][..], b"x\ny"].concat();
        check(&first, first.len());
        // Lines without anything, and a hole behind one.
        check(b"\n\n\n", 3);
        check(&zeroed(b"\nx\n".repeat(200), 3..4), 600);
        check(&[b"\n".repeat(512), vec![0; 512], lines(2)].concat(), 512);
        check(&vec![0; 3 * MAX_TORN_BYTES], 3 * MAX_TORN_BYTES);
    }

    /// What may be an entry that lacks only its newline is for others to judge, if it is no longer than a line
    /// may be.
    #[test]
    fn a_torn_end_is_one_line_if_nothing_follows_its_newline_and_it_is_not_too_long() {
        let line = |len: usize, end: &[u8]| [&vec![0; len][..], end].concat();
        for (torn, expected) in [
            (line(0, b""), true),
            (line(0, b"\n"), true),
            (line(7, b"\n"), true),
            (line(7, b"\n\n"), false),
            (line(7, b"\nx"), false),
            (line(MAX_LINE_BYTES, b"\n"), true),
            (line(MAX_LINE_BYTES + 1, b"\n"), false),
            // What a write of one line leaves has the length of a line with its newline.
            (line(MAX_LINE_BYTES + 1, b""), true),
            (line(MAX_LINE_BYTES + 2, b""), false),
        ] {
            assert_eq!(is_one_line(&torn), expected, "{} bytes", torn.len());
        }
    }

    #[test]
    fn a_torn_batch_is_kept_back_from_its_first_line_on() {
        check(&zeroed(lines(30), 1024..1536), 1000);
        check(&zeroed(lines(30), 2048..2560), 2000);
        check(&zeroed(lines(30), 2500..2999), 3000);
        // Behind damage that no crash leaves.
        check(&zeroed(zeroed(lines(30), 1030..1031), 2048..2560), 2000);
        // In a line that is read in two blocks, of which only the second has zeros.
        let line = [vec![b'x'; 5000], b"\n".to_vec()].concat();
        let blocks = [lines(2600), line, lines(1)].concat();
        check(&zeroed(blocks, 263_168..263_680), 260_000);
        let long = lines(30_000);
        let at = long.len() / 512 * 512 - 1024;
        check(&zeroed(long.clone(), at..at + 512), at / 100 * 100);
        check(&[long, vec![0; MAX_TORN_BYTES]].concat(), 3_000_000);
    }

    #[test]
    fn a_hole_too_far_from_the_end_passes_and_one_near_it_does_not() {
        let long = lines(30_000);
        let far = 512 * 1000;
        check(&zeroed(long.clone(), far..far + 512), long.len());
        let near = 512 * 5000;
        check(&zeroed(zeroed(long, far..far + 512), near..near + 512), near / 100 * 100);
    }
}
