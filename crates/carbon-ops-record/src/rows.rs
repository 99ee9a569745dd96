//! Rows of bytes in bounded memory, in order and by their first bytes: what has to be known of each of many
//! records, however many they are.
//!
//! Rows are held until they are `HELD`, and then laid down, sorted, as a run; as many runs of one size are merged into
//! one, so that few have to be asked. A row is found in a run by a filter, which nearly always says that it is not there,
//! and by the first bytes of each block.
//!
//! Of each million rows that can be found 1.3 MB stay in memory, their filter and the beginnings of their blocks; of
//! others nothing.
//!
//! Out of scope: where runs lie, which the caller gives as something to read and write.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// How many rows are held before they are laid down.
const HELD: usize = 1 << 15;

/// So many runs of one size are merged into one.
const MERGED: usize = 8;

/// How many rows are read at a time.
const BLOCK: usize = 64;

/// Bits of the filter for each row, of which each row sets [`MARKS`]: of what is not there it lets 1 in 33 pass.
const BITS: usize = 8;
const MARKS: usize = 3;

/// Something in which a run lies, such as a file that nobody else knows of.
pub trait Scratch: Read + Write + Seek {}

impl<T: Read + Write + Seek> Scratch for T {}

/// Makes a scratch when one is needed.
pub type NewScratch<'s> = &'s dyn Fn() -> io::Result<Box<dyn Scratch>>;

/// Rows of `N` bytes, no two of which are equal. They can be found by their first `K` bytes, which differ in any two of
/// them; with 0 they can only be read in order.
pub struct Rows<'s, const N: usize, const K: usize> {
    most_held: usize,
    held: BTreeSet<[u8; N]>,
    /// The largest ones first.
    runs: Vec<Run<N, K>>,
    new_scratch: NewScratch<'s>,
}

impl<const N: usize, const K: usize> fmt::Debug for Rows<'_, N, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, runs) = (self.held.len(), self.runs.len());
        f.debug_struct("Rows").field("held", &held).field("runs", &runs).finish_non_exhaustive()
    }
}

impl<'s, const N: usize, const K: usize> Rows<'s, N, K> {
    /// No rows yet.
    pub fn new(new_scratch: NewScratch<'s>) -> Self {
        Self::holding(HELD, new_scratch)
    }

    /// The same, of which so many rows are held.
    pub(crate) fn holding(most_held: usize, new_scratch: NewScratch<'s>) -> Self {
        Self { most_held, held: BTreeSet::new(), runs: Vec::new(), new_scratch }
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
        let held = std::mem::take(&mut self.held);
        self.runs.push(Run::of((self.new_scratch)()?, held, Vec::new())?);
        // Those of one size are the last ones.
        while let Some(size) = self.runs.last().map(|run| run.rows)
            && let first = self.runs.partition_point(|run| run.rows > size)
            && self.runs.len() - first == MERGED
        {
            let runs = self.runs.split_off(first);
            self.runs.push(Run::of((self.new_scratch)()?, BTreeSet::new(), runs)?);
        }
        Ok(())
    }

    /// The row with this key.
    ///
    /// # Errors
    /// When the scratch cannot be read.
    pub fn find(&mut self, key: &[u8; K]) -> io::Result<Option<[u8; N]>> {
        let mut least = [0; N];
        least.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let held = self.held.range(least..).next().filter(|row| row.starts_with(key));
        if let Some(held) = held {
            return Ok(Some(*held));
        }
        let marks = marks(key);
        for run in &mut self.runs {
            if !marks.iter().all(|mark| run.filter.has(*mark)) {
                continue;
            }
            let after = run.beginnings.partition_point(|first| first <= key);
            let Some(block) = after.checked_sub(1) else { continue };
            let rows = run.block(block * BLOCK)?;
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
        self,
        each: impl FnMut(&[u8; N]) -> Result<(), E>,
    ) -> Result<(), E> {
        in_order(self.held, self.runs, each)
    }
}

/// The rows that are held and those of runs in ascending order.
fn in_order<const N: usize, const K: usize, E: From<io::Error>>(
    held: BTreeSet<[u8; N]>,
    mut runs: Vec<Run<N, K>>,
    mut each: impl FnMut(&[u8; N]) -> Result<(), E>,
) -> Result<(), E> {
    // Of each run the rows that were read, the next one last, and how many were; of those held too.
    let mut ready = vec![(Vec::new(), 0); runs.len()];
    ready.push((held.into_iter().rev().collect(), 0));
    let sources = ready.len();
    let mut next = |from: usize| {
        let Some((rows, read)) = ready.get_mut(from) else { return Ok::<_, io::Error>(None) };
        if let (true, Some(run)) = (rows.is_empty(), runs.get_mut(from)) {
            *rows = run.block(*read)?;
            *read += rows.len();
            rows.reverse();
        }
        Ok(rows.pop().map(|row| Reverse((row, from))))
    };
    let mut heap = BinaryHeap::new();
    for from in 0..sources {
        heap.extend(next(from)?);
    }
    while let Some(Reverse((row, from))) = heap.pop() {
        each(&row)?;
        heap.extend(next(from)?);
    }
    Ok(())
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

/// Rows that were laid down, sorted.
struct Run<const N: usize, const K: usize> {
    scratch: Box<dyn Scratch>,
    rows: usize,
    /// The key of the first row of each block.
    beginnings: Vec<[u8; K]>,
    filter: Filter,
}

impl<const N: usize, const K: usize> Run<N, K> {
    /// Lays down the rows that are held and those of other runs.
    fn of(scratch: Box<dyn Scratch>, held: BTreeSet<[u8; N]>, runs: Vec<Self>) -> io::Result<Self> {
        let rows = held.len() + runs.iter().map(|run| run.rows).sum::<usize>();
        let mut filter = Filter(vec![0; if K > 0 { (rows * BITS).div_ceil(64) } else { 0 }]);
        let (mut beginnings, mut number) = (Vec::new(), 0);
        let mut to = BufWriter::with_capacity(1 << 16, scratch);
        in_order(held, runs, |row| {
            if let Some(key) = row.first_chunk().filter(|_| K > 0) {
                if number % BLOCK == 0 {
                    beginnings.push(*key);
                }
                for mark in marks(key) {
                    filter.mark(mark);
                }
            }
            number += 1;
            to.write_all(row)
        })?;
        let scratch = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { scratch, rows, beginnings, filter })
    }

    /// The rows from a number on, as many as are read at a time.
    fn block(&mut self, from: usize) -> io::Result<Vec<[u8; N]>> {
        let mut block = vec![[0; N]; self.rows.saturating_sub(from).min(BLOCK)];
        self.scratch.seek(SeekFrom::Start((from * N) as u64))?;
        self.scratch.read_exact(block.as_flattened_mut())?;
        Ok(block)
    }
}

/// Which keys may be there.
struct Filter(Vec<u64>);

impl Filter {
    fn place(&self, mark: u64) -> (usize, u64) {
        let bit = mark % (self.0.len() as u64 * 64).max(1);
        (usize::try_from(bit / 64).unwrap_or(usize::MAX), 1 << (bit % 64))
    }

    fn mark(&mut self, mark: u64) {
        let (word, bit) = self.place(mark);
        self.0.get_mut(word).into_iter().for_each(|word| *word |= bit);
    }

    fn has(&self, mark: u64) -> bool {
        let (word, bit) = self.place(mark);
        self.0.get(word).is_some_and(|word| word & bit != 0)
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
            let mut rows = Rows::<'_, 5, 2>::holding(held, &open);
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
        let mut rows = Rows::<'_, 1, 1>::holding(2, &|| Err(io::ErrorKind::StorageFull.into()));
        rows.add([1]).unwrap();
        assert_eq!(rows.add([2]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
