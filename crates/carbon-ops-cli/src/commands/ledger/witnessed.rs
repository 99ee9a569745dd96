//! Checkpoints and their witnesses on the command line: signing and asking, and what a policy says of
//! a checkpoint.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use carbon_ops::proof::checkpoint::origin;
use carbon_ops::proof::cosignature;
use carbon_ops::proof::note::{KeyKind, Note, VerifierKey};
use carbon_ops::proof::policy::Policy;
use serde_json::{Value, json};

use crate::REWRITTEN;
use crate::args::{AtLedger, LedgerCheckpoint};
use crate::context::{Context, add};
use crate::layout::Page;
use crate::render::plain;
use carbon_ops::settings::Settings;
use carbon_ops::store::Opened;
use carbon_ops::verify::{latest, read_policy};
use carbon_ops::witnessed::{Judged, Quorum, Witnessed};
use carbon_ops::witnesses::{
    Address, Answered, PATIENCE, RUN_PATIENCE, Refusal, Signed, addresses,
};

/// Exit code for "no": too few witnesses cosigned.
const NO: u8 = 1;

pub(super) fn checkpoint(args: &LedgerCheckpoint, context: &mut Context<'_>) -> Result<u8> {
    let store = context.existing(args.at.path.as_deref())?;
    let policy = args.policy.as_deref().or(context.settings.policy.value.as_deref());
    let policy = policy.map(read_policy).transpose()?;
    let configured = context.settings.witnesses.value.as_deref().unwrap_or_default();
    let given = [&args.witnesses[..], configured].concat();
    let witnesses = addresses(&given, policy.as_ref())?;
    let keyring = store.keyring()?;
    let mut opened = context.open(&store, &keyring)?;
    let signed = opened.checkpoint()?;
    let ledger = context.ledger_file(Some(&store.ledger))?;
    let signed = Signed { ledger, checkpoint: signed.checkpoint, note: signed.note };
    let answered = signed.ask(&witnesses, PATIENCE);
    let note = merge(&mut opened, &signed, &answered)?;
    let missing = missing(&note, &witnesses, policy.as_ref())?;
    let fork = answered.iter().any(|a| matches!(a.result, Err(Refusal::Fork(_))));
    context.answer(&args.at.output, report(&note, &answered, &missing, fork), &note.to_string())?;
    if !args.at.output.json {
        tell_answers(&answered, &missing, context.err);
    }
    Ok(match (fork, missing.is_empty()) {
        (true, _) => REWRITTEN,
        (false, true) => 0,
        (false, false) => NO,
    })
}

fn merge(opened: &mut Opened<'_>, signed: &Signed, answered: &[Answered]) -> Result<Note> {
    let lines = answered.iter().filter_map(|a| Some(a.result.as_ref().ok()?.line.clone()));
    match lines.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(signed.note.clone()),
        lines => opened.add_cosignatures(&signed.note, lines),
    }
}

/// What keeps a checkpoint from being witnessed enough.
fn missing(note: &Note, asked: &[Address], policy: Option<&Policy>) -> Result<Vec<String>> {
    if let Some(policy) = policy {
        let judged = policy.judge(note, latest()).context("the checkpoint")?;
        return Ok(judged.missing);
    }
    let lacks = |address: &&Address| {
        !cosignature::verify(note, &address.key)
            .is_ok_and(|time| time.is_some_and(|time| time <= latest()))
    };
    Ok(asked.iter().filter(lacks).map(|a| format!("witness {}", a.key.name())).collect())
}

fn tell_answers(answered: &[Answered], missing: &[String], err: &mut dyn Write) {
    for Answered { address, result } in answered {
        let name = address.key.name();
        let told = result.as_ref().map(|_| format!("{name} cosigned"));
        let told = told.unwrap_or_else(|refusal| refused(name, refusal));
        let _ = writeln!(err, "carbon-ops: {told}");
    }
    if !missing.is_empty() {
        let missing = missing.join("; ");
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

fn report(note: &Note, answered: &[Answered], missing: &[String], fork: bool) -> Value {
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
        "missing": missing, "quorum_met": missing.is_empty(), "fork": fork })
}

/// For `run`: asks the configured witnesses about a checkpoint that was just signed. Lines for the
/// user; a failure is one of them.
pub(crate) fn notices(
    opened: &mut Opened<'_>,
    signed: &Signed,
    settings: &Witnesses,
) -> Vec<String> {
    let given = settings.witnesses.as_slice();
    let policy = settings.policy.as_deref().map(read_policy).transpose();
    let witnesses = policy.and_then(|policy| addresses(given, policy.as_ref()));
    let witnesses = match witnesses {
        Ok(witnesses) => witnesses,
        Err(error) => return vec![format!("no witness was asked: {error:#}")],
    };
    let answered = signed.ask(&witnesses, RUN_PATIENCE);
    let refusals = answered.iter().filter_map(|Answered { address, result }| {
        Some(refused(address.key.name(), result.as_ref().err()?))
    });
    let mut notices: Vec<String> = refusals.collect();
    if let Err(error) = merge(opened, signed, &answered) {
        notices.push(format!("the cosignatures were not stored: {error:#}"));
    }
    notices
}

/// Whom `run` asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witnesses {
    witnesses: Vec<String>,
    policy: Option<PathBuf>,
}

impl Witnesses {
    /// Those that are configured; none when none are.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let witnesses = settings.witnesses.value.clone().unwrap_or_default();
        let policy = settings.policy.value.clone();
        (!witnesses.is_empty() || policy.is_some()).then_some(Self { witnesses, policy })
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
    context.answer(&at.output, report, &keys.join("\n"))
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

/// A file that appears under its name complete or not at all.
pub(super) fn write_whole<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let cannot = || format!("cannot write {}", path.display());
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let temp = Path::new(&temp);
    let mut file = std::io::BufWriter::new(fs::File::create(temp).with_context(cannot)?);
    let written = write(&mut file).and_then(|written| {
        file.flush().with_context(cannot)?;
        file.get_ref().sync_all().with_context(cannot)?;
        fs::rename(temp, path).with_context(cannot)?;
        Ok(written)
    });
    if written.is_err() {
        let _ = fs::remove_file(temp);
    }
    written
}
