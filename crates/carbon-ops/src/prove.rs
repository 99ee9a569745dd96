//! Proofs of a ledger on disk: of one entry, which holds by itself before it is handed out, and that one size
//! of the ledger extends another; and checking the proof of an entry as the product does.
//!
//! Out of scope: where proofs go, and how a verdict is told.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use carbon_ops_ledger::pack::PackError;
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops_proof::keys::{PublicKey, Trust};
use carbon_ops_proof::merkle::{TreeHash, consistency_proof, root_at, verify_consistency};
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note, NoteError};
use carbon_ops_proof::policy::Policy;
use carbon_ops_proof::proof::{Proof, Proven};
use carbon_ops_proof::roster::Roster;
use carbon_ops_proof::text::plain;
pub use carbon_ops_record::answer::OfProof;

use crate::fault::Fault;
use crate::head::{beside, cannot_read};
use crate::verify::{Answer, read_checkpoint};
use crate::witnessed::Witnessed;

/// Proves the entry numbered `seq` by the last checkpoint of the ledger file `ledger`.
///
/// # Errors
///
/// When no checkpoint covers it, when the ledger is not what was signed for, and when reading fails.
pub fn prove(ledger: &Path, seq: u64) -> Result<Proof> {
    let not_covered = || Fault::NotCovered { seq, ledger: ledger.to_owned() };
    let stored = ledger.with_file_name(CHECKPOINT_FILE);
    let read = beside(ledger).read(CHECKPOINT_FILE, MAX_NOTE_BYTES + 1);
    let read = read.with_context(|| cannot_read(&stored))?;
    let bytes = read.ok_or_else(not_covered)?;
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

/// What was found about the proof of one entry.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The entry that is in the ledger; none where that is not proven.
    pub proven: Option<Proven>,
    /// What it comes to.
    pub found: OfProof,
    /// What the policy says, of a proof that holds.
    pub witnessed: Option<Witnessed>,
    /// The key that began the ledger, as the proof has it: of one that is not trusted, the key to ask for.
    pub key_to_trust: Option<PublicKey>,
}

/// Checks the proof of one entry, as its file has it.
pub fn check(file: Vec<u8>, trust: &Trust, policy: Option<&Policy>) -> Checked {
    let proof = Proof::parse(&plain(file));
    let key_to_trust = proof.as_ref().ok().and_then(Proof::key_to_trust);
    let proven = proof.and_then(|proof| Ok((proof.check(trust)?, proof.checkpoint)));
    let judge = |(_, note): &(Proven, Note)| Some(Witnessed::of(policy?, Some(note)));
    let witnessed = proven.as_ref().ok().and_then(judge);
    let proven = proven.map(|(proven, _)| proven);
    let found = OfProof::of(proven.as_ref(), false);
    Checked { proven: proven.ok(), found, witnessed, key_to_trust }
}

impl Checked {
    /// The answer: [`Answer::Tampered`] where nothing is proven.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Witnessed::judge(self.witnessed.as_ref(), self.found.answer)
    }
}

/// How many lines a ledger had: a number, or a checkpoint that tells it.
#[derive(Clone, Debug)]
pub struct Size {
    /// So many.
    pub lines: u64,
    /// The checkpoint, and the file that it is in.
    signed: Option<(Checkpoint, Note, String)>,
}

impl Size {
    /// Reads a number, or the file of a checkpoint.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn read(given: &str) -> Result<Self> {
        if let Ok(lines) = given.parse() {
            return Ok(Self { lines, signed: None });
        }
        let note = read_checkpoint(Path::new(given))?;
        let checkpoint = Checkpoint::of_note(&note)?;
        Ok(Self { lines: checkpoint.size, signed: Some((checkpoint, note, given.to_owned())) })
    }
}

/// How two sizes of a ledger stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The larger extends the smaller.
    Extends {
        /// The roots of the smaller and the larger one.
        roots: [TreeHash; 2],
        /// The proof, which holds.
        proof: Vec<TreeHash>,
    },
    /// There are fewer lines than one of the sizes.
    Fewer {
        /// How many there are.
        there: u64,
        /// How many there should be.
        wanted: u64,
        /// Whether a believed checkpoint says so, and not just a number.
        signed: bool,
    },
    /// The ledger does not begin with the lines of this checkpoint.
    OtherLines {
        /// The file of the checkpoint.
        checkpoint: String,
    },
}

impl Consistency {
    /// The answer: what is shorter than a mere number proves nothing.
    #[must_use]
    pub fn answer(&self) -> Answer {
        match self {
            Self::Extends { .. } => Answer::Valid,
            Self::Fewer { signed: false, .. } => Answer::NotConnected,
            Self::Fewer { .. } | Self::OtherLines { .. } => Answer::Rewritten,
        }
    }
}

/// Whether a ledger of the larger size extends that of the smaller. A checkpoint is believed as
/// [`believe`] has it.
///
/// # Errors
///
/// When a checkpoint is not believed, the larger size comes first, or reading fails.
pub fn consistency(ledger: &Path, [old, new]: [&Size; 2], trust: &Trust) -> Result<Consistency> {
    let cannot = || cannot_read(ledger);
    let there = open(ledger)?.size().with_context(cannot)?;
    let mut roots = [TreeHash([0; 32]); 2];
    for (size, root) in [old, new].into_iter().zip(&mut roots) {
        if let Some((checkpoint, note, given)) = &size.signed {
            believe(ledger, (checkpoint, note), there, trust)
                .with_context(|| format!("cannot use the checkpoint {given}"))?;
        }
        if size.lines > there {
            let (wanted, signed) = (size.lines, size.signed.is_some());
            return Ok(Consistency::Fewer { there, wanted, signed });
        }
        let mut tree = TileTree::new(open(ledger)?, size.lines);
        *root = root_at(size.lines, &mut tree).with_context(cannot)?;
        if let Some((checkpoint, _, given)) = &size.signed
            && checkpoint.root != *root
        {
            return Ok(Consistency::OtherLines { checkpoint: given.clone() });
        }
    }
    let mut tree = TileTree::new(open(ledger)?, new.lines);
    let proof = consistency_proof(old.lines, new.lines, &mut tree).with_context(cannot)?;
    let proof = proof.ok_or(Fault::NotSmaller { old: old.lines, new: new.lines })?;
    let [old_root, new_root] = roots;
    verify_consistency(old.lines, old_root, new.lines, new_root, &proof)
        .with_context(|| format!("the tiles beside {} contradict each other", ledger.display()))?;
    Ok(Consistency::Extends { roots, proof })
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
