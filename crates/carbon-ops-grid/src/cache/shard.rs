//! One month of one zone and signal as a file: all rows ever seen, with the sources they name once.
//!
//! Layout, integers little-endian: `COSLOTS1`; length of the head (u32); the head, JSON: the sources; number
//! of rows (u32); rows of 40 bytes; CRC-32 of all before (u32). A row: start (i64, s since 1970), length
//! (u32, s), source (u32), value (f64, g/kWh), changed by the source (i64, µs since 1970, `i64::MIN`: not said),
//! checked by us (i64, s). Two of the source numbers are not sources but gaps: `u32::MAX` nothing said of this
//! time, `u32::MAX − 1` named without a value.
//!
//! A revision is a further row of the same start, behind the older ones: both are kept.
//!
//! Out of scope: files; which rows are fresh.

use std::sync::Arc;

use flate2::Crc;
use jiff::Timestamp;

use carbon_ops_estimate::intensity::{GapReason, Interval, Meta, SLOTS_MAX};

const MAGIC: &[u8; 8] = b"COSLOTS1";
const ROW_BYTES: usize = 40;
const MISSING: u32 = u32::MAX;
const NULL: u32 = u32::MAX - 1;
const CONTRADICTORY: u32 = u32::MAX - 2;
const UNSAID: i64 = i64::MIN;

/// Rows in order of their start; of one start, the newest last.
///
/// They are held as the file has them: a year of quarter hours is read at the cost of its bytes, and what
/// nobody looks at is never unpacked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shard {
    /// Each once.
    sources: Vec<Arc<Meta>>,
    rows: Vec<Packed>,
}

/// A row, unpacked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) interval: Interval,
    pub(crate) value: Value<'a>,
    /// When it was last confirmed.
    pub(crate) checked: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Slot { g_per_kwh: f64, updated_at: Option<Timestamp>, meta: &'a Arc<Meta> },
    Gap(GapReason),
}

/// A row as the file has it, members and units included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Packed {
    start: i64,
    length: u32,
    source: u32,
    g_per_kwh: f64,
    updated: i64,
    checked: i64,
}

// Invariant: of each `Packed` of a shard both ends, `checked` and `updated` are instants, the length is not
// 0, the value is finite and not negative, and the source is one of the shard's, `MISSING`, `NULL` or `CONTRADICTORY`.

impl Packed {
    /// Of whole seconds, and microseconds of the source's change: finer parts are left out. A length of
    /// more than 136 years is cut there.
    fn of(row: &Row<'_>, source: u32) -> Self {
        let (start, end) = (row.interval.start().as_second(), row.interval.end().as_second());
        let (g_per_kwh, updated) = match row.value {
            Value::Slot { g_per_kwh, updated_at, .. } => {
                (g_per_kwh, updated_at.map_or(UNSAID, Timestamp::as_microsecond))
            }
            Value::Gap(_) => (0.0, UNSAID),
        };
        let length = u32::try_from(end - start).unwrap_or(u32::MAX);
        Self { start, length, source, g_per_kwh, updated, checked: row.checked.as_second() }
    }

    /// In seconds since 1970.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// In seconds since 1970.
    pub(crate) fn end(&self) -> i64 {
        self.start.saturating_add(self.length.into())
    }

    /// When it was last confirmed, in seconds since 1970.
    pub(crate) fn checked(&self) -> i64 {
        self.checked
    }

    fn is_slot(&self) -> bool {
        self.source < CONTRADICTORY
    }

    /// Whether it keeps what a shard of so many sources promises.
    fn is_possible(&self, sources: usize) -> bool {
        let second = |at| Timestamp::from_second(at).is_ok();
        let fine =
            self.length > 0 && second(self.start) && second(self.end()) && second(self.checked);
        if !self.is_slot() {
            return fine;
        }
        fine && (self.source as usize) < sources
            && (self.g_per_kwh.is_finite() && self.g_per_kwh >= 0.0)
            && (self.updated == UNSAID || Timestamp::from_microsecond(self.updated).is_ok())
    }

    #[inline]
    fn interval(&self) -> Option<Interval> {
        let second = |second| Timestamp::from_second(second).ok();
        Interval::new(second(self.start)?, second(self.end())?).ok()
    }

    #[inline]
    fn value<'a>(&self, sources: &'a [Arc<Meta>]) -> Option<Value<'a>> {
        Some(match self.source {
            MISSING => Value::Gap(GapReason::Missing),
            NULL => Value::Gap(GapReason::Null),
            CONTRADICTORY => Value::Gap(GapReason::Contradictory),
            source => Value::Slot {
                g_per_kwh: Some(self.g_per_kwh).filter(|v| v.is_finite() && *v >= 0.0)?,
                updated_at: match self.updated {
                    UNSAID => None,
                    updated => Some(Timestamp::from_microsecond(updated).ok()?),
                },
                meta: sources.get(source as usize)?,
            },
        })
    }

    #[cfg(test)]
    fn unpacked<'a>(&self, sources: &'a [Arc<Meta>]) -> Option<Row<'a>> {
        let checked = Timestamp::from_second(self.checked).ok()?;
        Some(Row { interval: self.interval()?, value: self.value(sources)?, checked })
    }

    fn append_to(&self, bytes: &mut Vec<u8>, source: u32) {
        bytes.extend(self.start.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(source.to_le_bytes());
        bytes.extend(self.g_per_kwh.to_le_bytes());
        bytes.extend(self.updated.to_le_bytes());
        bytes.extend(self.checked.to_le_bytes());
    }

    /// `None` when the bytes break what a shard promises.
    fn from_bytes(bytes: &[u8; ROW_BYTES], sources: usize) -> Option<Self> {
        let (start, bytes) = bytes.split_first_chunk::<8>()?;
        let (length, bytes) = bytes.split_first_chunk::<4>()?;
        let (source, bytes) = bytes.split_first_chunk::<4>()?;
        let (value, bytes) = bytes.split_first_chunk::<8>()?;
        let (updated, bytes) = bytes.split_first_chunk::<8>()?;
        let (checked, _) = bytes.split_first_chunk::<8>()?;
        let row = Self {
            start: i64::from_le_bytes(*start),
            length: u32::from_le_bytes(*length),
            source: u32::from_le_bytes(*source),
            g_per_kwh: f64::from_le_bytes(*value),
            updated: i64::from_le_bytes(*updated),
            checked: i64::from_le_bytes(*checked),
        };
        row.is_possible(sources).then_some(row)
    }
}

impl Shard {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All rows.
    #[cfg(test)]
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().filter_map(|row| row.unpacked(&self.sources))
    }

    /// The newest row of each start.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Packed> {
        let next = |number: usize| self.rows.get(number + 1);
        let rows = self.rows.iter().enumerate();
        rows.filter(move |(number, row)| next(*number).is_none_or(|next| next.start != row.start))
            .map(|(_, row)| row)
    }

    /// When and what a row of this shard says.
    #[inline]
    pub(crate) fn value(&self, row: &Packed) -> Option<(Interval, Value<'_>)> {
        Some((row.interval()?, row.value(&self.sources)?))
    }

    /// Whether a value is known of a slot that starts then.
    pub(crate) fn has_value_at(&self, start: Timestamp) -> bool {
        let start = start.as_second();
        let at = self.rows.partition_point(|row| row.start < start);
        let rows = self.rows.get(at..).unwrap_or_default();
        rows.iter().take_while(|row| row.start == start).any(Packed::is_slot)
    }

    /// Takes over what was just fetched. What is known already is confirmed; what is new or another value
    /// is added.
    pub(crate) fn learn(&mut self, row: &Row<'_>) {
        let row = Packed::of(row, self.number(&row.value));
        self.forget_other_cuts(&row);
        let after = self.rows.partition_point(|known| known.start <= row.start);
        let newest = after.checked_sub(1);
        let says_the_same = |known: &Packed| known.length == row.length && self.same(known, &row);
        let confirmed = newest
            .and_then(|at| self.rows.get(at))
            .is_some_and(|known| known.start == row.start && says_the_same(known));
        match newest.and_then(|at| self.rows.get_mut(at)) {
            Some(newest) if confirmed => newest.checked = row.checked,
            // A gap that was filled, or is cut another way, leaves nothing worth keeping.
            Some(newest) if newest.start == row.start && !newest.is_slot() => *newest = row,
            _ => self.rows.insert(after, row),
        }
    }

    /// The number of a value's source, which becomes the shard's.
    fn number(&mut self, value: &Value<'_>) -> u32 {
        let meta = match value {
            Value::Slot { meta, .. } => *meta,
            Value::Gap(GapReason::Null) => return NULL,
            Value::Gap(GapReason::Contradictory) => return CONTRADICTORY,
            Value::Gap(_) => return MISSING,
        };
        // Nearly always that of the row before.
        let known = self.sources.iter().rposition(|known| Arc::ptr_eq(known, meta));
        let known = known.or_else(|| self.sources.iter().position(|known| known == meta));
        let number = known.unwrap_or_else(|| {
            self.sources.push(Arc::clone(meta));
            self.sources.len() - 1
        });
        u32::try_from(number).unwrap_or(MISSING)
    }

    /// Whether two rows are equal, apart from when they were asked for.
    fn same(&self, one: &Packed, other: &Packed) -> bool {
        if !one.is_slot() || !other.is_slot() {
            return one.source == other.source;
        }
        let source = |row: &Packed| self.sources.get(row.source as usize);
        one.g_per_kwh.to_bits() == other.g_per_kwh.to_bits()
            && one.updated == other.updated
            && source(one).zip(source(other)).is_some_and(|(one, other)| {
                one.signal == other.signal
                    && one.timeliness == other.timeliness
                    && one.estimation_method == other.estimation_method
                    && one.warning == other.warning
                    && one.model_version == other.model_version
            })
    }

    /// A provider that changes from hours to quarter hours leaves nothing of the hours: slots of one month
    /// do not overlap.
    fn forget_other_cuts(&mut self, row: &Packed) {
        let clashes = |known: &Packed| {
            known.is_slot()
                && row.is_slot()
                && (known.start, known.length) != (row.start, row.length)
                && known.start.max(row.start) < known.end().min(row.end())
        };
        let at = self.rows.partition_point(|known| known.start < row.start);
        let after = self.rows.partition_point(|known| known.start < row.end());
        let near = self.rows.get(at.saturating_sub(2)..after).unwrap_or_default();
        if near.iter().any(clashes) {
            self.rows.retain(|known| !clashes(known));
        }
    }

    /// The file. A source that no row names any more is left out.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut named: Vec<&Meta> = Vec::new();
        let mut numbers: Vec<Option<u32>> = vec![None; self.sources.len()];
        let mut rows = Vec::with_capacity(self.rows.len() * ROW_BYTES);
        for row in &self.rows {
            let mut number = row.source;
            let at = row.source as usize;
            if let Some((meta, known)) = self.sources.get(at).zip(numbers.get_mut(at)) {
                number = *known.get_or_insert_with(|| {
                    named.push(meta);
                    u32::try_from(named.len() - 1).unwrap_or(MISSING)
                });
            }
            row.append_to(&mut rows, number);
        }
        #[expect(clippy::expect_used, reason = "texts and numbers, whose writing cannot fail")]
        let head = serde_json::to_vec(&named).expect("sources are JSON");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(head);
        bytes.extend(u32::try_from(self.rows.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(rows);
        let crc = crc(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are not a shard, whole and unchanged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if crc(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (head, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let sources: Vec<Meta> = serde_json::from_slice(head).ok()?;
        let sources: Vec<Arc<Meta>> = sources.into_iter().map(Arc::new).collect();
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        if count > SLOTS_MAX || rest.len() != count.checked_mul(ROW_BYTES)? {
            return None;
        }
        let mut rows = Vec::with_capacity(count);
        for row in rest.as_chunks().0 {
            rows.push(Packed::from_bytes(row, sources.len())?);
        }
        rows.is_sorted_by_key(|row| row.start).then_some(Self { sources, rows })
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use carbon_ops_estimate::intensity::Signal;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn meta() -> Arc<Meta> {
        Arc::new(Meta::new("t", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION))
    }

    fn row(meta: &Arc<Meta>, start: i64, value: Option<f64>, checked: i64) -> Row<'_> {
        let interval = Interval::new(at(start), at(start + 900)).unwrap();
        let value = value.map_or(Value::Gap(GapReason::Null), |g_per_kwh| Value::Slot {
            g_per_kwh,
            updated_at: Some(at(checked - 1)),
            meta,
        });
        Row { interval, value, checked: at(checked) }
    }

    fn rows(shard: &Shard) -> Vec<Row<'_>> {
        shard.rows().collect()
    }

    #[test]
    fn a_shard_is_read_as_it_was_written() {
        let (mut shard, meta) = (Shard::default(), meta());
        let values = [Some(342.5), None, Some(0.0), Some(0.1 + 0.2)];
        let learned: Vec<_> =
            (0..).zip(values).map(|(n, value)| row(&meta, 900 * n, value, 1_000_000)).collect();
        for row in &learned {
            shard.learn(row);
        }
        assert_eq!(rows(&shard), learned);
        assert_eq!(rows(&Shard::from_bytes(&shard.to_bytes()).unwrap()), learned);
    }

    /// By hand, as the layout above says.
    #[test]
    fn the_file_is_laid_out_as_it_always_was() {
        let (mut shard, meta) = (Shard::default(), meta());
        shard.learn(&row(&meta, 900, Some(342.5), 1001));
        shard.learn(&row(&meta, 1800, None, 1001));
        let head = serde_json::to_vec(&[&*meta]).unwrap();
        let mut bytes = b"COSLOTS1".to_vec();
        bytes.extend(u32::try_from(head.len()).unwrap().to_le_bytes());
        bytes.extend(head);
        bytes.extend([2, 0, 0, 0]);
        bytes.extend([0x84, 3, 0, 0, 0, 0, 0, 0, 0x84, 3, 0, 0, 0, 0, 0, 0]);
        // 342.5 = 0x4075_6800_0000_0000 (IEEE 754), 1,000,000,000 µs, 1001 s.
        bytes.extend([0, 0, 0, 0, 0, 0x68, 0x75, 0x40]);
        bytes.extend([0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0, 0xe9, 3, 0, 0, 0, 0, 0, 0]);
        bytes.extend([8, 7, 0, 0, 0, 0, 0, 0, 0x84, 3, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
        bytes.extend([0; 8]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0x80, 0xe9, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(shard.to_bytes().split_last_chunk::<4>().unwrap().0, bytes);
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let (mut shard, meta) = (Shard::default(), meta());
        shard.learn(&row(&meta, 0, Some(342.5), 1_000_000));
        let good = shard.to_bytes();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Shard::from_bytes(&bad).is_none(), "byte {at}");
            assert!(Shard::from_bytes(&good[..at]).is_none(), "cut at {at}");
        }
    }

    /// A sum of ours over bytes of somebody else proves nothing: each row is looked at.
    #[test]
    fn rows_that_cannot_be_are_refused_though_the_sum_is_right() {
        let (mut shard, meta) = (Shard::default(), meta());
        for n in 0..3 {
            shard.learn(&row(&meta, 900 * n, Some(342.5), 1_000_000));
        }
        let check = |what: &str, change: fn(&mut Packed)| {
            let mut bad = shard.clone();
            change(&mut bad.rows[1]);
            assert!(Shard::from_bytes(&bad.to_bytes()).is_none(), "{what}");
        };
        assert!(Shard::from_bytes(&shard.to_bytes()).is_some());
        check("before the row before it", |row| row.start = -900);
        check("no instant", |row| row.start = i64::MAX);
        check("empty", |row| row.length = 0);
        check("a source that is not named", |row| row.source = 7);
        check("negative", |row| row.g_per_kwh = -1.0);
        check("not a number", |row| row.g_per_kwh = f64::NAN);
        check("changed at no instant", |row| row.updated = i64::MAX);
        check("checked at no instant", |row| row.checked = i64::MAX);
    }

    proptest! {
        /// Else a row could be lost in silence when it is unpacked.
        #[test]
        fn what_is_possible_can_be_unpacked_and_nothing_else(
            start in edges(i64::from(i32::MIN), Timestamp::MIN.as_second(), Timestamp::MAX.as_second()),
            length in prop_oneof![0..3_u32, any::<u32>()],
            source in prop_oneof![0..3_u32, Just(NULL), Just(MISSING)],
            g_per_kwh in prop_oneof![-1.0..1000.0, any::<f64>()],
            updated in edges(UNSAID, Timestamp::MIN.as_microsecond(), Timestamp::MAX.as_microsecond()),
            checked in edges(0, Timestamp::MIN.as_second(), Timestamp::MAX.as_second()),
        ) {
            let row = Packed { start, length, source, g_per_kwh, updated, checked };
            let sources = [meta(), meta()];
            prop_assert_eq!(row.is_possible(sources.len()), row.unpacked(&sources).is_some());
        }
    }

    /// Numbers around three of note, and any.
    fn edges(a: i64, b: i64, c: i64) -> impl Strategy<Value = i64> {
        let around = (prop_oneof![Just(a), Just(b), Just(c)], -2..3_i64);
        let usual = 1_700_000_000..1_800_000_000_i64;
        prop_oneof![around.prop_map(|(at, off)| at.saturating_add(off)), usual, any::<i64>()]
    }

    #[test]
    fn a_revision_keeps_both_and_a_confirmation_one() {
        let (mut shard, meta) = (Shard::default(), meta());
        let first = row(&meta, 0, Some(1.0), 1000);
        shard.learn(&first);
        let confirmed = Row { checked: at(2000), ..first };
        shard.learn(&confirmed);
        assert_eq!(rows(&shard), [confirmed]);
        let revised = row(&meta, 0, Some(2.0), 3000);
        shard.learn(&revised);
        assert_eq!(rows(&shard), [confirmed, revised]);
        let newest: Vec<_> = shard.newest().filter_map(|row| shard.value(row)).collect();
        assert_eq!(newest, [(revised.interval, revised.value)]);
    }

    #[test]
    fn slots_of_another_length_take_the_place_of_the_old_ones() {
        let (mut shard, meta) = (Shard::default(), meta());
        let mut hour = row(&meta, 0, Some(1.0), 1000);
        hour.interval = Interval::new(at(0), at(3600)).unwrap();
        shard.learn(&hour);
        shard.learn(&row(&meta, 900, Some(2.0), 2000));
        shard.learn(&row(&meta, 0, Some(3.0), 2000));
        let starts: Vec<i64> =
            rows(&shard).iter().map(|row| row.interval.start().as_second()).collect();
        assert_eq!(starts, [0, 900]);
        assert!(rows(&shard).iter().all(|row| row.checked == at(2000)));
    }

    #[test]
    fn a_gap_that_is_filled_is_forgotten() {
        let (mut shard, meta) = (Shard::default(), meta());
        shard.learn(&row(&meta, 0, None, 1000));
        let filled = row(&meta, 0, Some(1.0), 2000);
        shard.learn(&filled);
        assert_eq!(rows(&shard), [filled]);
    }

    #[test]
    fn a_source_that_no_row_names_any_more_is_not_written() {
        let (mut shard, old, new) = (Shard::default(), meta(), meta());
        let new = Arc::new(Meta { fetched_at: Some(at(2000)), ..(*new).clone() });
        let mut hour = row(&old, 0, Some(1.0), 1000);
        hour.interval = Interval::new(at(0), at(3600)).unwrap();
        shard.learn(&hour);
        let quarter = row(&new, 900, Some(2.0), 2000);
        shard.learn(&quarter);
        let read = Shard::from_bytes(&shard.to_bytes()).unwrap();
        assert_eq!(rows(&read), [quarter]);
        assert_eq!(read.sources, std::slice::from_ref(&new));
    }
}
