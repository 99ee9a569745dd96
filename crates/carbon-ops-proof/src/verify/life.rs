//! What the records about records tell: corrections, restatements, gaps, and whether heartbeats were
//! kept. Nothing here changes a verdict: silence is not tampering.
//!
//! Times are what writers' clocks said, and are compared with each other only; whoever has a clock can
//! ask `due` whether the ledger is silent now.
//!
//! Out of scope: which records a correction supersedes, which is for whoever sums them.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::entry::{Control, Gap, Genesis, Heartbeat, time_text};

/// How many silences, turns back and gaps a report lists; the rest is only counted.
const MAX_LISTED: usize = 1000;
/// A tenth more than was promised is no silence: room for a machine under load, and for the clock.
const TOLERANCE: i64 = 10;

/// What the records about records tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Life {
    /// How many corrections there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub corrections: u64,
    /// How many restatements.
    #[serde(skip_serializing_if = "is_zero")]
    pub restatements: u64,
    /// How many heartbeats.
    #[serde(skip_serializing_if = "is_zero")]
    pub heartbeats: u64,
    /// How many gaps.
    #[serde(skip_serializing_if = "is_zero")]
    pub gap_count: u64,
    /// The first thousand gaps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapReport>,
    /// How often entries were further apart than was promised, without a gap that says so.
    #[serde(skip_serializing_if = "is_zero")]
    pub silence_count: u64,
    /// The first thousand of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silences: Vec<SilenceReport>,
    /// How often an entry's time is earlier than that of the one before. Entries of processes that write
    /// at the same time can change places by a moment.
    #[serde(skip_serializing_if = "is_zero")]
    pub turn_back_count: u64,
    /// The first thousand of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns_back: Vec<TurnBackReport>,
    /// The entry with the latest time, for whoever has a clock to hold it against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestReport>,
    /// What was promised at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<DueReport>,
}

impl Life {
    /// How many records about records there are, those that change keys left out.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.corrections + self.restatements + self.heartbeats + self.gap_count
    }
}

/// A gap record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GapReport {
    /// Its number.
    pub seq: u64,
    /// When it began.
    pub from_ts: String,
    /// When it ended.
    pub to_ts: String,
    /// Why.
    pub reason: &'static str,
    /// The host that it concerns; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// The domains that it concerns; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// The most energy that can have been used in it, in µJ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_uj: Option<u64>,
}

/// A time without entries that was longer than promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SilenceReport {
    /// The number of the entry before.
    pub after_seq: u64,
    /// The time of the entry before.
    pub from_ts: String,
    /// The time of the entry after.
    pub to_ts: String,
    /// What was promised.
    pub interval_s: u64,
}

/// A time that is earlier than the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TurnBackReport {
    /// The number of the entry.
    pub seq: u64,
    /// The time of the entry before.
    pub from_ts: String,
    /// The entry's own, earlier time.
    pub to_ts: String,
}

/// The latest time that an entry has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LatestReport {
    /// The number of the entry.
    pub seq: u64,
    /// Its time.
    pub ts: String,
}

/// What was promised at the end of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DueReport {
    /// No two entries are further apart than so many seconds.
    pub interval_s: u64,
    /// When the next entry is due: the last one's time and the interval.
    pub next_by: String,
    /// When its absence is a silence: a tenth of the interval later.
    pub silent_from: String,
}

/// Follows the times of entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    life: Life,
    /// The last entry that told its time.
    last: Option<(u64, Timestamp)>,
    /// The first with the latest time.
    latest: Option<(u64, Timestamp)>,
    /// The seconds that are promised.
    interval_s: u64,
    /// Silences that no gap has explained yet, at most [`MAX_LISTED`].
    silences: Vec<Silence>,
    /// Silences beyond those.
    more_silences: u64,
}

#[derive(Clone, Debug)]
struct Silence {
    after_seq: u64,
    from: Timestamp,
    to: Timestamp,
    interval_s: u64,
    /// What gaps say of it, in the order in which they came.
    gaps: Vec<(Timestamp, Timestamp)>,
}

impl Watch {
    /// A valid entry, its time, and what it is if it is one of the ledger's own.
    pub(super) fn entry(&mut self, seq: u64, time: Option<Timestamp>, control: Option<&Control>) {
        // What a ledger carries over from another is older than itself, and no time goes back.
        let continues =
            matches!(control, Some(Control::Genesis(Genesis { continues: Some(_), .. })));
        let time = time.filter(|_| !continues);
        if let Some(time) = time {
            if let Some((before, last)) = self.last {
                self.step(before, last, seq, time);
            }
            self.last = Some((seq, time));
            if self.latest.is_none_or(|(_, latest)| latest < time) {
                self.latest = self.last;
            }
        }
        match control {
            Some(Control::Correction(_)) => self.life.corrections += 1,
            Some(Control::Restatement(_)) => self.life.restatements += 1,
            Some(Control::Gap(gap)) => self.gap(seq, gap),
            Some(Control::Heartbeat(Heartbeat { interval_s, .. })) => {
                self.life.heartbeats += 1;
                self.interval_s = *interval_s;
            }
            _ => {}
        }
    }

    fn step(&mut self, after_seq: u64, from: Timestamp, seq: u64, to: Timestamp) {
        if to < from {
            self.life.turn_back_count += 1;
            if self.life.turns_back.len() < MAX_LISTED {
                let (from_ts, to_ts) = (time_text(from), time_text(to));
                self.life.turns_back.push(TurnBackReport { seq, from_ts, to_ts });
            }
        }
        let interval_s = self.interval_s;
        if interval_s > 0 && to.duration_since(from) > allowed(interval_s) {
            if self.silences.len() == MAX_LISTED {
                self.silences.retain(|silence| !silence.is_explained());
            }
            if self.silences.len() == MAX_LISTED {
                self.more_silences += 1;
            } else {
                self.silences.push(Silence { after_seq, from, to, interval_s, gaps: Vec::new() });
            }
        }
    }

    fn gap(&mut self, seq: u64, gap: &Gap) {
        self.life.gap_count += 1;
        let Some((from, to)) = gap.times() else { return };
        for silence in &mut self.silences {
            if from < silence.to && silence.from < to && silence.gaps.len() < MAX_LISTED {
                silence.gaps.push((from, to));
            }
        }
        if self.life.gaps.len() < MAX_LISTED {
            self.life.gaps.push(GapReport {
                seq,
                from_ts: gap.from_ts.clone(),
                to_ts: gap.to_ts.clone(),
                reason: gap.reason.as_str(),
                host_id: gap.host_id.clone(),
                domains: gap.domains.clone(),
                bound_uj: gap.bound_uj,
            });
        }
    }

    pub(super) fn finish(self) -> Life {
        let silences: Vec<SilenceReport> = self
            .silences
            .iter()
            .filter(|silence| !silence.is_explained())
            .map(|silence| SilenceReport {
                after_seq: silence.after_seq,
                from_ts: time_text(silence.from),
                to_ts: time_text(silence.to),
                interval_s: silence.interval_s,
            })
            .collect();
        let interval_s = self.interval_s;
        let due = self.last.filter(|_| interval_s > 0).and_then(|(_, last)| {
            let promised = SignedDuration::from_secs(i64::try_from(interval_s).ok()?);
            let next_by = time_text(last.checked_add(promised).ok()?);
            let silent_from = time_text(last.checked_add(allowed(interval_s)).ok()?);
            Some(DueReport { interval_s, next_by, silent_from })
        });
        let silence_count = silences.len() as u64 + self.more_silences;
        let latest = self.latest.map(|(seq, time)| LatestReport { seq, ts: time_text(time) });
        Life { silence_count, silences, latest, due, ..self.life }
    }
}

impl Silence {
    /// Whether between entries and gaps there is nowhere more than was allowed.
    fn is_explained(&self) -> bool {
        let mut gaps = self.gaps.clone();
        gaps.sort();
        let (allowed, mut known) = (allowed(self.interval_s), self.from);
        for (from, to) in gaps {
            if from.duration_since(known) <= allowed {
                known = known.max(to);
            }
        }
        self.to.duration_since(known) <= allowed
    }
}

/// How far apart two entries may be. An interval is at most a month, which fits many times.
fn allowed(interval_s: u64) -> SignedDuration {
    let interval = i64::try_from(interval_s).unwrap_or(i64::MAX / 2000);
    SignedDuration::from_millis(interval * 1000 + interval * 1000 / TOLERANCE)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::GapReason;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-23T{text}.000000Z").parse().unwrap()
    }

    fn beat(interval_s: u64) -> Control {
        Control::Heartbeat(Heartbeat { interval_s, next_by: None })
    }

    fn gap(from: &str, to: &str) -> Control {
        Control::Gap(Gap {
            from_ts: format!("2026-11-23T{from}.000000Z"),
            to_ts: format!("2026-11-23T{to}.000000Z"),
            reason: GapReason::Unknown,
            note: None,
            host_id: None,
            domains: None,
            bound_uj: None,
        })
    }

    /// Entries with their times, and the silences that are left.
    fn silences(entries: &[(&str, Option<Control>)]) -> Vec<(u64, String)> {
        let mut watch = Watch::default();
        for (seq, (time, control)) in (0..).zip(entries) {
            watch.entry(seq, Some(at(time)), control.as_ref());
        }
        let life = watch.finish();
        assert_eq!(life.silence_count, life.silences.len() as u64);
        life.silences.into_iter().map(|s| (s.after_seq, s.to_ts[11..19].to_owned())).collect()
    }

    #[test]
    fn silence_is_what_is_a_tenth_longer_than_promised() {
        // A minute is promised: 66 seconds are allowed, 67 are not.
        let kept = [("09:00:00", Some(beat(60))), ("09:01:06", None), ("09:02:12", None)];
        assert_eq!(silences(&kept), []);
        let broken = [("09:00:00", Some(beat(60))), ("09:00:30", None), ("09:01:37", None)];
        assert_eq!(silences(&broken), [(1, "09:01:37".into())]);
        // Nobody promised anything before, or does after a 0.
        let free = [("09:00:00", None), ("12:00:00", Some(beat(60))), ("12:00:01", Some(beat(0)))];
        assert_eq!(silences(&free), []);
        let ended = [("09:00:00", Some(beat(60))), ("09:00:01", Some(beat(0))), ("12:00:00", None)];
        assert_eq!(silences(&ended), []);
    }

    #[test]
    fn a_gap_explains_the_silence_that_it_covers() {
        let with = |from: &str, to: &str| {
            let gap = gap(from, to);
            silences(&[("09:00:00", Some(beat(60))), ("10:00:00", Some(gap))])
        };
        assert_eq!(with("09:00:30", "10:00:00"), []);
        // A tenth over the minute may be missing at both ends.
        assert_eq!(with("09:01:06", "09:58:54"), []);
        assert_eq!(with("09:01:07", "10:00:00").len(), 1);
        assert_eq!(with("09:00:30", "09:58:53").len(), 1);
        // Later, and in pieces.
        let pieces = [
            ("09:00:00", Some(beat(60))),
            ("10:00:00", None),
            ("10:00:10", Some(gap("09:30:00", "10:00:00"))),
            ("10:00:20", Some(gap("09:00:00", "09:29:30"))),
        ];
        assert_eq!(silences(&pieces), []);
        assert_eq!(silences(&pieces[..3]).len(), 1);
    }

    #[test]
    fn times_that_go_back_are_told_and_what_is_due_is_known() {
        let mut watch = Watch::default();
        watch.entry(0, Some(at("09:00:00")), Some(&beat(600)));
        watch.entry(1, None, None);
        watch.entry(2, Some(at("08:59:59")), None);
        let life = watch.finish();
        assert_eq!((life.turn_back_count, life.turns_back[0].seq), (1, 2));
        let due = life.due.unwrap();
        assert_eq!(due.next_by, "2026-11-23T09:09:59.000000Z");
        assert_eq!(due.silent_from, "2026-11-23T09:10:59.000000Z");
    }

    /// The first of the latest times counts, and the same time again is no turn back. Nothing is due where nothing was
    /// promised.
    #[test]
    fn the_latest_time_is_the_first_of_its_kind() {
        let mut watch = Watch::default();
        for (seq, time) in [(4, "09:00:00"), (5, "09:00:00"), (6, "08:00:00"), (7, "08:30:00")] {
            watch.entry(seq, Some(at(time)), None);
        }
        let life = watch.finish();
        assert_eq!(life.latest.as_ref().map(|latest| latest.seq), Some(4));
        assert_eq!((life.turn_back_count, life.turns_back[0].seq, life.due), (1, 6, None));
        let mut watch = Watch::default();
        for (seq, time) in [(0, "09:00:00"), (1, "10:00:00")] {
            watch.entry(seq, Some(at(time)), None);
        }
        assert_eq!(watch.finish().latest.map(|latest| latest.seq), Some(1));
    }

    #[test]
    fn more_gaps_and_turns_than_are_listed_are_counted() {
        let mut watch = Watch::default();
        let gap = gap("08:00:00", "08:30:00");
        for seq in 0..1001_u64 {
            let time = if seq % 2 == 0 { "09:00:00" } else { "08:59:59" };
            watch.entry(2 * seq, Some(at(time)), Some(&gap));
            watch.entry(2 * seq + 1, Some(at("08:00:00")), None);
        }
        let life = watch.finish();
        assert_eq!((life.gap_count, life.gaps.len()), (1001, 1000));
        assert_eq!((life.turn_back_count, life.turns_back.len()), (1001, 1000));
    }

    #[test]
    fn more_silences_than_are_listed_are_counted() {
        let mut watch = Watch::default();
        let start = at("00:00:00");
        watch.entry(0, Some(start), Some(&beat(1)));
        for n in 1..=1500_u32 {
            let time = start.checked_add(SignedDuration::from_secs(i64::from(n) * 2)).unwrap();
            watch.entry(u64::from(n), Some(time), None);
        }
        let life = watch.finish();
        assert_eq!((life.silence_count, life.silences.len()), (1500, 1000));
    }
}
