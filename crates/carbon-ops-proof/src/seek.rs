//! Finding a line by its number without reading all lines before it.
//!
//! A line tells its own number, so the file can be searched like a sorted list; a hash over what is
//! found tells the caller whether the file told the truth.
//!
//! Out of scope: judging lines.

use std::io;
use std::ops::ControlFlow;

use crate::canonical::{Value, parse};
use crate::entry::MAX_LINE_BYTES;

/// How much is read at a time when lines are read one after the other.
const CHUNK_BYTES: usize = 1 << 18;
/// A stretch of the file that is read rather than searched, and the first attempt at reading a line.
const STRETCH_BYTES: u64 = 1 << 13;
/// So many lines are read one after the other rather than searched.
const NEAR_LINES: u64 = 16;

/// Reads exactly so many bytes from an offset.
pub type ReadAt<'r> = dyn FnMut(u64, usize) -> io::Result<Vec<u8>> + 'r;

/// The offset of the line with this number in a file of `len` bytes; none when it has fewer complete
/// lines. Reads the logarithm of the file's length, or all of it when lines do not tell their number.
pub fn offset_of(seq: u64, len: u64, read: &mut ReadAt<'_>) -> io::Result<Option<u64>> {
    if let Some(offset) = search(seq, len, read)? {
        return Ok(Some(offset));
    }
    let (mut offset, mut number) = (0, 0);
    let mut found = None;
    lines_from(0, len, read, &mut |line| {
        if number == seq {
            found = Some(offset);
            return ControlFlow::Break(());
        }
        number += 1;
        offset += line.len() as u64 + 1;
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Search by proportion and by halves in turn; none when something on the way is not as an honest
/// writer leaves it.
fn search(seq: u64, len: u64, read: &mut ReadAt<'_>) -> io::Result<Option<u64>> {
    // The line at `low` has the number `low_seq`, not above the wanted one; lines from `high` on are
    // beyond it, and the first of them has the number `high_seq` if that is known.
    let (mut low, mut low_seq, mut high, mut high_seq) = (0, 0, len, None);
    // The end first: what it says makes proportions possible.
    let mut probe = len.saturating_sub(STRETCH_BYTES);
    let mut halve = true;
    while high - low > STRETCH_BYTES && seq - low_seq > NEAR_LINES {
        match first_line_after(probe, high, len, read)? {
            None => high = probe.max(low),
            Some((start, line)) => match number(&line) {
                None => return Ok(None),
                Some(found) if found <= seq => (low, low_seq) = (start, found),
                // The line before `start` may be the wanted one, or one that begins before `probe`.
                Some(found) => (high, high_seq) = (start, Some(found)),
            },
        }
        halve = !halve;
        let half = low + (high - low) / 2;
        probe = if halve {
            half
        } else {
            proportional(seq, low, low_seq, high, high_seq).unwrap_or(half)
        };
    }
    let mut skip = seq - low_seq;
    let mut offset = low;
    let mut found = None;
    lines_from(low, len, read, &mut |line| {
        if skip == 0 {
            found = (number(line) == Some(seq)).then_some(offset);
            return ControlFlow::Break(());
        }
        skip -= 1;
        offset += line.len() as u64 + 1;
        if offset > high { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// Somewhat before where the wanted line would be if all lines in between were of one length.
fn proportional(seq: u64, low: u64, low_seq: u64, high: u64, high_seq: Option<u64>) -> Option<u64> {
    let lines = high_seq?.checked_sub(low_seq).filter(|lines| *lines > 0)?;
    let before = seq.checked_sub(low_seq)?.saturating_sub(NEAR_LINES / 2);
    // In 128 bits: the product of two lengths of files does not fit in 64.
    let along = u128::from(high - low) * u128::from(before) / u128::from(lines);
    Some(low + u64::try_from(along).ok()?.min((high - low).saturating_sub(1)))
}

/// The first complete line that begins after `from` and before `before`, with its offset.
fn first_line_after(
    from: u64,
    before: u64,
    len: u64,
    read: &mut ReadAt<'_>,
) -> io::Result<Option<(u64, Vec<u8>)>> {
    let most = 2 * (MAX_LINE_BYTES as u64 + 1);
    for wanted in [STRETCH_BYTES, most] {
        let wanted = wanted.min(len - from);
        let bytes = read(from, usize::try_from(wanted).unwrap_or(usize::MAX))?;
        let mut pieces = bytes.split_inclusive(|byte| *byte == b'\n');
        let Some(head) = pieces.next() else { return Ok(None) };
        let start = from + head.len() as u64;
        if head.ends_with(b"\n") && start >= before {
            return Ok(None);
        }
        if let Some((b'\n', line)) = pieces.next().and_then(<[u8]>::split_last) {
            return Ok(Some((start, line.to_vec())));
        }
    }
    Ok(None)
}

/// Calls `each` with every complete line from `offset` on, until it breaks or the file ends.
pub fn lines_from(
    mut offset: u64,
    len: u64,
    read: &mut ReadAt<'_>,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut rest = Vec::new();
    // Few lines may be wanted, so the first pieces are small.
    let mut chunk = CHUNK_BYTES / 16;
    while offset < len {
        let wanted = usize::try_from(len - offset).unwrap_or(usize::MAX).min(chunk);
        chunk = CHUNK_BYTES.min(chunk * 2);
        rest.extend(read(offset, wanted)?);
        offset += wanted as u64;
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in rest.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            if each(line.strip_suffix(b"\n").unwrap_or(line)).is_break() {
                return Ok(());
            }
        }
        rest.drain(..whole);
        if rest.len() > MAX_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
    }
    Ok(())
}

/// The number that a line gives itself.
pub fn number(line: &[u8]) -> Option<u64> {
    match parse(line).ok()? {
        Value::Object(object) => object.get("seq")?.as_u64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(file: &[u8]) -> impl FnMut(u64, usize) -> io::Result<Vec<u8>> {
        move |offset, len| {
            let offset = usize::try_from(offset).unwrap();
            Ok(file[offset..offset + len].to_vec())
        }
    }

    /// Lines of lengths from 10 to 30,000 bytes, and where each begins.
    fn file(lines: u64) -> (Vec<u8>, Vec<u64>) {
        let (mut file, mut offsets) = (Vec::new(), Vec::new());
        for seq in 0..lines {
            offsets.push(file.len() as u64);
            let padding = "x".repeat(usize::try_from(seq * seq * 7919 % 600).unwrap());
            let long = if seq % 97 == 5 { "y".repeat(30_000) } else { String::new() };
            file.extend(format!("{{\"p\":\"{padding}{long}\",\"seq\":{seq}}}\n").into_bytes());
        }
        (file, offsets)
    }

    #[test]
    fn every_line_is_found_and_none_beyond_the_end() {
        for lines in [1, 2, 3, 50, 700] {
            let (file, offsets) = file(lines);
            let torn = [&file[..], b"{\"seq\":"].concat();
            for file in [&file, &torn] {
                for (seq, offset) in offsets.iter().enumerate() {
                    let found = offset_of(seq as u64, file.len() as u64, &mut reader(file));
                    assert_eq!(found.unwrap(), Some(*offset), "{seq} of {lines}");
                }
                let beyond = offset_of(lines, file.len() as u64, &mut reader(file));
                assert_eq!(beyond.unwrap(), None);
            }
        }
    }

    #[test]
    fn an_honest_file_is_searched_and_not_read() {
        let (file, offsets) = file(3000);
        let mut bytes = 0;
        let mut inner = reader(&file);
        let mut read = |offset, len| {
            bytes += len;
            inner(offset, len)
        };
        let found = offset_of(1234, file.len() as u64, &mut read).unwrap();
        assert_eq!(found, Some(offsets[1234]));
        assert!(bytes < file.len() / 4, "{bytes} of {}", file.len());
    }

    #[test]
    fn whatever_a_file_says_the_search_ends_and_does_not_panic() {
        let seqs = [3, u64::MAX >> 11, 0, 7, 5_000, 1, 2_000_000, 4];
        for shift in 0..8 {
            let line = |n: usize| format!("{{\"seq\":{}}}\n", seqs[(n + shift) % 8]);
            let mut file: Vec<u8> = (0..3000).flat_map(|n| line(n).into_bytes()).collect();
            file.extend(b"x".repeat(20_000 * shift));
            for seq in [0, 1, 4, 1999, 2999, 3000, u64::MAX] {
                let found = offset_of(seq, file.len() as u64, &mut reader(&file));
                assert!(found.is_err() || seq < 3000 || found.unwrap().is_none());
            }
        }
    }

    #[test]
    fn lines_that_lie_about_their_number_are_counted() {
        let file = b"{\"seq\":9}\n".repeat(3000);
        let found = offset_of(2000, file.len() as u64, &mut reader(&file)).unwrap();
        assert_eq!(found, Some(20_000));
    }
}
