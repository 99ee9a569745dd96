//! The record that changes who may write: keys that join and keys that leave.
//!
//! It is signed by a key that may write before it, and every key that joins has signed a text of its
//! own at this very place of this ledger: nobody can put a stranger's key on the list.
//!
//! Out of scope: the list itself, and what a change does to it, which is `roster.rs`.

use serde::{Deserialize, Serialize};

use super::form::{must, text};
use super::vocabulary::RotationReason;
use crate::fault::Fault;
use crate::hex;
use crate::ids::{Head, LedgerId};
use crate::keys::PublicKey;

/// How many keys one record may add, and how many it may retire: a roster has at most so many.
const MAX_CHANGES: usize = 64;

/// What the text begins with that a new key signs.
///
/// It ends without a newline, and neither a signed note (whose text ends with one) nor a line of a
/// ledger (which begins with a brace) can be such a text.
const POSSESSION: &str = "carbon-ops/key-possession/v1";

/// Keys that join and keys that leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotation {
    /// Keys that may sign from the next line on.
    pub added: Vec<AddedKey>,
    /// Keys that may sign no later line.
    pub retired: Vec<RetiredKey>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RotationReason>,
}

/// A key that joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename = "ed25519")]
pub struct AddedKey {
    /// The key.
    #[serde(with = "text")]
    pub public_key: PublicKey,
    /// Its signature of [`possession_text`].
    #[serde(with = "hex")]
    pub proof: [u8; 64],
}

/// A key that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredKey {
    /// The key.
    #[serde(with = "text")]
    pub public_key: PublicKey,
    /// The number from which on entries by this key are suspect: somebody else may have made them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compromised_since: Option<u64>,
}

/// What a key signs to join the ledger by the line that follows `head` and is signed by `signer`:
///
/// ```text
/// carbon-ops/key-possession/v1
/// <ledger_id>
/// <seq>
/// <prev_hash>
/// <signing_key>
/// <the key that joins>
/// ```
///
/// six lines with newlines between them and none at the end.
#[must_use]
pub fn possession_text(
    ledger_id: LedgerId,
    head: &Head,
    signer: PublicKey,
    joins: PublicKey,
) -> String {
    let (seq, hash) = (head.seq.saturating_add(1), head.hash);
    format!("{POSSESSION}\n{ledger_id}\n{seq}\n{hash}\n{signer}\n{joins}")
}

impl KeyRotation {
    pub(super) fn check(&self, seq: u64) -> Result<(), Fault> {
        let sorted = self.added.is_sorted_by(|a, b| a.public_key < b.public_key)
            && self.retired.is_sorted_by(|a, b| a.public_key < b.public_key);
        if !sorted || self.added.len() > MAX_CHANGES || self.retired.len() > MAX_CHANGES {
            return Err(Fault::Rotation("its keys are not lists of up to 64 in ascending order"));
        }
        if self.added.is_empty() && self.retired.is_empty() {
            return Err(Fault::Rotation("it changes nothing"));
        }
        let mut suspect = self.retired.iter().filter_map(|key| key.compromised_since).peekable();
        let is_compromise = self.reason == Some(RotationReason::KeyCompromise);
        must(
            is_compromise || suspect.peek().is_none(),
            "reason",
            "\"key_compromise\" where a key is compromised_since",
        )?;
        must(suspect.all(|since| since < seq), "compromised_since", "the number of an earlier line")
    }

    /// Checks that every key that joins signed to do so behind `head`, by the line that `signer` signed.
    pub(crate) fn prove(
        &self,
        ledger_id: LedgerId,
        head: &Head,
        signer: PublicKey,
    ) -> Result<(), Fault> {
        let proves = |added: &AddedKey| {
            let text = possession_text(ledger_id, head, signer, added.public_key);
            added.public_key.verifies(text.as_bytes(), &added.proof)
        };
        if self.added.iter().all(proves) {
            return Ok(());
        }
        Err(Fault::Rotation("an added key did not sign to be added here"))
    }

    /// The same, with its keys in the order in which they are written.
    pub(super) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.added.sort_by_key(|key| key.public_key);
        sorted.retired.sort_by_key(|key| key.public_key);
        sorted
    }
}
