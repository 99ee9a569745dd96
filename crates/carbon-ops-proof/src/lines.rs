//! Lines of bounded length from a reader: memory stays bounded however long a line is.

use std::io::{self, BufRead, Read as _};

use crate::entry::MAX_LINE_BYTES;

/// One line of input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its content without the newline; of an oversized line one byte more than is allowed.
    pub bytes: Vec<u8>,
    /// How long it really was, without the newline.
    pub len: u64,
    /// Whether a newline ended it.
    pub terminated: bool,
    /// Whether nothing follows it.
    pub last: bool,
}

/// Reads the next line into `line`; false at the end of the input.
pub(crate) fn next_line(reader: &mut impl BufRead, line: &mut Line) -> io::Result<bool> {
    next_line_within(reader, line, MAX_LINE_BYTES)
}

/// Reads the next line, which may have `limit` bytes, into `line`; false at the end of the input.
pub fn next_line_within(
    reader: &mut impl BufRead,
    line: &mut Line,
    limit: usize,
) -> io::Result<bool> {
    line.bytes.clear();
    let there = !at_end(reader)?;
    (line.len, line.terminated) =
        if there { append_line(reader, &mut line.bytes, limit)? } else { (0, false) };
    line.last = !line.terminated || at_end(reader)?;
    Ok(there)
}

/// Appends the next line to `bytes`, without its newline, and of one that has more than `limit` bytes one
/// byte more than that: how long it really is, and whether a newline ended it.
pub(crate) fn append_line(
    reader: &mut impl BufRead,
    bytes: &mut Vec<u8>,
    limit: usize,
) -> io::Result<(u64, bool)> {
    let start = bytes.len();
    let read = reader.by_ref().take(limit as u64 + 2).read_until(b'\n', bytes)?;
    if bytes.len() > start && bytes.ends_with(b"\n") {
        bytes.pop();
        return Ok((read as u64 - 1, true));
    }
    if read <= limit + 1 {
        return Ok((read as u64, false));
    }
    bytes.truncate(start + limit + 1);
    let (more, terminated) = skip(reader)?;
    Ok((read as u64 + more, terminated))
}

/// Passes over the rest of a line: how long it is, and whether a newline ended it.
fn skip(reader: &mut impl BufRead) -> io::Result<(u64, bool)> {
    let mut len = 0;
    while !at_end(reader)? {
        let buffer = reader.fill_buf()?;
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let content = newline.unwrap_or(buffer.len());
        let used = content + usize::from(newline.is_some());
        len += content as u64;
        reader.consume(used);
        if newline.is_some() {
            return Ok((len, true));
        }
    }
    Ok((len, false))
}

/// Whether nothing is left to read.
pub(crate) fn at_end(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        match reader.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(other?.is_empty()),
        }
    }
}

/// Names of which an entry holds several, also one that was tampered with: where a line has any of them, it
/// is for the verification to judge.
const OF_ENTRIES: [&[u8]; 4] =
    [b"\"ledger_id\"", b"\"prev_hash\"", b"\"signing_key\"", b"\"signature\""];

/// Whether a line could be an entry, whatever was done to it. A file of which no line could is no ledger, and accuses nobody.
#[must_use]
pub fn may_be_entry(line: &[u8]) -> bool {
    OF_ENTRIES.iter().any(|name| line.windows(name.len()).any(|part| part == *name))
}
