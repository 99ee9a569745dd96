//! Rows of bytes in bounded memory, in order and by their first bytes: what has to be known of each of many
//! records, however many they are.
//!
//! Rows are held until they are `HELD`, and then laid down, sorted, as a run. A row is found in a run by a
//! filter, which nearly always says that it is not there, and by the first bytes of each block.
//!
//! Of each million rows 3 MB stay in memory: their filter and the beginnings of their blocks.
//!
//! Out of scope: where runs lie, which the caller gives as something to read and write.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// How many rows are held before they are laid down.
const HELD: usize = 1 << 15;

/// How many rows are read at a time.
const BLOCK: usize = 64;

/// Bits of the filter for each row, of which each row sets [`MARKS`]: of what is not there it lets 1 in 400 pass.
const BITS: usize = 16;
const MARKS: usize = 4;

/// Something in which runs lie, such as a file that nobody else knows of.
pub trait Scratch: Read + Write + Seek {}

impl<T: Read + Write + Seek> Scratch for T {}

/// Makes a scratch when one is needed.
pub type NewScratch<'s> = &'s dyn Fn() -> io::Result<Box<dyn Scratch>>;

/// Rows of `N` bytes, no two of which are equal.
pub struct Rows<'s, const N: usize> {
    /// By so many of its first bytes a row is found.
    key: usize,
    most_held: usize,
    held: BTreeSet<[u8; N]>,
    runs: Vec<Run>,
    new_scratch: NewScratch<'s>,
    scratch: Option<Box<dyn Scratch>>,
}

impl<const N: usize> fmt::Debug for Rows<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, runs) = (self.held.len(), self.runs.len());
        f.debug_struct("Rows").field("held", &held).field("runs", &runs).finish_non_exhaustive()
    }
}

/// Rows that were laid down, sorted.
struct Run {
    /// Where it begins, in rows.
    first: u64,
    rows: usize,
    /// The key of the first row of each block.
    beginnings: Vec<Box<[u8]>>,
    filter: Vec<u64>,
}

impl<'s, const N: usize> Rows<'s, N> {
    /// Rows that can be found by so many of their first bytes, which differ in any two of them; with 0 they can only
    /// be read in order.
    pub fn new(key: usize, new_scratch: NewScratch<'s>) -> Self {
        Self::holding(HELD, key, new_scratch)
    }

    /// The same, of which so many rows are held.
    pub(crate) fn holding(most_held: usize, key: usize, new_scratch: NewScratch<'s>) -> Self {
        let (held, runs) = (BTreeSet::new(), Vec::new());
        Self { key, most_held, held, runs, new_scratch, scratch: None }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When there is no scratch, or it cannot be written.
    pub fn add(&mut self, row: [u8; N]) -> io::Result<()> {
        self.held.insert(row);
        if self.held.len() < self.most_held {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.held);
        let mut run = Run {
            first: self.runs.last().map_or(0, |run| run.first + run.rows as u64),
            rows: rows.len(),
            beginnings: Vec::new(),
            filter: vec![0; if self.key > 0 { (rows.len() * BITS).div_ceil(64) } else { 0 }],
        };
        let mut bytes = Vec::with_capacity(rows.len() * N);
        for (number, row) in rows.iter().enumerate() {
            let key = row.get(..self.key).unwrap_or_default();
            if self.key > 0 && number % BLOCK == 0 {
                run.beginnings.push(key.into());
            }
            for mark in marks(key) {
                run.mark(mark);
            }
            bytes.extend_from_slice(row);
        }
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert((self.new_scratch)()?),
        };
        scratch.seek(SeekFrom::Start(run.first * N as u64))?;
        scratch.write_all(&bytes)?;
        self.runs.push(run);
        Ok(())
    }

    /// The row with this key.
    ///
    /// # Errors
    /// When the scratch cannot be read.
    pub fn find(&mut self, key: &[u8]) -> io::Result<Option<[u8; N]>> {
        let mut least = [0; N];
        least.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let held = self.held.range(least..).next().filter(|row| row.starts_with(key));
        let (Some(scratch), None) = (&mut self.scratch, held) else { return Ok(held.copied()) };
        let marks = marks(key);
        for run in self.runs.iter().filter(|run| marks.iter().all(|mark| run.has(*mark))) {
            let after = run.beginnings.partition_point(|first| &**first <= key);
            let Some(block) = after.checked_sub(1) else { continue };
            let rows = read_block(scratch, run, block * BLOCK)?;
            if let Some(row) = rows.into_iter().find(|row| row.starts_with(key)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// All rows in ascending order.
    ///
    /// # Errors
    /// What `each` returns, or when the scratch cannot be read.
    pub fn in_order<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(&[u8; N]) -> Result<(), E>,
    ) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        // Of each run the rows that were read, the next one last; of those held too.
        let mut ready: Vec<Vec<[u8; N]>> = self.runs.iter().map(|_| Vec::new()).collect();
        let mut next_of_run = vec![0; self.runs.len()];
        ready.push(held.into_iter().rev().collect());
        let mut heap = BinaryHeap::new();
        let mut next = |from: usize| {
            let Some(rows) = ready.get_mut(from) else { return Ok::<_, io::Error>(None) };
            if let (true, Some(run), Some(at), Some(scratch)) =
                (rows.is_empty(), self.runs.get(from), next_of_run.get_mut(from), &mut self.scratch)
            {
                *rows = read_block(scratch, run, *at)?;
                *at += rows.len();
                rows.reverse();
            }
            Ok(rows.pop().map(|row| Reverse((row, from))))
        };
        for from in 0..=self.runs.len() {
            heap.extend(next(from)?);
        }
        while let Some(Reverse((row, from))) = heap.pop() {
            each(&row)?;
            heap.extend(next(from)?);
        }
        Ok(())
    }
}

/// The bytes of a number, which have its order.
#[must_use]
pub fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The number of such bytes.
#[must_use]
pub fn number(ordered: [u8; 8]) -> i64 {
    (u64::from_be_bytes(ordered) ^ (1 << 63)).cast_signed()
}

/// A row of these parts, which fill it.
#[must_use]
pub fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut row = [0; N];
    row.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
    row
}

/// Takes the next part of a row, which is there.
pub fn split<const N: usize>(row: &mut &[u8]) -> [u8; N] {
    let Some((part, rest)) = row.split_first_chunk() else { return [0; N] };
    *row = rest;
    *part
}

impl Run {
    fn place(&self, mark: u64) -> (usize, u64) {
        let bit = mark % (self.filter.len() as u64 * 64).max(1);
        (usize::try_from(bit / 64).unwrap_or(usize::MAX), 1 << (bit % 64))
    }

    fn mark(&mut self, mark: u64) {
        let (word, bit) = self.place(mark);
        self.filter.get_mut(word).into_iter().for_each(|word| *word |= bit);
    }

    fn has(&self, mark: u64) -> bool {
        let (word, bit) = self.place(mark);
        self.filter.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// Where a filter has bits for a key, before they are cut to its length.
fn marks(key: &[u8]) -> [u64; MARKS] {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    let (mut mark, step) = (hash, hash.rotate_left(32) | 1);
    [(); MARKS].map(|()| {
        mark = mark.wrapping_add(step);
        mark
    })
}

/// The rows of a run from a number on, as many as are read at a time.
fn read_block<const N: usize>(
    scratch: &mut Box<dyn Scratch>,
    run: &Run,
    from: usize,
) -> io::Result<Vec<[u8; N]>> {
    let rows = run.rows.saturating_sub(from).min(BLOCK);
    let mut block = vec![[0; N]; rows];
    scratch.seek(SeekFrom::Start((run.first + from as u64) * N as u64))?;
    scratch.read_exact(block.as_flattened_mut())?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is held and whatever is laid down, rows are those that were added.
        #[test]
        fn rows_are_found_and_come_in_order(
            numbers in prop::collection::btree_set(0..2_000_u16, 0..400),
            order in any::<u64>(), held in 1..100_usize,
        ) {
            let open = || Ok(Box::new(io::Cursor::new(Vec::new())) as Box<dyn Scratch>);
            let mut rows = Rows::<'_, 5>::holding(held, 2, &open);
            let row = |number: u16| {
                let [a, b] = number.to_be_bytes();
                [a, b, b, a, 7]
            };
            let mut shuffled: Vec<_> = numbers.iter().copied().collect();
            shuffled.sort_by_key(|number| u64::from(*number).wrapping_mul(order | 1).rotate_left(17));
            for number in shuffled {
                prop_assert_eq!(rows.find(&number.to_be_bytes()).unwrap(), None);
                rows.add(row(number)).unwrap();
            }
            for number in 0..2_000 {
                let expected = numbers.contains(&number).then(|| row(number));
                prop_assert_eq!(rows.find(&number.to_be_bytes()).unwrap(), expected);
            }
            let mut read = Vec::new();
            rows.in_order::<io::Error>(|row| { read.push(*row); Ok(()) }).unwrap();
            prop_assert_eq!(read, numbers.into_iter().map(row).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_scratch_that_fails_is_told() {
        let mut rows = Rows::<'_, 1>::holding(2, 1, &|| Err(io::ErrorKind::StorageFull.into()));
        rows.add([1]).unwrap();
        assert_eq!(rows.add([2]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
