//! Which records of a ledger stand, by what later entries say of them: corrected, retracted, restated, or
//! suspect because the key that signed them was in other hands.
//!
//! Rule: for a record counts the last correction that names it and is not itself taken back; one that was
//! corrected in turn says what that correction says. Every front and every sum asks here.
//!
//! Out of scope: verifying the entries, and how it is told.

use std::collections::BTreeMap;

use crate::entry::{Control, Outcome, Scope};
use crate::keys::PublicKey;

/// What became of an entry, and the number of the entry that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Another payload stands instead.
    Corrected(u64),
    /// It does not count.
    Retracted(u64),
    /// It is one of many that are calculated anew, and stands as it is until it is corrected.
    Restated(u64),
}

/// What the ledger's own records say of others, as they come.
#[derive(Debug, Default)]
pub struct Amendments {
    /// Of each entry, the corrections that name it, oldest first, and what each makes of it.
    corrections: BTreeMap<u64, Vec<Standing>>,
    restatements: Vec<(Scope, u64)>,
    thefts: Vec<Theft>,
}

/// Entries by this key from one number on, up to the entry that says so, may be anybody's.
#[derive(Debug)]
struct Theft {
    key: PublicKey,
    since: u64,
    told_by: u64,
}

impl Amendments {
    /// The next of the ledger's own records, which has this number.
    pub fn note(&mut self, seq: u64, control: Control) {
        match control {
            Control::Correction(correction) => {
                self.corrections.entry(correction.corrects).or_default().push(
                    match correction.outcome {
                        Outcome::Replaced(_) => Standing::Corrected(seq),
                        Outcome::Retracted => Standing::Retracted(seq),
                    },
                );
            }
            Control::Restatement(restatement) => self.restatements.push((restatement.scope, seq)),
            Control::KeyRotation(rotation) => {
                let stolen = rotation.retired.iter().filter_map(|retired| {
                    let (key, since) = (retired.public_key, retired.compromised_since?);
                    Some(Theft { key, since, told_by: seq })
                });
                self.thefts.extend(stolen);
            }
            _ => {}
        }
    }

    /// What all of them come to.
    #[must_use]
    pub fn settle(self) -> Superseded {
        let mut corrected = BTreeMap::new();
        // A correction is newer than what it names, so from the newest on all that speaks of one is settled.
        for (seq, corrections) in self.corrections.into_iter().rev() {
            let counts = corrections.into_iter().rev().find_map(|standing| {
                let (Standing::Corrected(by) | Standing::Retracted(by) | Standing::Restated(by)) =
                    standing;
                match corrected.get(&by) {
                    Some(Standing::Retracted(_)) => None,
                    Some(later) => Some(*later),
                    None => Some(standing),
                }
            });
            if let Some(counts) = counts {
                corrected.insert(seq, counts);
            }
        }
        Superseded { corrected, restatements: self.restatements, thefts: self.thefts }
    }
}

/// Which entries of a ledger do not stand as they are.
#[derive(Debug, Default)]
pub struct Superseded {
    corrected: BTreeMap<u64, Standing>,
    restatements: Vec<(Scope, u64)>,
    thefts: Vec<Theft>,
}

impl Superseded {
    /// What became of an entry; none for one that stands.
    #[must_use]
    pub fn standing(&self, seq: u64) -> Option<Standing> {
        self.corrected.get(&seq).copied().or_else(|| {
            let (_, by) = self.restatements.iter().rfind(|(scope, _)| scope.contains(seq))?;
            Some(Standing::Restated(*by))
        })
    }

    /// The entry that says that the key of this one was in other hands; none for an entry that can be relied
    /// on.
    #[must_use]
    pub fn suspect(&self, seq: u64, key: PublicKey) -> Option<u64> {
        let theft = self
            .thefts
            .iter()
            .find(|theft| theft.key == key && (theft.since..theft.told_by).contains(&seq));
        theft.map(|theft| theft.told_by)
    }

    /// Whether there are keys that were in other hands.
    #[must_use]
    pub fn has_thefts(&self) -> bool {
        !self.thefts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::canonical::Object;
    use crate::entry::{Correction, CorrectionReason};

    use super::*;

    /// Numbers, what each corrects, and whether it retracts.
    fn settled(corrections: &[(u64, u64, bool)]) -> Superseded {
        let mut amendments = Amendments::default();
        for (seq, corrects, retracts) in corrections {
            let outcome =
                if *retracts { Outcome::Retracted } else { Outcome::Replaced(Object::new()) };
            let (corrects, reason) = (*corrects, CorrectionReason::Factor);
            let (corrects_leaf, note, restatement) = ([0; 32], None, None);
            let correction =
                Correction { corrects, corrects_leaf, reason, note, outcome, restatement };
            amendments.note(*seq, Control::Correction(correction));
        }
        amendments.settle()
    }

    #[test]
    fn the_last_correction_that_is_not_taken_back_counts_however_long_the_chain() {
        use Standing::{Corrected, Retracted};
        let of = |corrections: &[_]| settled(corrections).standing(1);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(4, 1, false)]), Some(Corrected(4)));
        assert_eq!(of(&[(4, 1, false), (5, 1, true)]), Some(Retracted(5)));
        assert_eq!(of(&[(4, 1, false), (5, 4, true)]), None);
        assert_eq!(of(&[(4, 1, true), (5, 4, true)]), None);
        assert_eq!(of(&[(4, 1, false), (5, 1, false), (6, 5, true)]), Some(Corrected(4)));
        assert_eq!(of(&[(4, 1, false), (5, 4, false)]), Some(Corrected(5)));
        // What took the taking back back, and so on.
        assert_eq!(of(&[(4, 1, true), (5, 4, true), (6, 5, true)]), Some(Retracted(4)));
        assert_eq!(of(&[(4, 1, true), (5, 4, true), (6, 5, true), (7, 6, true)]), None);
        let chain: Vec<_> = (2..100_002).map(|seq| (seq, seq - 1, true)).collect();
        assert_eq!(of(&chain), None);
        assert_eq!(of(&chain[..99_999]), Some(Retracted(2)));
    }
}
