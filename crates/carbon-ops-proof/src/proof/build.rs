//! Making a proof from lines and tiles, wherever these are. What is handed out holds: each line is compared
//! with the root that was signed.

use super::Proof;
use super::chain::Link;
use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::note::Note;
use crate::pack::{PackError, proven_line};
use crate::source::{LineSource, key_changes};
use crate::tile::{TileSource, TileTree};

impl Proof {
    /// A proof of the entry numbered `seq`, by the checkpoint of a ledger's `lines`, with paths from its
    /// `tiles`. It carries the entries that say who may sign, unless the key that began the ledger signed
    /// both the entry and the checkpoint; all lines are read for that.
    ///
    /// # Errors
    ///
    /// When reading fails, the checkpoint does not cover the entry, or the ledger is not the one that was
    /// signed for.
    pub fn make(
        lines: &mut impl LineSource,
        tiles: impl TileSource,
        checkpoint: &Note,
        seq: u64,
    ) -> Result<Self, PackError> {
        let of_note = |source| PackError::Checkpoint { which: "latest", source };
        let head = Checkpoint::of_note(checkpoint).map_err(of_note)?;
        let mut tree = TileTree::new(tiles, head.size);
        let mut link = |lines: &mut _, seq| {
            let (line, path) = proven_line(lines, &mut tree, &head, seq)?;
            Ok::<_, PackError>(Link { seq, path, line })
        };
        let Link { line: mut extra, path, .. } = link(lines, seq)?;
        let genesis = link(lines, 0)?;
        let by_genesis_key = Entry::parse(&genesis.line).is_ok_and(|genesis| {
            let key = genesis.signing_key();
            head.signed_by(checkpoint, &[key]).is_ok()
                && Entry::parse(&extra).is_ok_and(|entry| entry.signing_key() == key)
        });
        if !by_genesis_key {
            for seq in key_changes(lines, head.size)? {
                extra.push(b'\n');
                extra.extend(link(lines, seq)?.text());
            }
        }
        Ok(Self { extra: Some(extra), index: seq, path, checkpoint: checkpoint.clone() })
    }
}
