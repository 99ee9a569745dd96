//! Checkpoints and their witnesses on the command line: signing and asking, and what a policy says of
//! a checkpoint.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use carbon_ops::proof::checkpoint::origin;
use carbon_ops::proof::note::{KeyKind, VerifierKey};
use serde_json::{Value, json};

use crate::args::{AtLedger, LedgerCheckpoint};
use crate::commands::verdict::REWRITTEN;
use crate::context::Context;
use crate::layout::Page;
use crate::render::add;
use crate::render::plain;
use carbon_ops::witnessed::{Judged, Quorum, Witnessed};
use carbon_ops::witnesses::{Answered, PATIENCE, Refusal};
use carbon_ops::witnessing::{Asked, Witnesses};

/// Exit code for "no": too few witnesses cosigned.
const NO: u8 = 1;

const NOT_STORED: &str = "the checkpoint is signed, and its history lacks that";

pub(super) fn checkpoint(args: &LedgerCheckpoint, context: &mut Context<'_>) -> Result<u8> {
    let store = context.existing(args.at.path.as_deref())?;
    let mut witnesses = Witnesses::of(&context.settings);
    witnesses.given.splice(0..0, args.witnesses.iter().cloned());
    witnesses.policy = args.policy.clone().or(witnesses.policy);
    let keyring = store.keyring()?;
    let asked = witnesses.sign(&mut context.open(&store, &keyring)?, PATIENCE)?;
    context.hand_over(&args.at.output, report(&asked), &asked.note.to_string())?;
    if !args.at.output.json {
        tell_answers(&asked, context.err);
    }
    if let Some(error) = asked.not_stored {
        return Err(error.context(NOT_STORED));
    }
    Ok(match (asked.is_fork(), asked.missing.is_empty()) {
        (true, _) => REWRITTEN,
        (false, true) => 0,
        (false, false) => NO,
    })
}

fn tell_answers(asked: &Asked, err: &mut dyn Write) {
    for Answered { address, result } in &asked.answered {
        let name = address.key.name();
        let told = result.as_ref().map(|_| format!("{name} cosigned"));
        let told = told.unwrap_or_else(|refusal| refused(name, refusal));
        let _ = writeln!(err, "carbon-ops: {told}");
    }
    if !asked.missing.is_empty() {
        let missing = asked.missing.join("; ");
        let _ = writeln!(
            err,
            "carbon-ops: the checkpoint is signed, but not witnessed enough; lacking {missing}"
        );
    }
}

fn refused(name: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::Not(why) => format!("{name} did not cosign: {why}"),
        Refusal::Fork(why) => format!(
            "{name} REFUSES THIS HISTORY: {why}\nhint: this ledger was cut off, rewritten or copied, \
             or the witness is wrong; keep both, and compare the checkpoints that others hold"
        ),
    }
}

fn report(asked: &Asked) -> Value {
    let Asked { note, answered, missing, .. } = asked;
    let witnesses = answered.iter().map(|Answered { address, result }| {
        let mut witness = json!({ "name": address.key.name(), "url": address.url });
        match result {
            Ok(cosigned) => add(&mut witness, [("time", cosigned.time.into())]),
            Err(Refusal::Not(why)) => add(&mut witness, [("refused", why.as_str().into())]),
            Err(Refusal::Fork(why)) => {
                add(&mut witness, [("refused", why.as_str().into()), ("fork", true.into())]);
            }
        }
        witness
    });
    json!({ "checkpoint": note.to_string(), "witnesses": witnesses.collect::<Vec<_>>(),
        "missing": missing, "quorum_met": missing.is_empty(), "fork": asked.is_fork() })
}

/// What is not well of asking about a checkpoint, beside other work that does not depend on it.
pub(crate) fn notices(asked: &Result<Asked>) -> Vec<String> {
    match asked {
        Ok(asked) => {
            let refusals = asked.refusals().map(|(name, refusal)| refused(name, refusal));
            let not_stored =
                asked.not_stored.iter().map(|error| format!("{NOT_STORED}: {error:#}"));
            refusals.chain(not_stored).collect()
        }
        Err(error) => vec![format!("no witness was asked: {error:#}")],
    }
}

pub(super) fn log_key(at: &AtLedger, context: &mut Context<'_>) -> Result<u8> {
    let store = context.existing(at.path.as_deref())?;
    let keyring = store.keyring()?;
    let opened = store.open(&keyring)?;
    let name = origin(opened.ledger_id());
    let keys = opened.keys().iter().map(|key| VerifierKey::new(&name, KeyKind::Ed25519, *key));
    let keys: Option<Vec<_>> = keys.map(|key| Some(key?.to_string())).collect();
    let keys = keys.context("the ledger has no name that a key can have")?;
    let report = json!({ "origin": name, "verifier_keys": keys });
    context.hand_over(&at.output, report, &keys.join("\n"))
}

/// What a policy says of a checkpoint, as a line.
pub(super) fn tell(witnessed: Option<&Witnessed>, page: &mut Page) {
    let Some(witnessed) = witnessed else { return };
    let met = witnessed.quorum == Quorum::Met;
    let verdict = if met { "WITNESSED" } else { "NOT WITNESSED ENOUGH" };
    page.item(&format!("{verdict}: {}", plain(&witnessed.text)));
}

/// The same as a member of a report.
pub(super) fn insert_into(witnessed: Option<&Witnessed>, report: &mut Value) {
    let Some(witnessed) = witnessed else { return };
    let met = witnessed.quorum == Quorum::Met;
    let json = match &witnessed.judged {
        Some(Judged { size, cosigned, missing }) => {
            let cosigned: Vec<Value> =
                cosigned.iter().map(|(name, time)| json!({ "name": name, "time": time })).collect();
            json!({ "quorum_met": met, "size": size, "cosigned": cosigned, "missing": missing })
        }
        None => json!({ "quorum_met": met, "reason": witnessed.text }),
    };
    add(report, [("witnessed", json)]);
}

/// A file that appears under its name complete or not at all. Whoever writes it at the same time has a file of his own
/// until then, and what is no file, such as `/dev/stdout`, is written to as it is.
pub(crate) fn write_whole<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let cannot = || format!("cannot write {}", path.display());
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let mut there = fs::OpenOptions::new().write(true).open(path).with_context(cannot)?;
        return write(&mut there);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    let mut temp = tempfile::Builder::new();
    // As any file is made: the umask takes from it.
    let permissions = fs::Permissions::from_mode(0o666);
    let temp = temp.prefix(&prefix).suffix(".tmp").permissions(permissions).tempfile_in(folder);
    let mut file = std::io::BufWriter::new(temp.with_context(cannot)?);
    let written = write(&mut file)?;
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
    let file = file.with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).map_err(|error| error.error).with_context(cannot)?;
    Ok(written)
}
