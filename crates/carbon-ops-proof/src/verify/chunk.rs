//! Cutting a stream into pieces of whole lines, so that several threads can look at lines. Memory
//! stays bounded however long a line is. Left out: what a line says.

use std::io::{self, BufRead, Read as _};

use super::line::StoredLine;
use crate::entry::MAX_LINE_BYTES;

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
            if self.at_end()? {
                // Only a stream without any byte is noticed here.
                self.done = true;
                break;
            }
            let mut span = self.line(&mut chunk.bytes)?;
            self.done = !span.terminated || self.at_end()?;
            span.last = self.done;
            self.lines += 1;
            chunk.spans.push(span);
        }
        Ok(())
    }

    /// Reads one line, of which at least a byte is there.
    fn line(&mut self, bytes: &mut Vec<u8>) -> io::Result<Span> {
        const MOST: usize = MAX_LINE_BYTES + 1;
        let start = bytes.len();
        let read = self.reader.by_ref().take(MOST as u64 + 1).read_until(b'\n', bytes)?;
        let mut len = read as u64;
        let mut terminated = bytes.len() > start && bytes.ends_with(b"\n");
        if terminated {
            bytes.pop();
            len -= 1;
        } else if read > MOST {
            bytes.truncate(start + MOST);
            let (more, ended) = self.skip()?;
            len += more;
            terminated = ended;
        }
        Ok(Span { end: bytes.len(), len, terminated, last: false })
    }

    /// Passes over the rest of a line: how long it is, and whether a newline ended it.
    fn skip(&mut self) -> io::Result<(u64, bool)> {
        let mut len = 0;
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok((len, false));
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let content = newline.unwrap_or(buffer.len());
            let used = content + usize::from(newline.is_some());
            len += content as u64;
            self.reader.consume(used);
            if newline.is_some() {
                return Ok((len, true));
            }
        }
    }

    fn at_end(&mut self) -> io::Result<bool> {
        loop {
            match self.reader.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?.is_empty()),
            }
        }
    }
}
