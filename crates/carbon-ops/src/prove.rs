//! The proof of one entry of a ledger on disk, which holds by itself before it is handed out.
//!
//! Out of scope: where it goes.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use carbon_ops_ledger::pack::PackError;
use carbon_ops_ledger::tile::DirTiles;
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops_proof::keys::{PublicKey, Trust};
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note, NoteError};
use carbon_ops_proof::proof::Proof;
use carbon_ops_proof::roster::Roster;

use crate::fault::Fault;
use crate::verify::{cannot_read, read_limited};

/// Proves the entry numbered `seq` by the last checkpoint of the ledger file `ledger`.
///
/// # Errors
///
/// When no checkpoint covers it, when the ledger is not what was signed for, and when reading fails.
pub fn prove(ledger: &Path, seq: u64) -> Result<Proof> {
    let not_covered = || Fault::NotCovered { seq, ledger: ledger.to_owned() };
    let stored = ledger.with_file_name(CHECKPOINT_FILE);
    let bytes = read_limited(&stored, MAX_NOTE_BYTES).map_err(|_| not_covered())?;
    let note = Note::parse(&bytes).with_context(|| format!("cannot use {}", stored.display()))?;
    let (mut lines, tiles) = (open(ledger)?, open(ledger)?);
    let proof = match Proof::make(&mut lines, tiles, &note, seq) {
        Ok(proof) => proof,
        Err(PackError::Beyond { .. }) => return Err(not_covered().into()),
        // Tiles are derived, and the line may have been changed since.
        Err(PackError::Contradiction { source, .. }) => {
            let (ledger, reason) = (ledger.to_owned(), source.to_string());
            return Err(Fault::NotSignedFor { seq, ledger, reason }.into());
        }
        Err(PackError::Checkpoint { source, .. }) => {
            return Err(source).with_context(|| format!("cannot use {}", stored.display()));
        }
        Err(other) => return Err(other).with_context(|| cannot_read(ledger)),
    };
    // Whom its readers trust is not known here; that it holds for those who trust this key is.
    let trust: Trust = proof.key_to_trust().into_iter().collect();
    if let Err(fault) = proof.check(&trust)
        && !fault.is_untrusted()
    {
        bail!("entry {seq} of {} cannot be proven: {fault}", ledger.display());
    }
    Ok(proof)
}

/// Whether a checkpoint of a ledger on disk, which has `there` lines, is believed: signed by a key that is
/// trusted, or by one that may sign by the ledger's own word, if the key that began it is trusted. Only for
/// the latter the ledger is read.
///
/// # Errors
///
/// When it is not, and when the ledger cannot be read.
pub fn believe(
    ledger: &Path,
    (checkpoint, note): (&Checkpoint, &Note),
    there: u64,
    trust: &Trust,
) -> Result<()> {
    let mut keys: Vec<PublicKey> = trust.keys().collect();
    match checkpoint.signed_by(note, &keys) {
        Err(NoteError::Unsigned) => {}
        signed => return Ok(signed.map(drop)?),
    }
    let size = checkpoint.size.min(there);
    let roster = Roster::of_lines(&mut open(ledger)?, size).with_context(|| cannot_read(ledger))?;
    if trust.contains(roster.genesis_key()) {
        keys.extend(roster.keys_at(size));
    }
    checkpoint.signed_by(note, &keys)?;
    Ok(())
}

/// The tiles and lines of a ledger file.
///
/// # Errors
///
/// When it cannot be opened.
pub fn open(ledger: &Path) -> Result<DirTiles> {
    DirTiles::open(ledger.parent(), ledger)
        .map_err(|source| Fault::CannotOpen { path: ledger.to_owned(), source }.into())
}
