//! Writing a pack from lines and tiles, wherever these are. What is handed out holds: each line is compared with the
//! root that was signed on the way.

use std::io::{self, Write};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::frame::{Frame, LedgerFormat};
use super::selection::Selection;
use crate::checkpoint::Checkpoint;
use crate::merkle::{
    Frontier, ProofError, TreeHash, consistency_proof, inclusion_proof, leaf_hash, root_at,
    verify_consistency, verify_inclusion,
};
use crate::note::{Note, NoteError};
use crate::source::{LineSource, choose};
use crate::tile::{TileSource, TileTree};

/// What goes into a pack besides the lines.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    /// The checkpoint that covers them, with its cosignatures.
    pub checkpoint: &'a Note,
    /// Which entries.
    pub selection: &'a Selection,
    /// An earlier checkpoint of the same ledger, which the reader may have kept.
    pub earlier: Option<&'a Note>,
    /// The text of the policy by which the author chose witnesses.
    pub policy: Option<&'a str>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packed {
    /// How many entries: those asked for, the genesis, and those that change the keys.
    pub entries: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Why a pack could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Reading the ledger or writing the pack failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A checkpoint is not to be used.
    #[error("the {which} checkpoint: {source}")]
    Checkpoint {
        /// "latest" or "earlier".
        which: &'static str,
        /// What is wrong with it.
        source: NoteError,
    },
    /// The earlier checkpoint is of another ledger, or larger.
    #[error("the earlier checkpoint is of another ledger, or of more lines than the latest one")]
    OtherLedger,
    /// An entry that no checkpoint covers was asked for.
    #[error("entry {seq} was asked for, and the checkpoint covers {size}")]
    Beyond {
        /// Its number.
        seq: u64,
        /// How many entries are covered.
        size: u64,
    },
    /// The ledger is not the one that was signed for.
    #[error("the ledger is not the one that was signed for, at entry {seq}: {source}")]
    Contradiction {
        /// The entry, or the size of the tree.
        seq: u64,
        /// What does not fit.
        source: ProofError,
    },
}

/// A writer that hashes and counts.
struct Out<'w> {
    to: &'w mut dyn Write,
    hash: Sha256,
    bytes: u64,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

/// Writes a pack of a ledger's `lines`, with paths from its `tiles`. Reads every line once, and holds
/// none of them.
///
/// # Errors
///
/// When reading or writing fails, and when the ledger is not what the checkpoint says. What was written
/// until then is no pack.
pub fn write_pack_from(
    lines: &mut impl LineSource,
    tiles: impl TileSource,
    contents: &Contents<'_>,
    to: &mut dyn Write,
) -> Result<Packed, PackError> {
    let Contents { checkpoint: note, selection, earlier, policy } = *contents;
    let checkpoint = checkpoint_of(note, "latest")?;
    let size = checkpoint.size;
    let beyond = selection.last().filter(|last| *last >= size);
    if let Some(seq) = beyond.or((size == 0).then_some(0)) {
        return Err(PackError::Beyond { seq, size });
    }
    let whole = *selection == Selection::All;
    let chosen =
        if whole { Vec::new() } else { choose(lines, &|seq| selection.contains(seq), size)? };
    let entries = if whole { size } else { chosen.len() as u64 };
    let mut out = Out { to, hash: Sha256::new(), bytes: 0 };
    let ledger_id = checkpoint.ledger_id.to_string();
    let head = Frame::Head {
        ledger_format: LedgerFormat::V1,
        ledger_id,
        size,
        entries,
        whole,
        earlier: earlier.is_some(),
        policy: policy.is_some(),
    };
    out.put(&head.line())?;
    out.put(&Frame::Checkpoint { note: note.to_string() }.line())?;
    let mut tree = TileTree::new(tiles, size);
    if let Some(earlier) = earlier {
        out.put(&earlier_frame(earlier, &checkpoint, &mut tree)?.line())?;
    }
    if let Some(text) = policy {
        out.put(&Frame::Policy { text: text.to_owned() }.line())?;
    }
    if whole {
        all(&mut out, lines, &checkpoint)?;
    } else {
        some(&mut out, lines, &chosen, &checkpoint, &mut tree)?;
    }
    let sha256 = base16ct::lower::encode_string(&out.hash.clone().finalize());
    out.put(&Frame::End { sha256 }.line())?;
    out.to.flush()?;
    Ok(Packed { entries, bytes: out.bytes })
}

fn checkpoint_of(note: &Note, which: &'static str) -> Result<Checkpoint, PackError> {
    Checkpoint::of_note(note).map_err(|source| PackError::Checkpoint { which, source })
}

fn earlier_frame(
    note: &Note,
    checkpoint: &Checkpoint,
    tree: &mut TileTree<impl TileSource>,
) -> Result<Frame, PackError> {
    let earlier = checkpoint_of(note, "earlier")?;
    if earlier.ledger_id != checkpoint.ledger_id || earlier.size > checkpoint.size {
        return Err(PackError::OtherLedger);
    }
    let proof = consistency_proof(earlier.size, checkpoint.size, tree)?.unwrap_or_default();
    let (old, new) = (earlier.root, root_at(checkpoint.size, tree)?);
    verify_consistency(earlier.size, old, checkpoint.size, new, &proof)
        .map_err(|source| PackError::Contradiction { seq: earlier.size, source })?;
    Ok(Frame::Earlier { note: note.to_string(), proof })
}

/// A line and its path in the tree, which lead to the root that was signed.
pub(crate) fn proven_line(
    source: &mut impl LineSource,
    tree: &mut TileTree<impl TileSource>,
    checkpoint: &Checkpoint,
    seq: u64,
) -> Result<(Vec<u8>, Vec<TreeHash>), PackError> {
    let Checkpoint { size, root, .. } = *checkpoint;
    let beyond = PackError::Beyond { seq, size };
    let Some(path) = inclusion_proof(seq, size, tree)? else { return Err(beyond) };
    let Some(line) = source.line(seq)? else { return Err(beyond) };
    verify_inclusion(leaf_hash(&line), seq, size, root, &path)
        .map_err(|source| PackError::Contradiction { seq, source })?;
    Ok((line, path))
}

fn all(
    out: &mut Out<'_>,
    source: &mut impl LineSource,
    checkpoint: &Checkpoint,
) -> Result<(), PackError> {
    let (mut tree, mut result) = (Frontier::new(), Ok(()));
    source.lines(0, &mut |line| {
        tree.push(leaf_hash(line));
        result = out.put(line).and_then(|()| out.put(b"\n"));
        let on = result.is_ok() && tree.size() < checkpoint.size;
        if on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    if tree.size() == checkpoint.size && tree.root() == checkpoint.root {
        return Ok(());
    }
    Err(PackError::Contradiction { seq: tree.size(), source: ProofError::Root })
}

fn some(
    out: &mut Out<'_>,
    source: &mut impl LineSource,
    chosen: &[u64],
    checkpoint: &Checkpoint,
    tree: &mut TileTree<impl TileSource>,
) -> Result<(), PackError> {
    for &seq in chosen {
        let (line, path) = proven_line(source, tree, checkpoint, seq)?;
        out.put(&Frame::Entry { seq, path }.line())?;
        out.put(&line)?;
        out.put(b"\n")?;
    }
    Ok(())
}
