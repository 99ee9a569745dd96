//! What a proof carries of who may sign: the genesis and the changes of keys, each with its path, as an
//! audit pack has them.
//!
//! Out of scope: whom the reader trusts.

use super::fault::ProofFault;
use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::merkle::{TreeHash, leaf_hash, verify_inclusion};
use crate::pack::Frame;
use crate::roster::Roster;

/// The genesis and every change of keys after it.
#[derive(Debug)]
pub(super) struct Chain(Vec<Link>);

/// An entry and its path to the root.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) path: Vec<TreeHash>,
    pub(super) line: Vec<u8>,
}

impl Link {
    /// The two lines, without the last newline.
    pub(super) fn text(&self) -> Vec<u8> {
        let Self { seq, path, line } = self;
        [Frame::Entry { seq: *seq, path: path.clone() }.line(), line.clone()].concat()
    }
}

impl Chain {
    /// Reads lines in pairs, each of a frame and the entry.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| *byte == b'\n');
        let mut links = Vec::new();
        while let Some(frame) = lines.next() {
            let Frame::Entry { seq, path } = Frame::parse(frame)? else { return None };
            links.push(Link { seq, path, line: lines.next()?.to_vec() });
        }
        Some(Self(links))
    }

    pub(super) fn first_line(&self) -> Option<&[u8]> {
        self.0.first().map(|link| link.line.as_slice())
    }

    /// Who may sign, by entries that are all in the tree of the checkpoint and hold. That no change was left
    /// out is the word of whoever signed the checkpoint.
    pub(super) fn roster(&self, checkpoint: &Checkpoint) -> Result<Roster, ProofFault> {
        let mut roster: Option<(Roster, u64)> = None;
        for link in &self.0 {
            let fault = |reason: String| ProofFault::Chain { seq: link.seq, reason };
            let refuse = |reason: &str| Err(fault(reason.to_owned()));
            let Checkpoint { size, root, ledger_id } = *checkpoint;
            verify_inclusion(leaf_hash(&link.line), link.seq, size, root, &link.path)
                .map_err(|e| fault(e.to_string()))?;
            let entry = Entry::parse(&link.line).map_err(|e| fault(e.to_string()))?;
            if entry.ledger_id() != ledger_id || entry.seq() != link.seq {
                return refuse("it is not the one that its path is about");
            }
            match &mut roster {
                None => {
                    let genesis = Roster::of_genesis(&entry).map_err(|e| fault(e.to_string()))?;
                    roster = Some((genesis, link.seq));
                }
                Some((_, last)) if link.seq <= *last => {
                    return refuse("it is not after the one before");
                }
                Some((roster, last)) => {
                    roster.authenticate(&entry, ledger_id).map_err(|e| fault(e.to_string()))?;
                    let changed = roster.apply(&entry).map_err(|e| fault(e.to_string()))?;
                    if !changed {
                        return refuse("it changes no keys");
                    }
                    *last = link.seq;
                }
            }
        }
        roster.map(|(roster, _)| roster).ok_or(ProofFault::NoEntry)
    }
}
