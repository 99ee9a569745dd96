//! Records of a ledger drawn for an audit, each joule with the same chance: monetary-unit sampling, with energy for
//! money (Leslie, Teitlebaum and Anderson, Dollar-Unit Sampling, 1979; ISA 530, appendix 4).
//!
//! Rule: nobody chooses. What is drawn follows from the ledger's root and a number that the auditor says afterwards,
//! and anybody who has both draws the same. Who keeps the ledger cannot know it before, and who audits cannot change
//! it: the root was signed for.
//!
//! A draw with replacement misses what makes up a share `p` of the energy with probability `1 − p`, so that
//! `n = ⌈ln(1 − confidence) / ln(1 − p)⌉` draws find some of it with the confidence. Records are drawn as they stand
//! in sums: corrected, each once, and none that is retracted, suspect or measured inside of another one.
//!
//! What it cannot find: energy that is in no record, since what was never written cannot be drawn. That is what
//! counters' totals are for.
//!
//! Out of scope: looking into what was drawn.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, bail};
use carbon_ops_record::Record;
use carbon_ops_record::totals::Place;
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::records::{How, Verified, each_at};
use crate::units::Microjoules;

/// What the text begins with that a draw is hashed from.
const DRAW: &str = "carbon-ops/sample/v1";

/// More draws than anybody looks into.
pub const MAX_DRAWS: u64 = 100_000;

/// A sample.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// The ledger, its size and its root.
    pub ledger: Verified,
    /// How many records there are that could be drawn.
    pub records: u64,
    /// Their energy.
    pub energy_uj: u64,
    /// What was drawn, in the order of entries.
    pub drawn: Vec<Drawn>,
}

/// A record that was drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drawn {
    /// The number of its entry.
    pub seq: u64,
    /// That of the entry that corrects it, and says what its energy is.
    pub corrected_by: Option<u64>,
    /// Its energy.
    pub energy_uj: u64,
    /// How many draws fell on it.
    pub hits: u64,
}

/// How many draws find at least one misstated joule with probability `confidence`, where `misstated` of all joules
/// are, by the formula above; none for a share or a probability that is not between 0 and 1.
///
/// ```
/// // Known from the tables of discovery sampling (AICPA, Audit Sampling, appendix A: 59 at 5 % and 95 %).
/// assert_eq!(carbon_ops::sample::draws(0.05, 0.95), Some(59));
/// assert_eq!(carbon_ops::sample::draws(0.01, 0.95), Some(299));
/// assert_eq!(carbon_ops::sample::draws(1.5, 0.95), None);
/// ```
#[must_use]
pub fn draws(misstated: f64, confidence: f64) -> Option<u64> {
    let is_share = |share: f64| share > 0.0 && share < 1.0;
    if !(is_share(misstated) && is_share(confidence)) {
        return None;
    }
    let wanted = ((-confidence).ln_1p() / (-misstated).ln_1p()).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1; saturates"
    )]
    let draws = wanted as u64;
    Some(draws)
}

/// A record that can be drawn.
struct Item {
    id: String,
    parent: Option<String>,
    seq: u64,
    corrected_by: Option<u64>,
    energy_uj: u64,
}

/// Draws from the records of one ledger.
///
/// # Errors
///
/// When the ledger is not valid, or has no energy that could be drawn; and as [`each_at`].
pub fn draw(ledger: &Path, how: &How<'_>, nonce: &str, draws: u64) -> Result<Sample> {
    let mut items = Vec::new();
    let prepare = |record: Record, _: &[u8], _: Place| {
        let energy_uj = energy_uj(&record)?;
        Ok((record.record_id, record.parent, energy_uj))
    };
    let counts =
        each_at(&[ledger.to_owned()], how, &prepare, &mut |(id, parent, energy_uj), at| {
            items.push(Item { id, parent, seq: at.seq, corrected_by: at.corrected_by, energy_uj });
            Ok(())
        })?;
    let Some(verified) = counts.verified.into_iter().next() else {
        return Err(Fault::NoLedger { path: ledger.to_owned() }.into());
    };
    each_once(&mut items);
    let ends = ends(&items);
    let Some(total) = ends.last().copied().filter(|total| *total > 0) else {
        bail!("the records of {} have no energy that could be drawn", ledger.display());
    };
    let mut drawn: Vec<Drawn> = Vec::new();
    let mut numbers: Vec<usize> = points(&verified, nonce, total, draws)
        .map(|point| ends.partition_point(|end| *end <= point))
        .collect();
    numbers.sort_unstable();
    for item in numbers.into_iter().filter_map(|number| items.get(number)) {
        if let Some(last) = drawn.last_mut().filter(|last| last.seq == item.seq) {
            last.hits += 1;
        } else {
            let Item { seq, corrected_by, energy_uj, .. } = *item;
            drawn.push(Drawn { seq, corrected_by, energy_uj, hits: 1 });
        }
    }
    Ok(Sample { ledger: verified, records: items.len() as u64, energy_uj: total, drawn })
}

fn energy_uj(record: &Record) -> Result<u64> {
    const JOULES_PER_KILOWATT_HOUR: f64 = 3.6e6;
    Ok(Microjoules::from_joules(record.energy_kwh * JOULES_PER_KILOWATT_HOUR)?.as_microjoules())
}

/// Takes out further copies of records, and records of measurements that ran inside of another one here.
fn each_once(items: &mut Vec<Item>) {
    let mut first: HashMap<String, u64> = HashMap::with_capacity(items.len());
    for item in items.iter() {
        first.entry(item.id.clone()).or_insert(item.seq);
    }
    items.retain(|item| {
        let is_first = first.get(&item.id) == Some(&item.seq);
        is_first && item.parent.as_ref().is_none_or(|parent| !first.contains_key(parent))
    });
}

/// Where the energy of each ends, one behind the other.
fn ends(items: &[Item]) -> Vec<u64> {
    let mut end = 0_u64;
    let next = items.iter().map(|item| {
        end = end.saturating_add(item.energy_uj);
        end
    });
    next.collect()
}

/// The joules that are drawn, from 0 to one less than the total. Each is the remainder of the first 16 bytes of
///
/// ```text
/// SHA-256("carbon-ops/sample/v1\n<ledger_id>\n<size>\n<root>\n<nonce>\n<draw>\n<attempt>")
/// ```
///
/// of the first attempt from 0 that is below the largest multiple of the total, so that no joule is more likely.
fn points(
    ledger: &Verified,
    nonce: &str,
    total: u64,
    draws: u64,
) -> impl Iterator<Item = u64> + use<> {
    let Verified { ledger_id, entries, root, .. } = ledger;
    let beginning = format!("{DRAW}\n{ledger_id}\n{entries}\n{root}\n{nonce}");
    let total = u128::from(total);
    let fair = u128::MAX - u128::MAX % total;
    (0..draws).filter_map(move |draw| {
        let mut attempts = (0_u32..).map(|attempt| {
            let digest = Sha256::digest(format!("{beginning}\n{draw}\n{attempt}"));
            let bytes = digest.first_chunk().copied().unwrap_or_default();
            u128::from_be_bytes(bytes)
        });
        let point = attempts.find(|number| *number < fair)? % total;
        u64::try_from(point).ok()
    })
}

#[cfg(test)]
mod tests {
    use carbon_ops_testkit::skip::is_long;

    use super::*;

    fn ledger() -> Verified {
        let (ledger_id, root, key) = ("00".repeat(16), "x".to_owned(), String::new());
        Verified { path: "x".into(), ledger_id, entries: 1, root, key, covered: 0 }
    }

    fn items(energies: impl Iterator<Item = u64>) -> Vec<Item> {
        let item = |(seq, energy_uj): (usize, u64)| {
            let (id, parent, corrected_by, seq) = (seq.to_string(), None, None, seq as u64);
            Item { id, parent, seq, corrected_by, energy_uj }
        };
        energies.enumerate().map(item).collect()
    }

    #[test]
    fn a_sample_of_59_finds_a_misstatement_of_5_percent_in_94_of_100_trials() {
        // Energies over four decades, and the misstated ones spread among them, until 5 % of all energy is.
        let items =
            items((0..2000_u64).map(|n| 10_u64.pow(u32::try_from(n % 5).unwrap()) * (1 + n % 7)));
        let ends = ends(&items);
        let total = *ends.last().unwrap();
        let (mut misstated, mut wrong) = (vec![false; items.len()], 0);
        for n in (0..items.len()).map(|n| n * 997 % items.len()) {
            let energy = items[n].energy_uj;
            if wrong + energy <= total / 20 {
                misstated[n] = true;
                wrong += energy;
            }
        }
        assert!(wrong > total / 20 - total / 1000, "{wrong} of {total}");
        let trials = if is_long() { 10_000 } else { 1_000 };
        let draws = draws(0.05, 0.95).unwrap();
        let finds = |trial: u32| {
            let mut points = points(&ledger(), &trial.to_string(), total, draws);
            points.any(|point| misstated[ends.partition_point(|end| *end <= point)])
        };
        let found = (0..trials).filter(|trial| finds(*trial)).count();
        let least = if is_long() { 9_400 } else { 930 };
        assert!(found >= least, "{found} of {trials}");
        // And no more than it can: 1 − 0.95⁵⁹ = 95.15 %, give or take five standard deviations.
        assert!(
            found * 1000 <= (951 + 35) * usize::try_from(trials).unwrap(),
            "{found} of {trials}"
        );
    }

    #[test]
    fn every_joule_is_as_likely_as_every_other_and_each_draw_is_another() {
        // Pearson's statistic over 16 classes: below 37.7 with probability 99.9 % (15 degrees of freedom).
        let total = 1_000_003;
        let (mut classes, draws) = ([0_f64; 16], 16_000);
        for point in points(&ledger(), "n", total, draws) {
            assert!(point < total);
            classes[usize::try_from(point * 16 / total).unwrap()] += 1.0;
        }
        let chi: f64 = classes.iter().map(|count| (count - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 37.7 && chi > 1.0, "{chi}");
        let other = |nonce: &str| points(&ledger(), nonce, total, 20).collect::<Vec<_>>();
        assert_eq!(other("a"), other("a"));
        assert_ne!(other("a"), other("b"));
    }

    #[test]
    fn what_is_drawn_can_be_drawn_again_in_any_language() {
        // python3: int.from_bytes(sha256(b"carbon-ops/sample/v1\n" + b"00"*16 + b"\n1\nx\nn\n0\n0").digest()[:16]) % 1000
        let drawn: Vec<_> = points(&ledger(), "n", 1000, 3).collect();
        assert_eq!(drawn, [770, 975, 55]);
    }

    #[test]
    fn copies_and_parts_are_not_drawn() {
        let mut items = items([5, 5, 5, 5].into_iter());
        items[1].id = "0".to_owned();
        items[2].parent = Some("0".to_owned());
        items[3].parent = Some("elsewhere".to_owned());
        each_once(&mut items);
        assert_eq!(items.iter().map(|item| item.seq).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(ends(&items), [5, 10]);
    }
}
