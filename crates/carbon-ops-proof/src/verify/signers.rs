//! Who signed which entries, so that those of a key that turns out to have been in the wrong hands can
//! be named afterwards, when their lines have long passed.
//!
//! Entries that follow each other by one key are one run, so that a ledger by one writer is a handful
//! of them.
//!
//! Out of scope: deciding that a key was compromised.

use std::collections::VecDeque;

use serde::Serialize;

use crate::keys::PublicKey;

/// How many runs are kept: 2 MiB. When writers alternate more often, the oldest are given up, and a
/// report says that its count is not complete.
const MAX_RUNS: usize = 1 << 16;

/// How many stretches of suspect entries a report lists.
const MAX_LISTED: usize = 1000;

/// Entries by a key that its ledger says was compromised. They are authentic, and not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SuspectReport {
    /// The key, in 64 hexadecimal digits.
    pub public_key: String,
    /// `SHA256:` and base64.
    pub fingerprint: String,
    /// From which number on its entries are suspect.
    pub compromised_since: u64,
    /// The number of the entry that retired it.
    pub retired_seq: u64,
    /// How many valid entries it signed in between.
    pub entries: u64,
    /// Whether these are all; otherwise there were too many changes of writers to keep, and there may be
    /// more between the two numbers.
    pub complete: bool,
    /// First and last number of the first thousand stretches of them.
    pub seqs: Vec<(u64, u64)>,
}

/// Entries by one key that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    key: PublicKey,
    first: u64,
    last: u64,
}

/// Who signed what.
#[derive(Clone, Debug, Default)]
pub(super) struct Signers {
    counts: Vec<(PublicKey, u64)>,
    runs: VecDeque<Run>,
    /// The number of the last entry whose run was given up.
    given_up: Option<u64>,
}

impl Signers {
    /// A valid entry.
    pub(super) fn count(&mut self, key: PublicKey, seq: u64) {
        match self.counts.iter_mut().find(|(known, _)| *known == key) {
            Some((_, entries)) => *entries += 1,
            None => self.counts.push((key, 1)),
        }
        if let Some(run) = self.runs.back_mut()
            && run.key == key
            && run.last.checked_add(1) == Some(seq)
        {
            run.last = seq;
            return;
        }
        if self.runs.len() == MAX_RUNS
            && let Some(run) = self.runs.pop_front()
        {
            self.given_up = Some(run.last);
        }
        self.runs.push_back(Run { key, first: seq, last: seq });
    }

    /// How many valid entries a key signed.
    pub(super) fn entries(&self, key: PublicKey) -> u64 {
        self.counts.iter().find(|(known, _)| *known == key).map_or(0, |(_, entries)| *entries)
    }

    /// Who signed anything.
    pub(super) fn keys(&self) -> impl Iterator<Item = PublicKey> {
        self.counts.iter().map(|(key, _)| *key)
    }

    /// The entries by `key` from `since` on, as they are known when the entry `retired_seq` has passed.
    pub(super) fn suspect(&self, key: PublicKey, since: u64, retired_seq: u64) -> SuspectReport {
        let stretches: Vec<(u64, u64)> = self
            .runs
            .iter()
            .filter(|run| run.key == key && run.last >= since && run.first <= retired_seq)
            .map(|run| (run.first.max(since), run.last.min(retired_seq)))
            .collect();
        SuspectReport {
            public_key: key.to_hex(),
            fingerprint: key.fingerprint(),
            compromised_since: since,
            retired_seq,
            entries: stretches.iter().map(|(first, last)| last - first + 1).sum(),
            complete: self.given_up.is_none_or(|last| last < since),
            seqs: stretches.into_iter().take(MAX_LISTED).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    #[test]
    fn two_writers_in_turn_for_too_long_make_a_count_incomplete_and_say_so() {
        let (a, b) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let (a, b) = (a.public_key(), b.public_key());
        let mut signers = Signers::default();
        for seq in 0..100_000 {
            signers.count(if seq % 2 == 0 { a } else { b }, seq);
        }
        // 65,536 runs are kept: the entries from 34,464 on.
        let all = signers.suspect(b, 40_000, 100_000);
        assert_eq!((all.entries, all.complete, all.seqs.len()), (30_000, true, 1000));
        let some = signers.suspect(b, 30_000, 100_000);
        assert_eq!((some.entries, some.complete), (32_768, false));
        assert_eq!((signers.entries(a), signers.entries(b)), (50_000, 50_000));
    }
}
