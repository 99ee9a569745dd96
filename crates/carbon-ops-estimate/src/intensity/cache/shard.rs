//! One month of one zone and signal as a file: all rows ever seen, with the sources they name once.
//!
//! Layout, integers little-endian: `COSLOTS1`; length of the head (u32); the head, JSON: the sources; number
//! of rows (u32); rows of 40 bytes; CRC-32 of all before (u32). A row: start (i64, s since 1970), length
//! (u32, s), source (u32), value (f64, g/kWh), changed by the source (i64, µs since 1970, `i64::MIN`: not said),
//! checked by us (i64, s). Two numbers of sources are no sources but gaps: `u32::MAX` nothing said of this
//! time, `u32::MAX − 1` named without a value.
//!
//! A revision is a further row of the same start, behind the older ones: both are kept.
//!
//! Deliberately absent: files; which rows are fresh.

use std::sync::Arc;

use flate2::Crc;
use jiff::Timestamp;

use crate::intensity::slot::{GapReason, Interval, Meta, SLOTS_MAX};

const MAGIC: &[u8; 8] = b"COSLOTS1";
const ROW_BYTES: usize = 40;
const MISSING: u32 = u32::MAX;
const NULL: u32 = u32::MAX - 1;
const UNSAID: i64 = i64::MIN;

/// Rows in order of their start; of one start, the newest last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shard {
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) interval: Interval,
    pub(crate) value: Value,
    /// When it was last confirmed.
    pub(crate) checked: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Slot { g_per_kwh: f64, updated_at: Option<Timestamp>, meta: Arc<Meta> },
    Gap(GapReason),
}

impl Value {
    /// Whether two say the same; when it was asked is no part of that.
    fn says(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Slot { g_per_kwh, updated_at, meta },
                Self::Slot { g_per_kwh: value, updated_at: updated, meta: other },
            ) => {
                g_per_kwh.to_bits() == value.to_bits()
                    && updated_at == updated
                    && meta.signal == other.signal
                    && meta.timeliness == other.timeliness
                    && meta.estimation_method == other.estimation_method
                    && meta.model_version == other.model_version
            }
            (Self::Gap(reason), Self::Gap(other)) => reason == other,
            _ => false,
        }
    }
}

impl Shard {
    /// Takes over what was just fetched. What is known already is confirmed; what is new or another value
    /// is added.
    pub(crate) fn learn(&mut self, row: Row) {
        self.forget_other_cuts(&row);
        let start = row.interval.start();
        let after = self.rows.partition_point(|known| known.interval.start() <= start);
        let newest = after.checked_sub(1).and_then(|at| self.rows.get_mut(at));
        match newest {
            Some(newest) if newest.interval == row.interval && newest.value.says(&row.value) => {
                newest.checked = row.checked;
            }
            // A gap that was filled, or is cut another way, leaves nothing worth keeping.
            Some(newest)
                if newest.interval.start() == start && matches!(newest.value, Value::Gap(_)) =>
            {
                *newest = row;
            }
            _ => self.rows.insert(after, row),
        }
    }

    /// A provider that changes from hours to quarter hours leaves nothing of the hours: slots of one month
    /// do not overlap.
    fn forget_other_cuts(&mut self, row: &Row) {
        let clashes = |known: &Row| {
            let both = [known, row].iter().all(|row| matches!(row.value, Value::Slot { .. }));
            both && known.interval != row.interval
                && known.interval.intersection(&row.interval).is_some()
        };
        let at = self.rows.partition_point(|known| known.interval.start() < row.interval.start());
        let after = self.rows.partition_point(|known| known.interval.start() < row.interval.end());
        let near = self.rows.get(at.saturating_sub(2)..after).unwrap_or_default();
        if near.iter().any(clashes) {
            self.rows.retain(|known| !clashes(known));
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut metas: Vec<&Arc<Meta>> = Vec::new();
        let mut rows = Vec::with_capacity(self.rows.len() * ROW_BYTES);
        for row in &self.rows {
            let (source, value, updated) = match &row.value {
                Value::Slot { g_per_kwh, updated_at, meta } => {
                    let known = metas.iter().rposition(|known| Arc::ptr_eq(known, meta));
                    let at = known.or_else(|| metas.iter().position(|known| *known == meta));
                    let at = at.unwrap_or_else(|| {
                        metas.push(meta);
                        metas.len() - 1
                    });
                    let updated = updated_at.map_or(UNSAID, Timestamp::as_microsecond);
                    (u32::try_from(at).unwrap_or(MISSING), *g_per_kwh, updated)
                }
                Value::Gap(GapReason::Null) => (NULL, 0.0, UNSAID),
                Value::Gap(_) => (MISSING, 0.0, UNSAID),
            };
            let length = row.interval.end().as_second() - row.interval.start().as_second();
            rows.extend(row.interval.start().as_second().to_le_bytes());
            rows.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
            rows.extend(source.to_le_bytes());
            rows.extend(value.to_le_bytes());
            rows.extend(updated.to_le_bytes());
            rows.extend(row.checked.as_second().to_le_bytes());
        }
        let head = serde_json::to_vec(&metas.iter().map(|meta| &***meta).collect::<Vec<_>>());
        let head = head.unwrap_or_default();
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
        let metas: Vec<Meta> = serde_json::from_slice(head).ok()?;
        let metas: Vec<Arc<Meta>> = metas.into_iter().map(Arc::new).collect();
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        if count > SLOTS_MAX || rest.len() != count.checked_mul(ROW_BYTES)? {
            return None;
        }
        let rows: Option<Vec<Row>> = rest.chunks(ROW_BYTES).map(|row| read(row, &metas)).collect();
        let rows = rows?;
        let in_order = rows.is_sorted_by_key(|row| row.interval.start());
        in_order.then_some(Self { rows })
    }
}

fn read(bytes: &[u8], metas: &[Arc<Meta>]) -> Option<Row> {
    let (start, bytes) = bytes.split_first_chunk::<8>()?;
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    let (source, bytes) = bytes.split_first_chunk::<4>()?;
    let (value, bytes) = bytes.split_first_chunk::<8>()?;
    let (updated, bytes) = bytes.split_first_chunk::<8>()?;
    let (checked, _) = bytes.split_first_chunk::<8>()?;
    let start = i64::from_le_bytes(*start);
    let end = start.checked_add(u32::from_le_bytes(*length).into())?;
    let second = |second| Timestamp::from_second(second).ok();
    let value = match u32::from_le_bytes(*source) {
        MISSING => Value::Gap(GapReason::Missing),
        NULL => Value::Gap(GapReason::Null),
        source => Value::Slot {
            g_per_kwh: Some(f64::from_le_bytes(*value)).filter(|v| v.is_finite() && *v >= 0.0)?,
            updated_at: match i64::from_le_bytes(*updated) {
                UNSAID => None,
                updated => Some(Timestamp::from_microsecond(updated).ok()?),
            },
            meta: Arc::clone(metas.get(source as usize)?),
        },
    };
    let interval = Interval::new(second(start)?, second(end)?).ok()?;
    Some(Row { interval, value, checked: second(i64::from_le_bytes(*checked))? })
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intensity::Signal;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(start: i64, value: Option<f64>, checked: i64) -> Row {
        let meta = Arc::new(Meta::new("t", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
        let interval = Interval::new(at(start), at(start + 900)).unwrap();
        let value = value.map_or(Value::Gap(GapReason::Null), |g_per_kwh| Value::Slot {
            g_per_kwh,
            updated_at: Some(at(checked - 1)),
            meta,
        });
        Row { interval, value, checked: at(checked) }
    }

    #[test]
    fn a_shard_is_read_as_it_was_written() {
        let mut shard = Shard::default();
        for (n, value) in [Some(342.5), None, Some(0.0), Some(0.1 + 0.2)].into_iter().enumerate() {
            shard.learn(row(900 * i64::try_from(n).unwrap(), value, 1_000_000));
        }
        assert_eq!(Shard::from_bytes(&shard.to_bytes()), Some(shard));
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let mut shard = Shard::default();
        shard.learn(row(0, Some(342.5), 1_000_000));
        let good = shard.to_bytes();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(Shard::from_bytes(&bad), None, "byte {at}");
            assert_eq!(Shard::from_bytes(&good[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_revision_keeps_both_and_a_confirmation_one() {
        let mut shard = Shard::default();
        let first = row(0, Some(1.0), 1000);
        shard.learn(first.clone());
        let mut confirmed = first.clone();
        confirmed.checked = at(2000);
        shard.learn(confirmed.clone());
        assert_eq!(shard.rows, [confirmed.clone()]);
        let revised = row(0, Some(2.0), 3000);
        shard.learn(revised.clone());
        assert_eq!(shard.rows, [confirmed, revised]);
    }

    #[test]
    fn slots_of_another_length_take_the_place_of_the_old_ones() {
        let mut shard = Shard::default();
        let mut hour = row(0, Some(1.0), 1000);
        hour.interval = Interval::new(at(0), at(3600)).unwrap();
        shard.learn(hour);
        shard.learn(row(900, Some(2.0), 2000));
        shard.learn(row(0, Some(3.0), 2000));
        let starts: Vec<i64> =
            shard.rows.iter().map(|row| row.interval.start().as_second()).collect();
        assert_eq!(starts, [0, 900]);
        assert!(shard.rows.iter().all(|row| row.checked == at(2000)));
    }

    #[test]
    fn a_gap_that_is_filled_is_forgotten() {
        let mut shard = Shard::default();
        shard.learn(row(0, None, 1000));
        let filled = row(0, Some(1.0), 2000);
        shard.learn(filled.clone());
        assert_eq!(shard.rows, [filled]);
    }
}
