//! Whether the totals of a ledger's records fit together, and which energy no record covers.
//!
//! The governor's totals never fall within one boot and epoch. So for one host, boot, domain and epoch
//! they are one function of time: what a record says of a later moment is not less than what another says
//! of an earlier one. Jobs that run at the same time overlap, and that is as it should be; energy between
//! totals that no record spans was used by nobody who was recorded, and is named.
//!
//! Coverage is kept on the axis of totals, where overlaps and late records fall into place by
//! themselves. Memory is bounded: [`STREAMS_MAX`] streams, each with [`PIECES_MAX`] covered pieces and
//! as many points of its function. Beyond that the oldest holes are final, though a very long job that
//! ends later might have covered them; so what is uncovered is at most what is reported.
//!
//! Only records of the governor are compared: totals of a run without one begin anew with each process.
//!
//! Out of scope: energy across a new epoch or boot, which no counter knows; the machine's clock is
//! believed to [`CLOCK_STEP`].

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{AttributionMode, Record, timestamp};

/// How many streams (host, boot, domain, epoch) are followed at a time; of more, the one that was not
/// heard of for longest is closed.
pub const STREAMS_MAX: usize = 4096;

/// How many pieces and points are kept of each stream.
pub const PIECES_MAX: usize = 1024;

/// Times that are less apart than this are not put in order. A prior: readings are a tick of the governor
/// old (100 ms), and usual clock services step a clock by less than a second once it runs.
pub const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

/// Totals are rounded to whole µJ, each by less than one.
const ROUNDING_UJ: u64 = 1;

/// How many holes a report lists.
const LISTED_MAX: usize = 1000;

/// How many holes are held until the gaps are known; the energy of more counts as uncovered.
const HELD_MAX: usize = 10_000;

/// What a record says of totals: from where to where, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    host_id: String,
    boot_id: String,
    start: Timestamp,
    end: Timestamp,
    /// Name, epoch, totals in µJ at start and end.
    domains: Vec<(String, u64, u64, u64)>,
}

impl Passage {
    /// Of a measurement by the governor; `None` for a record whose totals cannot be compared with others'.
    pub fn of(record: &Record) -> Option<Self> {
        let measured = record.measurement.as_ref()?;
        let governor = [AttributionMode::GovernorCpuTime, AttributionMode::GovernorEnergy];
        if !governor.contains(&measured.attribution_mode) {
            return None;
        }
        // GPUs are read by each run for itself, from where it begins.
        let counted = measured.domains.iter().filter(|domain| !domain.is_gpu());
        let domains = counted.filter_map(|domain| {
            let (start, end) = domain.start_uj.zip(domain.end_uj)?;
            Some((domain.name.clone(), domain.epoch?.0, start.0, end.0))
        });
        Some(Self {
            host_id: record.host_id.clone()?,
            boot_id: measured.boot_id.clone()?,
            start: record.start_ts.parse().ok()?,
            end: record.end_ts.parse().ok()?,
            domains: domains.collect(),
        })
    }
}

/// A record that contradicts another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the total of {domain} is {uj} uJ at {time}, and entry {other} has {other_uj} uJ at {other_time}: a \
     total never falls"
)]
pub struct Contradiction {
    /// The domain.
    pub domain: String,
    /// The total in µJ.
    pub uj: u64,
    /// When.
    pub time: String,
    /// The number of the other entry.
    pub other: u64,
    /// Its total in µJ.
    pub other_uj: u64,
    /// When.
    pub other_time: String,
}

/// A gap that the ledger records, as far as energy is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGap {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// The host, or all.
    pub host_id: Option<String>,
    /// The domains, or all.
    pub domains: Option<Vec<String>>,
}

/// What follows from all records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Records whose totals were compared.
    pub records: u64,
    /// Records without totals that go on: of no governor.
    pub incomparable: u64,
    /// Each domain of each host.
    pub domains: Vec<DomainReport>,
    /// The first thousand holes that no gap record covers.
    pub holes: Vec<Hole>,
}

impl Report {
    /// Energy in µJ between totals that no record and no gap record covers, over all domains.
    pub fn uncovered_uj(&self) -> u64 {
        self.domains.iter().fold(0, |sum, domain| sum.saturating_add(domain.uncovered_uj))
    }
}

/// One domain of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainReport {
    /// The host.
    pub host_id: String,
    /// The domain.
    pub domain: String,
    /// How many boots and epochs; between them nothing is known.
    pub streams: u64,
    /// Energy that records cover, each µJ once, in µJ.
    pub covered_uj: u64,
    /// Energy between records that no gap record covers, in µJ.
    pub uncovered_uj: u64,
    /// Energy between records that gap records cover, in µJ.
    pub gap_uj: u64,
}

/// Energy between two records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The host.
    pub host_id: String,
    /// The domain.
    pub domain: String,
    /// The number of the entry before it.
    pub after_seq: u64,
    /// When that ended.
    pub from_ts: String,
    /// When the next one began.
    pub to_ts: String,
    /// How much, in µJ.
    pub uncovered_uj: u64,
}

/// Follows the totals of records, in the order of the ledger.
#[derive(Debug, Default)]
pub struct Continuity {
    streams: BTreeMap<Key, Stream>,
    /// When each stream was heard of last, by the count of records.
    clock: u64,
    closed: Closed,
    records: u64,
    incomparable: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    host_id: String,
    domain: String,
    boot_id: String,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Stream {
    heard: u64,
    pieces: Vec<Piece>,
    points: VecDeque<Point>,
}

/// A stretch of totals that records cover, and the times of its ends.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: Point,
    end: Point,
}

/// A total at a time, by an entry.
#[derive(Debug, Clone, Copy)]
struct Point {
    time: Timestamp,
    uj: u64,
    seq: u64,
}

/// What is final.
#[derive(Debug, Default)]
struct Closed {
    /// By host and domain.
    sums: BTreeMap<(String, String), Sum>,
    /// The first holes, with the points on both sides.
    holes: Vec<(Key, Point, Point)>,
}

/// Energies of one domain in µJ.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    streams: u64,
    /// From the first total to the last, over all streams.
    spanned: u64,
    /// In holes, listed or not.
    holes: u64,
    /// In holes that are not listed.
    unlisted: u64,
}

impl Continuity {
    /// Before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// A record that cannot be compared.
    pub fn pass_over(&mut self) {
        self.incomparable += 1;
    }

    /// The next record, of the entry `seq`.
    ///
    /// # Errors
    ///
    /// The first [`Contradiction`] to an earlier record; what does not contradict is taken in all the
    /// same.
    pub fn add(&mut self, seq: u64, passage: &Passage) -> Result<(), Contradiction> {
        self.records += 1;
        self.clock += 1;
        let mut result = Ok(());
        for (domain, epoch, start_uj, end_uj) in &passage.domains {
            let key = Key {
                host_id: passage.host_id.clone(),
                domain: domain.clone(),
                boot_id: passage.boot_id.clone(),
                epoch: *epoch,
            };
            self.make_room(&key);
            let stream = self.streams.entry(key.clone()).or_default();
            stream.heard = self.clock;
            let start = Point { time: passage.start, uj: *start_uj, seq };
            let end = Point { time: passage.end, uj: *end_uj, seq };
            for point in [start, end] {
                if let Err(other) = stream.fits(point) {
                    result = result.and(Err(contradiction(domain, point, other)));
                }
            }
            stream.note(start);
            stream.note(end);
            if let Some(hole) = stream.cover(Piece { start, end }) {
                self.closed.hole(&key, hole);
            }
        }
        result
    }

    /// What follows from all of them, and from the gaps that the ledger records.
    pub fn finish(mut self, gaps: &[KnownGap]) -> Report {
        for (key, stream) in std::mem::take(&mut self.streams) {
            self.closed.close(&key, &stream);
        }
        self.closed.report(gaps, self.records, self.incomparable)
    }

    fn make_room(&mut self, key: &Key) {
        if self.streams.len() < STREAMS_MAX || self.streams.contains_key(key) {
            return;
        }
        let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.heard);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone())
            && let Some(stream) = self.streams.remove(&oldest)
        {
            self.closed.close(&oldest, &stream);
        }
    }
}

impl Stream {
    /// Whether a total is not less than earlier ones and not more than later ones.
    fn fits(&self, point: Point) -> Result<(), Point> {
        // Points are in the order of time, so the nearest on either side decide, if all others fit.
        let before = self
            .points
            .iter()
            .rev()
            .find(|earlier| point.time.duration_since(earlier.time) > CLOCK_STEP);
        let after =
            self.points.iter().find(|later| later.time.duration_since(point.time) > CLOCK_STEP);
        if let Some(earlier) = before.filter(|p| p.uj > point.uj.saturating_add(ROUNDING_UJ)) {
            return Err(*earlier);
        }
        if let Some(later) = after.filter(|p| p.uj.saturating_add(ROUNDING_UJ) < point.uj) {
            return Err(*later);
        }
        Ok(())
    }

    fn note(&mut self, point: Point) {
        let at = self.points.partition_point(|known| known.time <= point.time);
        self.points.insert(at, point);
        if self.points.len() > PIECES_MAX {
            self.points.pop_front();
        }
    }

    /// Takes in what a record covers; a hole that became final, when there is no more room.
    fn cover(&mut self, piece: Piece) -> Option<(Point, Point)> {
        let first = self.pieces.partition_point(|known| known.end.uj < piece.start.uj);
        let last = self.pieces.partition_point(|known| known.start.uj <= piece.end.uj);
        let mut joined = piece;
        for known in self.pieces.get(first..last.max(first)).unwrap_or_default() {
            if known.start.uj < joined.start.uj {
                joined.start = known.start;
            }
            if known.end.uj > joined.end.uj {
                joined.end = known.end;
            }
        }
        self.pieces.splice(first..last.max(first), [joined]);
        if self.pieces.len() <= PIECES_MAX {
            return None;
        }
        // The oldest hole is closed: its two sides are one piece from now on.
        let (oldest, next) = (self.pieces.first().copied()?, self.pieces.get(1).copied()?);
        self.pieces.splice(0..2, [Piece { start: oldest.start, end: next.end }]);
        Some((oldest.end, next.start))
    }
}

impl Closed {
    fn sum(&mut self, key: &Key) -> &mut Sum {
        self.sums.entry((key.host_id.clone(), key.domain.clone())).or_default()
    }

    fn hole(&mut self, key: &Key, (from, to): (Point, Point)) {
        let (uj, listed) = (to.uj.saturating_sub(from.uj), self.holes.len() < HELD_MAX);
        let sum = self.sum(key);
        sum.holes = sum.holes.saturating_add(uj);
        if listed {
            self.holes.push((key.clone(), from, to));
        } else {
            sum.unlisted = sum.unlisted.saturating_add(uj);
        }
    }

    fn close(&mut self, key: &Key, stream: &Stream) {
        for (left, right) in stream.pieces.iter().zip(stream.pieces.iter().skip(1)) {
            self.hole(key, (left.end, right.start));
        }
        let ends = stream.pieces.first().zip(stream.pieces.last());
        let spanned = ends.map_or(0, |(first, last)| last.end.uj.saturating_sub(first.start.uj));
        let sum = self.sum(key);
        sum.streams += 1;
        sum.spanned = sum.spanned.saturating_add(spanned);
    }

    fn report(self, gaps: &[KnownGap], records: u64, incomparable: u64) -> Report {
        let mut domains = self.sums;
        let mut in_gaps: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut holes = Vec::new();
        for (key, from, to) in self.holes {
            let at = (key.host_id.clone(), key.domain.clone());
            let uncovered_uj = to.uj.saturating_sub(from.uj);
            if gaps.iter().any(|gap| gap.covers(&key, from, to)) {
                *in_gaps.entry(at).or_default() += uncovered_uj;
            } else if let Some(sum) = domains.get_mut(&at) {
                sum.unlisted = sum.unlisted.saturating_add(uncovered_uj);
                if holes.len() < LISTED_MAX {
                    let (from_ts, to_ts) = (timestamp(from.time), timestamp(to.time));
                    let (host_id, domain, after_seq) = (key.host_id, key.domain, from.seq);
                    holes.push(Hole { host_id, domain, after_seq, from_ts, to_ts, uncovered_uj });
                }
            }
        }
        let domains = domains.into_iter().map(|((host_id, domain), sum)| DomainReport {
            gap_uj: in_gaps.get(&(host_id.clone(), domain.clone())).copied().unwrap_or(0),
            host_id,
            domain,
            streams: sum.streams,
            covered_uj: sum.spanned.saturating_sub(sum.holes),
            uncovered_uj: sum.unlisted,
        });
        Report { records, incomparable, domains: domains.collect(), holes }
    }
}

impl KnownGap {
    /// Whether this says that the time between two records is a gap.
    fn covers(&self, key: &Key, from: Point, to: Point) -> bool {
        self.host_id.as_ref().is_none_or(|host| *host == key.host_id)
            && self.domains.as_ref().is_none_or(|domains| domains.contains(&key.domain))
            && self.from.duration_since(from.time) <= CLOCK_STEP
            && to.time.duration_since(self.to) <= CLOCK_STEP
    }
}

fn contradiction(domain: &str, point: Point, other: Point) -> Contradiction {
    Contradiction {
        domain: domain.to_owned(),
        uj: point.uj,
        time: timestamp(point.time),
        other: other.seq,
        other_uj: other.uj,
        other_time: timestamp(other.time),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_424_400 + seconds).unwrap()
    }

    /// One domain: from time and total to time and total.
    fn passage(start: (i64, u64), end: (i64, u64)) -> Passage {
        Passage {
            host_id: "host".into(),
            boot_id: "boot".into(),
            start: at(start.0),
            end: at(end.0),
            domains: vec![("package-0".into(), 1, start.1, end.1)],
        }
    }

    fn report(passages: &[Passage], gaps: &[KnownGap]) -> Report {
        let mut continuity = Continuity::new();
        for (seq, passage) in (1..).zip(passages) {
            continuity.add(seq, passage).unwrap();
        }
        continuity.finish(gaps)
    }

    fn gap(from: i64, to: i64) -> KnownGap {
        KnownGap { from: at(from), to: at(to), host_id: None, domains: None }
    }

    #[test]
    fn records_that_go_on_where_the_last_one_ended_leave_nothing_uncovered() {
        let report = report(
            &[
                passage((0, 100), (10, 200)),
                passage((10, 200), (20, 350)),
                passage((20, 350), (30, 400)),
            ],
            &[],
        );
        assert_eq!((report.uncovered_uj(), report.domains[0].covered_uj), (0, 300));
    }

    #[test]
    fn energy_between_records_is_named_with_its_time_and_a_gap_record_covers_it() {
        let records = [passage((0, 100), (10, 200)), passage((60, 950), (70, 1000))];
        let open = report(&records, &[]);
        assert_eq!((open.uncovered_uj(), open.domains[0].covered_uj), (750, 150));
        let hole = &open.holes[0];
        assert_eq!((hole.after_seq, hole.uncovered_uj), (1, 750));
        assert_eq!(hole.from_ts, "2026-11-23T09:00:10.000000Z");
        assert_eq!(hole.to_ts, "2026-11-23T09:01:00.000000Z");
        let covered = report(&records, &[gap(10, 60)]);
        assert_eq!((covered.uncovered_uj(), covered.domains[0].gap_uj), (0, 750));
        // A second at either end may be missing, and no more.
        assert_eq!(report(&records, &[gap(11, 59)]).uncovered_uj(), 0);
        assert_eq!(report(&records, &[gap(12, 60)]).uncovered_uj(), 750);
        let other = KnownGap { host_id: Some("other".into()), ..gap(10, 60) };
        assert_eq!(report(&records, &[other]).uncovered_uj(), 750);
        let other = KnownGap { domains: Some(vec!["dram-0".into()]), ..gap(10, 60) };
        assert_eq!(report(&records, &[other]).uncovered_uj(), 750);
    }

    #[test]
    fn jobs_at_the_same_time_overlap_and_a_long_one_that_ends_last_covers_what_was_open() {
        let report = report(
            &[
                passage((0, 0), (5, 50)),
                passage((10, 100), (15, 150)),
                passage((40, 400), (45, 450)),
                passage((2, 20), (42, 420)),
            ],
            &[],
        );
        assert_eq!((report.uncovered_uj(), report.domains[0].covered_uj), (0, 450));
    }

    #[test]
    fn a_total_that_falls_while_time_goes_on_contradicts() {
        let mut continuity = Continuity::new();
        continuity.add(1, &passage((0, 100), (10, 200))).unwrap();
        let less = continuity.add(2, &passage((20, 150), (30, 300))).unwrap_err();
        assert_eq!((less.other, less.uj, less.other_uj), (1, 150, 200));
        // And one that an earlier moment had too much of.
        let mut continuity = Continuity::new();
        continuity.add(1, &passage((100, 100), (110, 200))).unwrap();
        assert!(continuity.add(2, &passage((0, 50), (50, 500))).is_err());
        // Rounding, and clocks that are stepped by less than a second.
        let mut continuity = Continuity::new();
        continuity.add(1, &passage((0, 100), (10, 200))).unwrap();
        assert!(continuity.add(2, &passage((10, 150), (20, 300))).is_ok());
        assert!(continuity.add(3, &passage((30, 299), (40, 400))).is_ok());
        assert!(continuity.add(4, &passage((60, 398), (70, 500))).is_err());
    }

    #[test]
    fn another_boot_epoch_host_or_domain_is_another_function() {
        let first = passage((0, 1000), (10, 2000));
        let mut others: Vec<Passage> = (0..4).map(|_| passage((20, 5), (30, 10))).collect();
        others[0].boot_id = "later".into();
        others[1].host_id = "other".into();
        others[2].domains[0].1 = 2;
        others[3].domains[0].0 = "dram-0".into();
        let mut continuity = Continuity::new();
        continuity.add(1, &first).unwrap();
        for other in &others {
            continuity.add(2, other).unwrap();
        }
        let report = continuity.finish(&[]);
        let found: Vec<_> = report
            .domains
            .iter()
            .map(|d| (d.host_id.as_str(), d.domain.as_str(), d.streams, d.covered_uj))
            .collect();
        assert_eq!(
            found,
            [
                ("host", "dram-0", 1, 5),
                ("host", "package-0", 3, 1010),
                ("other", "package-0", 1, 5)
            ]
        );
        assert_eq!(report.uncovered_uj(), 0);
    }

    #[test]
    fn more_holes_than_are_kept_are_all_counted() {
        let mut continuity = Continuity::new();
        for n in 0..20_000_i64 {
            let uj = u64::try_from(n).unwrap() * 10;
            continuity.add(1, &passage((n * 10, uj), (n * 10 + 5, uj + 4))).unwrap();
        }
        let stream = continuity.streams.values().next().unwrap();
        assert_eq!((stream.pieces.len(), stream.points.len()), (PIECES_MAX, PIECES_MAX));
        let report = continuity.finish(&[]);
        assert_eq!((report.uncovered_uj(), report.holes.len()), (19_999 * 6, LISTED_MAX));
        assert_eq!(report.domains[0].covered_uj, 20_000 * 4);
    }

    #[test]
    fn more_streams_than_are_followed_are_closed_and_counted() {
        let mut continuity = Continuity::new();
        for epoch in 0..5000 {
            let mut passage = passage((0, 0), (1, 7));
            passage.domains[0].1 = epoch;
            continuity.add(1, &passage).unwrap();
        }
        assert_eq!(continuity.streams.len(), STREAMS_MAX);
        let report = continuity.finish(&[]);
        assert_eq!((report.domains[0].streams, report.domains[0].covered_uj), (5000, 35_000));
    }

    proptest! {
        /// Any windows on one rising function, in any order: none contradicts, and what is covered and
        /// what is not add up to what a plain union of integers says.
        #[test]
        fn any_order_of_true_windows_adds_up(
            windows in prop::collection::vec((0_i64..500, 1_i64..80), 1..40),
            rates in prop::collection::vec(0_u64..9, 600),
        ) {
            let total = |second: i64| -> u64 {
                rates.iter().take(usize::try_from(second).unwrap()).sum()
            };
            let mut continuity = Continuity::new();
            let mut covered = std::collections::BTreeSet::new();
            for (start, length) in &windows {
                let end = start + length;
                let passage = passage((*start, total(*start)), (end, total(end)));
                prop_assert!(continuity.add(1, &passage).is_ok());
                covered.extend(total(*start)..total(end));
            }
            let first = windows.iter().map(|(start, _)| total(*start)).min().unwrap();
            let last = windows.iter().map(|(start, length)| total(start + length)).max().unwrap();
            let report = continuity.finish(&[]);
            prop_assert_eq!(report.domains[0].covered_uj, covered.len() as u64);
            prop_assert_eq!(report.uncovered_uj(), last - first - covered.len() as u64);
        }
    }
}
