//! Holding a ledger against what was signed for earlier: its own last checkpoint, the signer's
//! state, a checkpoint that somebody kept.
//!
//! While lines pass, the tree grows over them, and its root is noted at each size that an anchor
//! names.
//!
//! Out of scope: reading files, and everything about single lines.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::entry::LedgerId;
use crate::keys::PublicKey;
use crate::merkle::{Frontier, TreeHash};
use crate::note::{Note, NoteError};

/// Something that tells a size and root which the ledger must have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Where it comes from, for the report: a file name.
    pub source: String,
    /// The content of that file.
    pub bytes: Vec<u8>,
    /// What it is.
    pub kind: AnchorKind,
}

/// What an anchor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorKind {
    /// A checkpoint: a signed note.
    Checkpoint,
    /// The state of the signer, which is not signed: as good as the folder that it lies in.
    SignerState,
}

/// What became of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnchorVerdict {
    /// The ledger begins with exactly these lines.
    Confirmed,
    /// The ledger has fewer lines: its end was cut off.
    Truncated,
    /// The ledger has other lines.
    Forked,
    /// Not to be believed: malformed, not signed by a key of this ledger, or of another ledger.
    Refused,
    /// Of more lines than there are, and signed by no key that is known. That key may have joined in a
    /// line that is gone, or may be anybody's: nothing is proven until the reader trusts it.
    UnknownKey,
}

/// An anchor in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AnchorReport {
    /// Where it comes from.
    pub source: String,
    /// How many lines it covers, when it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether the ledger fits.
    pub verdict: AnchorVerdict,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it is signed, and so counts for what is covered.
    pub signed: bool,
}

/// The keys that may sign a checkpoint of so many lines.
pub(super) type KeysAt<'k> = dyn Fn(u64) -> Vec<PublicKey> + 'k;

/// The tree over the lines so far, and the roots that anchors ask for.
#[derive(Clone, Debug)]
pub(super) struct Tree<'a> {
    anchors: &'a [Anchor],
    frontier: Frontier,
    wanted: BTreeMap<u64, Option<TreeHash>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(anchors: &'a [Anchor]) -> Self {
        let wanted = anchors.iter().filter_map(Anchor::checkpoint).map(|c| (c.size, None));
        let mut tree = Self { anchors, frontier: Frontier::new(), wanted: wanted.collect() };
        tree.note_root();
        tree
    }

    pub(super) fn push(&mut self, leaf: TreeHash) {
        self.frontier.push(leaf);
        self.note_root();
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    fn note_root(&mut self) {
        if let Some(root) = self.wanted.get_mut(&self.frontier.size()) {
            *root = Some(self.frontier.root());
        }
    }

    /// The verdict on each anchor, once all lines have passed. `keys_at` tells who may sign a checkpoint
    /// of so many lines of this ledger.
    pub(super) fn judge(&self, id: Option<LedgerId>, keys_at: &KeysAt<'_>) -> Vec<AnchorReport> {
        self.anchors.iter().map(|anchor| self.judge_one(anchor, id, keys_at)).collect()
    }

    fn judge_one(
        &self,
        anchor: &Anchor,
        id: Option<LedgerId>,
        keys_at: &KeysAt<'_>,
    ) -> AnchorReport {
        let checkpoint = anchor.checkpoint();
        let (verdict, reason) = match &checkpoint {
            None => {
                (AnchorVerdict::Refused, Some("it is not the checkpoint of a ledger".to_owned()))
            }
            Some(checkpoint) => {
                let root = self.wanted.get(&checkpoint.size).copied().flatten();
                let ledger = Against { id, size: self.size(), root, keys_at };
                ledger.judge(checkpoint, anchor.note().as_ref())
            }
        };
        AnchorReport {
            source: anchor.source.clone(),
            size: checkpoint.map(|checkpoint| checkpoint.size),
            verdict,
            reason,
            signed: anchor.kind == AnchorKind::Checkpoint,
        }
    }
}

/// What a checkpoint is held against: a ledger.
pub(super) struct Against<'k> {
    pub(super) id: Option<LedgerId>,
    /// How many lines there are.
    pub(super) size: u64,
    /// The root over as many lines as the checkpoint covers; none where there are fewer.
    pub(super) root: Option<TreeHash>,
    pub(super) keys_at: &'k KeysAt<'k>,
}

impl Against<'_> {
    /// What the checkpoint is, and why it is not confirmed; `note` is what was signed, unless nothing was.
    pub(super) fn judge(
        &self,
        checkpoint: &Checkpoint,
        note: Option<&Note>,
    ) -> (AnchorVerdict, Option<String>) {
        let (now, then) = (self.size, checkpoint.size);
        if self.id.is_some_and(|id| id != checkpoint.ledger_id) {
            let reason = format!("it is of the ledger {}", checkpoint.ledger_id);
            return (AnchorVerdict::Refused, Some(reason));
        }
        let keys = (self.keys_at)(then);
        match note.map(|note| checkpoint.signed_by(note, &keys)) {
            // Who may sign after so many lines is known of the lines that there are, and of no others.
            Some(Err(NoteError::Unsigned)) if then > now => {
                let reason = format!(
                    "it is of {then} lines, of which there are {now}, and signed by a key that these \
                     lines do not name and nobody here trusts"
                );
                return (AnchorVerdict::UnknownKey, Some(reason));
            }
            Some(Err(error)) => return (AnchorVerdict::Refused, Some(error.to_string())),
            Some(Ok(_)) | None => {}
        }
        match self.root {
            Some(root) if root == checkpoint.root => (AnchorVerdict::Confirmed, None),
            Some(_) => {
                let reason = format!("the first {then} lines are not those of then");
                (AnchorVerdict::Forked, Some(reason))
            }
            None => {
                let reason = format!("there are {now} whole lines, and there were {then}");
                (AnchorVerdict::Truncated, Some(reason))
            }
        }
    }
}

impl Anchor {
    /// The size and root that it tells; none when it cannot be read.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        match self.kind {
            AnchorKind::Checkpoint => Checkpoint::of_note(&self.note()?).ok(),
            AnchorKind::SignerState => Checkpoint::parse(str::from_utf8(&self.bytes).ok()?),
        }
    }

    fn note(&self) -> Option<Note> {
        let note = || Note::parse(&self.bytes).ok();
        if self.kind == AnchorKind::Checkpoint { note() } else { None }
    }
}
