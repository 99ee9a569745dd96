//! Lines of bounded length from a reader: memory stays bounded however long a line is.

use std::io::{self, BufRead};

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
    (line.len, line.terminated, line.last) = (0, false, false);
    loop {
        let buffer = match reader.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            line.last = true;
            return Ok(line.len > 0 || line.terminated);
        }
        if line.terminated {
            // Only looked ahead: the next line begins here.
            return Ok(true);
        }
        let newline = buffer.iter().position(|b| *b == b'\n');
        let content = buffer.get(..newline.unwrap_or(buffer.len())).unwrap_or_default();
        let room = (limit + 1).saturating_sub(line.bytes.len());
        line.bytes.extend(content.iter().take(room));
        line.len += content.len() as u64;
        line.terminated = newline.is_some();
        let used = content.len() + usize::from(line.terminated);
        reader.consume(used);
    }
}
