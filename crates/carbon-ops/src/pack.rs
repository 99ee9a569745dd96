//! An audit pack verified as the product does it: keys, lines, records, witnesses, and a checkpoint that its
//! reader kept.
//!
//! Out of scope: how a verdict is told.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
pub use carbon_ops_ledger::pack::Selection;
use carbon_ops_ledger::pack::{Contents, PackReport, PackStatus, verify_pack, write_pack};
use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops_proof::keys::Trust;
use carbon_ops_proof::note::Note;

use crate::fault::Fault;
use crate::verify::{Answer, Others, check_object, file_of, read_checkpoint, read_policy};
use crate::witnessed::Witnessed;

/// What is asked of a pack.
#[derive(Debug, Default)]
pub struct Question<'a> {
    /// Whom to believe; see [`trust`](crate::verify::trust).
    pub trust: Trust,
    /// A checkpoint that was kept.
    pub since: Option<&'a Path>,
    /// Which witnesses must have cosigned: the reader's policy, not the one that the pack carries.
    pub policy: Option<&'a Path>,
    /// Whether every number of the records has to come out again.
    pub recompute: bool,
}

/// What a verification found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// On the lines, the keys and the proofs.
    pub report: PackReport,
    /// Signed entries whose content was not checked.
    pub others: Others,
    /// What the policy says, of a pack that holds.
    pub witnessed: Option<Witnessed>,
    /// How a pack that holds stands to the checkpoint that was kept.
    pub since: Option<Since>,
}

/// A pack of all lines of a ledger that the checkpoint beside it covers.
///
/// # Errors
/// When there is no such checkpoint, or the ledger is not what it says.
pub fn of_ledger(path: &Path) -> Result<Vec<u8>> {
    let mut pack = Vec::new();
    write_of_ledger(path, &Selection::All, &mut pack)?;
    Ok(pack)
}

/// Writes a pack of some lines of a ledger, or of all, as its checkpoint covers them.
///
/// # Errors
/// As of [`of_ledger`]; what was asked for lies above the checkpoint; nothing can be written.
pub fn write_of_ledger(path: &Path, selection: &Selection, to: &mut dyn Write) -> Result<()> {
    let path = file_of(path);
    let stored = path.with_file_name(CHECKPOINT_FILE);
    if !stored.exists() {
        return Err(Fault::NotCovered { seq: 0, ledger: path }.into());
    }
    let checkpoint = read_checkpoint(&stored)?;
    let contents = Contents { checkpoint: &checkpoint, selection, earlier: None, policy: None };
    write_pack(path.parent(), &path, &contents, to)
        .with_context(|| format!("no pack of {}", path.display()))?;
    Ok(())
}

/// How a pack stands to a checkpoint that its reader kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The pack goes on from it.
    Extends,
    /// One of them is not of this ledger.
    Contradicts,
    /// It does not tell.
    Silent,
}

/// Verifies a pack. `each` is called with every record in it, once that is in order.
///
/// # Errors
///
/// When something cannot be read, or is not what it would have to be for the question, and what `each` fails
/// with. What is wrong with the pack is in the verdict.
pub fn verify(
    reader: impl BufRead,
    question: &Question<'_>,
    each: &mut dyn FnMut(&Object) -> Result<()>,
) -> Result<Verdict> {
    let policy = question.policy.map(read_policy).transpose()?;
    let kept = question.since.map(read_checkpoint).transpose()?;
    let (mut others, mut failure) = (Others::default(), None);
    let mut each_object = |object: &Object| {
        let owner = check_object(object, question.recompute);
        others.count(owner.map_err(|error| error.to_string())?);
        if failure.is_none() {
            failure = each(object).err();
        }
        Ok(())
    };
    let report = verify_pack(reader, &question.trust, &mut each_object)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let holds = report.status != PackStatus::Tampered;
    let witnessed = policy.filter(|_| holds);
    let witnessed = witnessed.map(|policy| Witnessed::of(&policy, report.checkpoint.as_ref()));
    let since = kept.filter(|_| holds).map(|kept| Since::of(&kept, &report));
    Ok(Verdict { report, others, witnessed, since })
}

impl Verdict {
    /// The answer: the worst of what was found, and nothing that was not compared is well.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let answer = Answer::from(self.report.status).and_others(&self.others);
        let answer = Witnessed::judge(self.witnessed.as_ref(), answer);
        match (self.since, answer) {
            (Some(Since::Contradicts), _) => Answer::Rewritten,
            (Some(Since::Silent), Answer::Valid) => Answer::NotConnected,
            _ => answer,
        }
    }
}

impl Since {
    fn of(kept: &Note, report: &PackReport) -> Self {
        let there = [report.checkpoint.as_ref(), report.earlier.as_ref()];
        let mut there = there.into_iter().flatten();
        if there.clone().any(|note| note.text() == kept.text()) {
            return Self::Extends;
        }
        let of = |note: &Note| Checkpoint::of_note(note).ok().map(|c| (c.ledger_id, c.size));
        // Two roots of one size and one ledger.
        if there.any(|note| of(note).is_some() && of(note) == of(kept)) {
            return Self::Contradicts;
        }
        Self::Silent
    }
}
