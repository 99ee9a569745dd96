//! Reading the last entries of a ledger without reading all of it.
//!
//! For showing entries to people.
//!
//! Out of scope: verification; what is returned here has only been parsed.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::canonical::{ParseError, Value, parse};
use crate::entry::Entry;
use crate::lines::{Line, next_line};

/// How much is read at a time on the way backward.
const CHUNK_BYTES: u64 = 1 << 16;

/// A line that could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The line is not JSON.
    #[error("line {line}: {source}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The last `count` lines that end with a newline, in the order of the file, with their numbers
/// from 1. A torn line at the end is left out.
///
/// Costs one backward scan over those lines. Their numbers come from the first one's own `seq`;
/// only when that is unreadable are the lines before counted.
///
/// # Errors
///
/// When the file cannot be read.
///
/// ```
/// use std::io::Cursor;
/// let file = Cursor::new("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a");
/// let lines: Vec<_> = carbon_ops_proof::read::last(file, 2).unwrap().map(Result::unwrap).collect();
/// assert_eq!(lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3]);
/// ```
pub fn last<R: Read + Seek>(mut reader: R, count: usize) -> io::Result<Lines<R>> {
    let len = reader.seek(SeekFrom::End(0))?;
    let start = start_of_last(&mut reader, len, count)?;
    reader.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(reader);
    let mut line = Line::default();
    let found = next_line(&mut reader, &mut line)? && line.terminated;
    let number = match Entry::parse(&line.bytes) {
        _ if start == 0 => 1,
        Ok(entry) => entry.seq() + 1,
        Err(_) => count_lines(&mut reader, start)? + 1,
    };
    reader.seek(SeekFrom::Start(start))?;
    Ok(Lines { reader, number, done: !found || count == 0 })
}

/// Iterator over lines; see [`last`].
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    /// Of the next line.
    number: u64,
    done: bool,
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<(u64, Value), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mut line = Line::default();
        match next_line(&mut self.reader, &mut line) {
            Ok(true) if line.terminated => {}
            Ok(_) => {
                self.done = true;
                return None;
            }
            Err(e) => {
                self.done = true;
                return Some(Err(e.into()));
            }
        }
        let number = self.number;
        self.number += 1;
        Some(match parse(&line.bytes) {
            Ok(value) => Ok((number, value)),
            Err(source) => Err(ReadError::Line { line: number, source }),
        })
    }
}

/// The offset at which the last `count` terminated lines begin.
fn start_of_last<R: Read + Seek>(reader: &mut R, len: u64, count: usize) -> io::Result<u64> {
    // The newline that ends the last line, and one more for each line: the one before the first.
    let mut wanted = count.saturating_add(1);
    let mut end = len;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        reader.seek(SeekFrom::Start(start))?;
        chunk.clear();
        reader.by_ref().take(end - start).read_to_end(&mut chunk)?;
        for (index, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            wanted -= 1;
            if wanted == 0 {
                return Ok(start + index as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

/// How many newlines there are before `end`.
#[expect(clippy::naive_bytecount, reason = "rarely needed; not worth a dependency")]
fn count_lines<R: Read + Seek>(reader: &mut BufReader<R>, end: u64) -> io::Result<u64> {
    reader.seek(SeekFrom::Start(0))?;
    let mut before = reader.by_ref().take(end);
    let mut lines = 0;
    loop {
        let buffer = before.fill_buf()?;
        if buffer.is_empty() {
            return Ok(lines);
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let used = buffer.len();
        before.consume(used);
    }
}
