//! `carbon-ops ledger`: make, verify and show ledgers.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;

use crate::summary::{Stored, summary};
use anyhow::{Context as _, Result, bail};
use carbon_ops::ledger::append::GenesisOptions;
use carbon_ops::ledger::keys::PublicKey;
use carbon_ops::ledger::segment::SegmentName;
use carbon_ops::ledger::storage::LEDGER_FILE;
use carbon_ops::proof::canonical::{Object, Value, object_to_canonical};
use carbon_ops::proof::read::last;
use carbon_ops::proof::superseded::Amendments;
use carbon_ops::proof::verify::{Progress as SoFar, Report, Status};
use carbon_ops::record::answer;
use carbon_ops::record::totals::{Choice, Place};
use carbon_ops::record::{Record, RecordKind, SCHEMA_VERSION};
use serde_json::json;

use crate::args::{AtLedger, Ledger, LedgerInit, LedgerShow, LedgerVerify, Profile};
use crate::commands::legacy;
use crate::commands::verdict::{FAULTS_SHOWN, add_others, hint_at_trust, tell_counts, tell_first};
use crate::context::Context;
use crate::layout::Page;
use crate::progress::Progress;
use crate::render::add;
use crate::render::{counted, plain};
use carbon_ops::env::Env;

mod append;
mod before;
mod doctor;
mod entries;
mod pack;
mod records;
mod sample;
mod tree;
mod witnessed;

use carbon_ops::verify::{self, Kind, Others, Question, Verdict, cannot_read, open, unsigned};
use entries::{cells, entries};
pub(crate) use witnessed::{notices, write_whole};

pub(crate) fn run(command: &Ledger, context: &mut Context<'_>) -> Result<u8> {
    match command {
        Ledger::Init(args) => init(args, context),
        Ledger::Verify(args) => check(args, context),
        Ledger::Show(args) => show(args, context),
        Ledger::Append(args) if args.profile == Profile::Legacy => legacy::append(args, context),
        Ledger::Append(args) => append::append(args, context),
        Ledger::Import(args) => legacy::import(args, context),
        Ledger::Doctor(at) => doctor::doctor(at, context),
        Ledger::Repair(at) => doctor::repair(at, context),
        Ledger::Checkpoint(args) => witnessed::checkpoint(args, context),
        Ledger::LogKey(at) => witnessed::log_key(at, context),
        Ledger::AuditPack(args) => pack::write(args, context),
        Ledger::VerifyPack(args) => pack::check(args, context),
        Ledger::Sample(args) => sample::draw(args, context),
        Ledger::Seal(at) => seal(at, context),
        Ledger::Prove(args) => tree::prove(args, context),
        Ledger::CheckProof(args) => tree::check_proof(args, context),
        Ledger::Consistency(args) => tree::consistency(args, context),
        Ledger::Correct(args) => records::correct(args, context),
        Ledger::Restate(args) => records::restate(args, context),
        Ledger::Gap(args) => records::gap(args, context),
        Ledger::Heartbeat(args) => records::heartbeat(args, context),
    }
}

fn init(args: &LedgerInit, context: &mut Context<'_>) -> Result<u8> {
    if let Some(old) = &args.continues {
        return before::begin(old, args, context);
    }
    let store = context.store(args.at.path.as_deref())?;
    let (key, _) = store.key(true)?;
    let genesis = GenesisOptions { durability: args.durability, ..GenesisOptions::default() };
    let Some(notice) = store.make(&key, &genesis)? else {
        bail!("there is a ledger in {} already", store.ledger.display());
    };
    let public = key.public_key();
    let report = json!({ "ledger": store.ledger.display().to_string(),
        "key": store.key.display().to_string(), "public_key": public.to_hex(),
        "fingerprint": public.fingerprint(), "durability": args.durability.to_string() });
    context.answer(&args.at.output, report, &notice)
}

fn seal(at: &AtLedger, context: &mut Context<'_>) -> Result<u8> {
    let store = context.existing(at.path.as_deref())?;
    let keyring = store.keyring()?;
    let mut opened = context.open(&store, &keyring)?;
    // What is sealed can be proven, and its loss is proven by the checkpoint.
    opened.checkpoint()?;
    let sealed = opened.seal()?.map(SegmentName::path);
    let text = match &sealed {
        Some(segment) => format!("sealed {}", store.ledger.join(segment).display()),
        None => "nothing was appended since the last segment was sealed".to_owned(),
    };
    let report = json!({ "ledger": store.ledger.display().to_string(), "segment": sealed });
    context.answer(&at.output, report, &text)
}

fn check(args: &LedgerVerify, context: &mut Context<'_>) -> Result<u8> {
    let path = context.ledger_file(args.path.as_deref())?;
    let checks = &args.checks;
    let trust = context.trust(&checks.trusted)?;
    if args.profile == Profile::Legacy {
        return legacy::check(args, &path, &trust, context);
    }
    if let Kind::Document(json) = Kind::of(&path)? {
        return legacy::check_document(&json, &path, &trust, &args.output, context);
    }
    let progress = Progress::start("verifying", open(&path).ok().map(|file| file.size()));
    let tell = |so_far: SoFar, _| progress.tell(so_far.bytes, Some(so_far.lines));
    let total = args.imported.as_deref().and_then(|file| open(file).ok()).map(|file| file.size());
    let imported = Progress::start("verifying what it continues", total);
    let tell_imported = |bytes, _| imported.tell(bytes, None);
    let question = Question {
        trust,
        since: checks.since.as_deref(),
        policy: checks.quorum.policy.as_deref(),
        imported: args.imported.as_deref(),
        continues: args.continues.as_deref(),
        recompute: checks.recompute,
        complete: args.complete,
        progress: Some(&tell),
        imported_progress: Some(&tell_imported),
    };
    let verdict = verify::verify(&path, &question)?;
    drop((progress, imported));
    let Verdict { report, others, continuity, witnessed, .. } = &verdict;
    let mut page = Page::default();
    tell_report(report, others, &path, &mut page);
    records::tell_continuity(continuity, args.complete, &mut page);
    witnessed::tell(witnessed.as_ref(), &mut page);
    let differences = verdict.imported_differences.as_deref();
    legacy::tell_imported(report.imported.as_ref(), differences, &mut page);
    before::tell(&verdict.chain, &mut page);
    context.answer(&args.output, verdict_json(&verdict)?, page.text())?;
    Ok(verdict.answer().number())
}

fn verdict_json(verdict: &Verdict) -> Result<serde_json::Value> {
    let Verdict { report, others, continuity, witnessed, .. } = verdict;
    let mut json = serde_json::to_value(report)?;
    add_others(&mut json, others);
    if continuity.records > 0 || verdict.complete {
        let mut totals = serde_json::to_value(continuity)?;
        add(&mut totals, [("uncovered_uj", continuity.uncovered_uj().into())]);
        add(&mut json, [("continuity", totals)]);
    }
    if let Some(differences) = &verdict.imported_differences {
        add(&mut json, [("imported_differences", differences.clone().into())]);
    }
    before::insert_into(&verdict.chain, &mut json);
    witnessed::insert_into(witnessed.as_ref(), &mut json);
    Ok(json)
}

fn tell_report(report: &Report, others: &Others, path: &Path, page: &mut Page) {
    page.title(&format!("{}: {}", path.display(), answer::of_ledger(report, others)));
    let records = (report.entries + report.compared).saturating_sub(report.own_records);
    let created = report.created_ts.as_deref().unwrap_or("an unknown time");
    let (records, lines) = (counted(records, "record"), counted(report.lines, "line"));
    page.item(&format!("{records} in {lines}, begun {created}"));
    for key in &report.keys {
        let trust = match key.trusted_through {
            _ if key.trusted => "trusted".to_owned(),
            Some(0) => "trusted through the genesis".to_owned(),
            Some(seq) => format!("trusted through the rotation at {seq}"),
            None => "NOT trusted".to_owned(),
        };
        let until = key.retired_seq.map_or(String::new(), |seq| format!(", retired at {seq}"));
        let entries = match report.compared {
            0 => counted(key.entries, "entry"),
            _ => format!("{} of those that were looked into", counted(key.entries, "entry")),
        };
        page.item(&format!("{entries} signed by {} ({trust}{until})", key.fingerprint));
    }
    let counts = [
        (others.newer, "record", "of a newer schema: use a newer carbon-ops"),
        (others.foreign, "signed entry", "of other programs, not looked into"),
        (report.recoveries, "recovery", "from interrupted writes recorded"),
    ];
    tell_counts(page, &counts);
    records::tell_life(report, Env::now(), page);
    let faults = report.faults.iter().map(|fault| {
        let seq = fault.seq.map_or("unknown".into(), |seq| seq.to_string());
        format!("line {}, seq {seq}: {}: {}", fault.line, fault.code, plain(&fault.reason))
    });
    tell_first(page, FAULTS_SHOWN, faults, report.fault_count, "fault");
    tree::tell_anchors(report, page);
    if let Some(torn) = &report.torn_tail {
        let what = if torn.complete_entry {
            "is a whole entry that lacks only its newline; the next append adds it"
        } else {
            "is what an interrupted write left; the next append sets it aside and records that"
        };
        page.item(&format!("line {} ({} bytes) {what}", torn.line, torn.bytes));
    }
    if report.status == Status::Untrusted {
        tell_distrust(report, page);
    }
}

/// What to do about a key that is not trusted.
fn tell_distrust(report: &Report, page: &mut Page) {
    if genesis_is_trusted(report) {
        page.hint(
            "ask the writer whether the ledger had that many lines, and for the key that signed for them; once \
             that is trusted too (`keys trust`, or a file of both keys with --trust), the checkpoint proves that \
             lines were cut off",
        );
        return;
    }
    let key = report.keys.iter().find(|key| key.genesis);
    if let Some(later) = report.keys.iter().find(|key| key.trusted) {
        let began = key.map_or("an unknown key", |key| key.fingerprint.as_str());
        page.item(&format!(
            "{} is trusted, but joined later; the ledger was begun by {began}",
            later.fingerprint
        ));
    }
    hint_at_trust(key.map_or("PUBLIC_KEY", |key| key.public_key.as_str()), page);
}

/// Whether the key behind the ledger is trusted.
fn genesis_is_trusted(report: &Report) -> bool {
    report.keys.iter().any(|key| key.genesis && key.trusted)
}

fn show(args: &LedgerShow, context: &mut Context<'_>) -> Result<u8> {
    let path = context.ledger_file(args.path.as_deref())?;
    verify::refuse_others(&path)?;
    let choice = args.chosen.choice();
    // Of some records nobody knows how far back they are.
    let count = if choice.is_all() { args.last } else { usize::MAX };
    let (mut amendments, mut lines) = (Amendments::default(), VecDeque::new());
    for line in last(open(&path)?, count).with_context(|| cannot_read(&path))? {
        // Whoever shows the last entries of a ledger meets all that later ones say of them.
        if let Ok((_, value)) = &line {
            records::note(&mut amendments, value);
        }
        if choice.is_all() || line.as_ref().map_or(true, |(_, value)| is_chosen(value, &choice)) {
            lines.push_back(line);
        }
        if lines.len() > args.last {
            lines.pop_front();
        }
    }
    let superseded = amendments.settle();
    let mut table = entries();
    for line in lines {
        let (number, value) = line.with_context(|| format!("cannot show {}", path.display()))?;
        let Value::Object(object) = value else {
            bail!("line {number} of {} is not an entry", path.display());
        };
        if args.json {
            context.out.write_all(&object_to_canonical(&object))?;
            writeln!(context.out)?;
            continue;
        }
        let mark = records::mark(&superseded, &object);
        let summary = if args.summary { shown(&object, &path) } else { Ok(None) };
        match summary.with_context(|| format!("line {number} of {}", path.display()))? {
            Some(text) => {
                let marks = mark.iter().map(|mark| format!("           [{mark}]\n"));
                context.say(&marks.fold(text, |text, mark| text + &mark))?;
            }
            None if args.summary => {
                context.say(&(cells(&object, mark).join("  ") + "\n"))?;
            }
            None => table.row(cells(&object, mark)),
        }
    }
    context.say(&table.fitted())?;
    Ok(0)
}

/// Whether an entry is a record of this program, and of those that are meant.
fn is_chosen(entry: &Value, choice: &Choice) -> bool {
    let Value::Object(object) = entry else { return false };
    let record = Record::from_json(unsigned(object.clone()));
    record.and_then(|record| choice.place(&record)).is_ok_and(|place| place == Place::Chosen)
}

/// A record as it was shown when it was made; `None` for what is no record of this program.
fn shown(object: &Object, file: &Path) -> Result<Option<String>> {
    let text = |member: &str| object.get(member).and_then(Value::as_str);
    let version = object.get("schema_version").and_then(Value::as_u64);
    let ours = text("kind") == Some(RecordKind::CarbonOps.as_str());
    if !ours || version != Some(SCHEMA_VERSION) {
        return Ok(None);
    }
    let ledger = if file.ends_with(LEDGER_FILE) { file.parent().unwrap_or(file) } else { file };
    let stored = Stored::Entry {
        seq: object.get("seq").and_then(Value::as_u64).context("it has no number")?,
        ledger,
        fingerprint: PublicKey::from_hex(text("signing_key").unwrap_or_default())?.fingerprint(),
    };
    let record = Record::from_json(unsigned(object.clone()))?;
    summary(&record, &[], Some(&stored), true, None).map(Some)
}
