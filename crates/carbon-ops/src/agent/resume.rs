//! What happened while nobody looked: between the last tick of an agent and the first one of the next.
//!
//! Rule: energy between two totals is known only where both are of one counter: of the governor's, of one boot and one
//! epoch (which begins anew with each process that reads for itself), and not less than before. Then it is a part of the
//! accounts, of which nobody can say whose it was. Everything else is a gap, and the record after it says so.
//!
//! Out of scope: whose the energy was.

use std::time::Duration;

use carbon_ops_record::{AttributionMode, Domain, Note};
use jiff::Timestamp;

use super::interval::Open;
use crate::watch::{Account, Used};

/// How an interval of an earlier process goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Since {
    /// Nothing is between them.
    Nothing,
    /// Energy of which nobody can say whose it was; and whether it is that of all counters.
    Unwatched(Box<Account>, bool),
    /// What cannot be known.
    Gap,
}

/// What is between the totals at which one ended and those at which the next starts.
pub(super) fn since(last: &Open, boot_id: Option<&str>, next: &Account) -> Since {
    let known = last.boot_id.is_some()
        && last.boot_id.as_deref() == boot_id
        && next.attribution_mode == AttributionMode::GovernorCpuTime
        && last.attribution_mode == next.attribution_mode;
    let between = |other: &Domain| {
        let same = |one: &&Domain| {
            (&one.name, &one.backend, one.epoch) == (&other.name, &other.backend, other.epoch)
        };
        let one = last.domains.iter().find(same)?;
        let (from, to) = (one.end_uj?, other.start_uj?);
        let delta_uj = to.0.checked_sub(from.0)?;
        Some(Domain {
            adjust_uj: None,
            delta_uj,
            start_uj: Some(from),
            end_uj: Some(to),
            wraps: other.wraps.map(|_| 0),
            ..other.clone()
        })
    };
    let domains: Vec<_> = next.domains.iter().filter_map(between).collect();
    if !known || domains.is_empty() {
        return Since::Gap;
    }
    let of_all = domains.len() == next.domains.len() && domains.len() == last.domains.len();
    let host_uj: u64 = domains.iter().map(|domain| domain.delta_uj).sum();
    if host_uj == 0 && of_all {
        return Since::Nothing;
    }
    let start = Timestamp::from_microsecond(last.end_us).unwrap_or(next.start).min(next.start);
    let elapsed = Duration::try_from(next.start.duration_since(start)).unwrap_or_default();
    // As much as it was idle before.
    let idle_uj =
        u128::from(last.idle.energy_uj) * elapsed.as_nanos() / u128::from(last.elapsed_ns.max(1));
    let idle_uj = u64::try_from(idle_uj).unwrap_or(u64::MAX).min(host_uj);
    let used = |energy_uj, like: &Used| Used {
        energy_uj,
        cpu: Duration::ZERO,
        carbon: None,
        ..like.clone()
    };
    let (idle, rest) = (used(idle_uj, &next.idle), used(host_uj - idle_uj, &next.rest));
    let mut notes = next.notes.clone();
    notes.push(Note::Unwatched);
    let unwatched = Account {
        start,
        end: next.start,
        elapsed,
        host_uj,
        units: Vec::new(),
        idle,
        rest,
        domains,
        busy: Duration::ZERO,
        unnamed: Duration::ZERO,
        gaps: Vec::new(),
        notes,
        ..next.clone()
    };
    Since::Unwatched(Box::new(unwatched), of_all)
}
