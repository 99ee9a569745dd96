//! The rule for torn ends: what an interrupted write leaves, told apart from tampering.
//!
//! A writer makes a batch durable before it writes the next one, so a crash leaves at most one batch in
//! doubt: the last [`MAX_BATCH_BYTES`]. Of it the disk may have any sectors, the length of the file may
//! have grown or not, and what was never written reads as zeros. So a torn end begins at the first
//! line, among those that begin so near the end, that cannot have been written whole: one without a
//! newline, or with zeros where sectors are missing. Everything from there on is torn, also lines that
//! look whole: nobody was told that they are there.
//!
//! Used for writing (`carbon-ops-ledger`) and for verifying (`verify.rs`), so that both say the same. Left
//! out: what was signed for, below which nothing is ever torn, and whether the lines before are valid.

use crate::entry::MAX_LINE_BYTES;

/// How many bytes a batch has at most, that is, what is written between two syncs.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// How far from the end of a file a torn end may begin: a batch, and one line, for a writer that died
/// between writing a batch and syncing it, and another that met it and went on.
pub const MAX_TORN_BYTES: usize = MAX_BATCH_BYTES + MAX_LINE_BYTES + 1;

/// The smallest piece that a disk writes whole or not at all. A prior: disks promise 512 bytes or
/// a multiple of it (ATA and `NVMe` call it the logical block).
const SECTOR_BYTES: u64 = 512;

/// Where the torn end begins in the last bytes of a ledger, which stand at `start`, a beginning of a
/// line; none when it is not torn. Offsets are those of the ledger, whose active file begins at
/// `active`: sectors are counted from there.
pub fn begins(end: &[u8], start: u64, active: u64) -> Option<u64> {
    let len = start + end.len() as u64;
    let nearest = len.saturating_sub(MAX_TORN_BYTES as u64);
    // Most ends are in order, and this costs little.
    if end.ends_with(b"\n") && !end.contains(&0) {
        return None;
    }
    let mut at = start;
    for line in end.split_inclusive(|byte| *byte == b'\n') {
        if at >= nearest
            && line_is_torn(line, at.wrapping_sub(active), at + line.len() as u64 == len)
        {
            return Some(at);
        }
        at += line.len() as u64;
    }
    None
}

/// Whether a line, with its newline if it has one, that begins at this offset in its file (modulo 2^64,
/// which sectors divide), cannot have been written whole, but can have been begun. `last` says that the file ends with it.
fn line_is_torn(line: &[u8], offset: u64, last: bool) -> bool {
    let content = line.strip_suffix(b"\n").unwrap_or(line);
    let terminated = content.len() < line.len();
    if has_hole(content, offset, last && !terminated) {
        return true;
    }
    // Without a hole it is the piece of one line that was written, and not longer than one.
    let piece = content.len() <= MAX_LINE_BYTES;
    last && (!terminated && line.len() <= MAX_LINE_BYTES + 1
        || terminated && piece && content.contains(&0))
}

/// Whether there are zeros where sectors are missing: from the beginning of the line, where the write
/// may have begun, or from the beginning of a sector, to the end of one or of the file.
fn has_hole(content: &[u8], offset: u64, ends_file: bool) -> bool {
    let mut from = 0;
    while let Some(zeros) = content.get(from..).and_then(|rest| rest.iter().position(|b| *b == 0)) {
        let begin = from + zeros;
        let rest = content.get(begin..).unwrap_or_default();
        let end = begin + rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        let whole = |at: usize| offset.wrapping_add(at as u64).is_multiple_of(SECTOR_BYTES);
        if (begin == 0 || whole(begin)) && (whole(end) || ends_file && end == content.len()) {
            return true;
        }
        from = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of 100 bytes with their newlines.
    fn lines(count: usize) -> Vec<u8> {
        [vec![b'x'; 99], vec![b'\n']].concat().repeat(count)
    }

    fn zeroed(mut file: Vec<u8>, range: std::ops::Range<usize>) -> Vec<u8> {
        file[range].fill(0);
        file
    }

    #[test]
    fn an_end_in_order_is_not_torn() {
        assert_eq!(begins(b"", 0, 0), None);
        assert_eq!(begins(&lines(30), 0, 0), None);
        assert_eq!(begins(&lines(30), 512, 0), None);
    }

    #[test]
    fn the_first_line_with_a_hole_begins_the_torn_end() {
        // Sector 2 of 6: bytes 1024 to 1535, which lines 10 to 15 have a part in.
        let file = zeroed(lines(30), 1024..1536);
        assert_eq!(begins(&file, 0, 0), Some(1000));
        // Two sectors, the later one found second.
        let file = zeroed(zeroed(lines(30), 2048..2560), 512..1024);
        assert_eq!(begins(&file, 0, 0), Some(500));
        // The beginning of what was written, which is that of line 7, to the end of its sector.
        assert_eq!(begins(&zeroed(lines(30), 700..1024), 0, 0), Some(700));
        // From a sector to the end of the file, which is not a multiple.
        assert_eq!(begins(&zeroed(lines(30), 2560..3000), 0, 0), Some(2500));
        assert_eq!(begins(&zeroed(lines(30), 2500..3000), 0, 0), Some(2500));
        // Offsets are the file's: the same bytes elsewhere have no hole at a sector.
        let file = zeroed(lines(30), 1024..1536);
        assert_eq!(begins(&file, 100, 0), None);
        assert_eq!(begins(&file, 1024, 0), Some(2024));
        // And those of the active file, which begins where the sealed ones end.
        assert_eq!(begins(&file, 100, 100), Some(1100));
        assert_eq!(begins(&file, 100, 612), Some(1100));
        assert_eq!(begins(&file, 100, 101), None);
    }

    #[test]
    fn zeros_that_no_missing_sector_leaves_are_a_fault_but_in_the_last_line() {
        for range in [1030..1031, 1024..1025, 1024..1500, 1030..1536, 1000..1001, 1010..1090] {
            assert_eq!(begins(&zeroed(lines(30), range.clone()), 0, 0), None, "{range:?}");
        }
        // The last line may be the whole of a single append.
        assert_eq!(begins(&zeroed(lines(30), 2950..2960), 0, 0), Some(2900));
        // And a hole before it begins the torn end earlier.
        assert_eq!(begins(&zeroed(zeroed(lines(30), 1024..1536), 2950..2960), 0, 0), Some(1000));
    }

    #[test]
    fn a_last_line_without_newline_is_torn_if_it_can_be_one_of_ours() {
        let with = |more: Vec<u8>| [lines(3), more].concat();
        assert_eq!(begins(&with(vec![b'x'; 10]), 0, 0), Some(300));
        assert_eq!(begins(&with(vec![b'x'; MAX_LINE_BYTES + 1]), 0, 0), Some(300));
        assert_eq!(begins(&with(vec![b'x'; MAX_LINE_BYTES + 2]), 0, 0), None);
        // A batch of which only the length reached the disk.
        assert_eq!(begins(&with(vec![0; MAX_BATCH_BYTES]), 0, 0), Some(300));
        assert_eq!(begins(&with(vec![0; MAX_TORN_BYTES]), 0, 0), Some(300));
        assert_eq!(begins(&with(vec![0; MAX_TORN_BYTES + 1]), 0, 0), None);
    }

    #[test]
    fn a_hole_further_from_the_end_than_a_batch_is_a_fault() {
        let count = MAX_TORN_BYTES.div_ceil(100) + 20;
        let file = lines(count);
        let nearest = file.len() - MAX_TORN_BYTES;
        let sector = nearest.next_multiple_of(512) + 512;
        let torn = zeroed(file.clone(), sector..sector + 512);
        assert_eq!(begins(&torn, 0, 0), Some((sector / 100 * 100) as u64));
        let sector = nearest / 512 * 512 - 512;
        assert_eq!(begins(&zeroed(file, sector..sector + 512), 0, 0), None);
    }
}
