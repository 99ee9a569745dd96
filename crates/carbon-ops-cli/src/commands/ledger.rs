//! `carbon-ops ledger`: make, verify and show ledgers.

use std::cell::RefCell;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_estimate::record::any::{Any, NEWEST};
use carbon_ops_estimate::record::continuity::{self, Continuity, Passage};
use carbon_ops_estimate::record::{Record, RecordKind};
use carbon_ops_ledger::append::Founding;
use carbon_ops_ledger::canonical::{Object, Value, object_to_canonical};
use carbon_ops_ledger::entry::RESERVED_MEMBERS;
use carbon_ops_ledger::keys::{PublicKey, Trust, trust_from_file_or_hex};
use carbon_ops_ledger::read::last;
use carbon_ops_ledger::segment::{LedgerReader, SegmentName};
use carbon_ops_ledger::storage::LEDGER_FILE;
use carbon_ops_ledger::verify::{
    Anchor, Notes, Payload, Progress as SoFar, Report, Settings as VerifySettings, Status,
    verify_records,
};
use serde_json::json;

use crate::args::{Ledger, LedgerInit, LedgerSeal, LedgerShow, LedgerVerify, Profile};
use crate::commands::progress::Progress;
use crate::commands::{estimate, legacy};
use crate::config::Settings;
use crate::edge::Edge;
use crate::hints;
use crate::render::{self, Stored, counted, plain, si};
use crate::store::Store;

mod append;
mod head;
mod pack;
mod records;
mod tree;
mod witnessed;
mod witnessing;

use witnessed::Witnessed;
pub(crate) use witnessed::{Witnesses, notices};

/// Faults that are printed; `--json` has up to a thousand.
pub(super) const FAULTS_SHOWN: usize = 20;

/// The verifier's word for a fault that this program found in a record.
const PAYLOAD_FAULT: &str = "record";

/// Exit code for what could not be checked.
const COULD_NOT: u8 = 2;

pub(crate) fn run(
    command: &Ledger,
    edge: &Edge,
    config: Option<&Path>,
    out: &mut impl Write,
) -> Result<u8> {
    let settings = Settings::resolve(edge, config, None)?;
    match command {
        Ledger::Init(args) => init(args, &settings, edge, out),
        Ledger::Verify(args) => check(args, &settings, edge, out),
        Ledger::Show(args) => show(args, &settings, out),
        Ledger::Append(args) if args.profile == Profile::Legacy => {
            legacy::append(args, &settings, edge, out)
        }
        Ledger::Append(args) => append::append(args, &settings, edge, out),
        Ledger::Import(args) => legacy::import(args, &settings, edge, out),
        Ledger::Checkpoint(args) => witnessed::checkpoint(args, &settings, edge, out),
        Ledger::LogKey(args) => witnessed::log_key(args, &settings, edge, out),
        Ledger::AuditPack(args) => pack::write(args, &settings, out),
        Ledger::VerifyPack(args) => pack::check(args, &settings, edge, out),
        Ledger::Seal(args) => seal(args, &settings, edge, out),
        Ledger::Prove(args) => tree::prove(args, &settings, edge, out),
        Ledger::CheckProof(args) => tree::check_proof(args, &settings, edge, out),
        Ledger::Consistency(args) => tree::consistency(args, &settings, edge, out),
        Ledger::Correct(args) => records::correct(args, &settings, edge, out),
        Ledger::Restate(args) => records::restate(args, &settings, edge, out),
        Ledger::Gap(args) => records::gap(args, &settings, edge, out),
        Ledger::Heartbeat(args) => records::heartbeat(args, &settings, edge, out),
    }
}

fn init(args: &LedgerInit, settings: &Settings, edge: &Edge, out: &mut impl Write) -> Result<u8> {
    let store = Store::of(settings, edge)?.at(args.path.as_deref());
    let (key, _) = store.key(true)?;
    let founding = Founding { durability: args.durability, ..Founding::default() };
    match store.make(&key, &founding)? {
        Some(_) if args.json => {
            let public = key.public_key();
            let report = json!({ "schema_version": 1, "ledger": store.ledger.display().to_string(),
                "key": store.key.display().to_string(), "public_key": public.to_hex(),
                "fingerprint": public.fingerprint(), "durability": args.durability.to_string() });
            writeln!(out, "{report:#}")?;
        }
        Some(notice) => writeln!(out, "{notice}")?,
        None => bail!("there is a ledger in {} already", store.ledger.display()),
    }
    Ok(0)
}

fn seal(args: &LedgerSeal, settings: &Settings, edge: &Edge, out: &mut impl Write) -> Result<u8> {
    let store = Store::of(settings, edge)?.at(args.path.as_deref());
    if !store.exists() {
        bail!("there is no ledger in {}", store.ledger.display());
    }
    let keyring = store.keyring()?;
    let mut opened = store.open(&keyring)?;
    // What is sealed can be proven, and its loss is proven by the checkpoint.
    opened.checkpoint()?;
    let sealed = opened.seal()?;
    if args.json {
        let report = json!({ "schema_version": 1, "ledger": store.ledger.display().to_string(),
            "segment": sealed.map(SegmentName::path) });
        writeln!(out, "{report:#}")?;
        return Ok(0);
    }
    match sealed {
        Some(segment) => writeln!(out, "sealed {}", store.ledger.join(segment.path()).display())?,
        None => writeln!(out, "nothing was appended since the last segment was sealed")?,
    }
    Ok(0)
}

fn check(
    args: &LedgerVerify,
    settings: &Settings,
    edge: &Edge,
    out: &mut impl Write,
) -> Result<u8> {
    let path = file(args.path.as_deref(), settings)?;
    let trust = trust(args.trust.as_deref(), settings, edge)?;
    if args.profile == Profile::Legacy {
        return legacy::check(args, &path, &trust, out);
    }
    head::refuse_legacy(&path)?;
    let policy = args.policy.as_deref().map(witnessed::read_policy).transpose()?;
    let (mut anchors, since) = tree::anchors(&path, args.since.as_deref())?;
    anchors.extend(policy.as_ref().and_then(|policy| witnessed::latest_cosigned(&path, policy)));
    let Verified { report, others, continuity } = inspect(args, &path, &trust, &anchors, since)?;
    let pinned = legacy::check_pinned(args.imported.as_deref(), report.imported.as_ref())?;
    let witnessed = policy.map(|policy| Witnessed::of_anchors(&policy, &anchors, &report));
    if args.json {
        let mut json = serde_json::to_value(&report)?;
        if let Some(object) = json.as_object_mut() {
            object.insert("newer_records".into(), others.newer.into());
            object.insert("foreign_records".into(), others.foreign.into());
            if continuity.records > 0 || args.complete {
                object.insert("continuity".into(), records::continuity_json(&continuity)?);
            }
            if let Some(pinned) = &pinned {
                object.insert("imported_differences".into(), pinned.differences.clone().into());
            }
        }
        if let Some(witnessed) = &witnessed {
            witnessed.insert_into(&mut json);
        }
        writeln!(out, "{json:#}")?;
    } else {
        write_report(&report, &others, &path, out)?;
        records::write_continuity(&continuity, args.complete, out)?;
        witnessed.iter().try_for_each(|witnessed| witnessed.write(out))?;
        legacy::write_imported(report.imported.as_ref(), pinned.as_ref(), out)?;
    }
    if pinned.is_some_and(|pinned| !pinned.differences.is_empty()) {
        return Ok(hints::exit_code(Status::Tampered));
    }
    // What this version cannot read, it has not checked.
    let sound = matches!(report.status, Status::Valid | Status::TornTail);
    let code = if others.newer > 0 && sound {
        COULD_NOT
    } else if args.complete && sound {
        records::completeness(&continuity).unwrap_or(hints::exit_code(report.status))
    } else {
        hints::exit_code(report.status)
    };
    Ok(witnessed.map_or(code, |witnessed| witnessed.exit_code(code)))
}

/// What a verification found, in the lines and in what they say.
struct Verified {
    report: Report,
    others: Others,
    continuity: continuity::Report,
}

/// Reads the whole ledger.
fn inspect(
    args: &LedgerVerify,
    path: &Path,
    trust: &Trust,
    anchors: &[Anchor],
    since: u64,
) -> Result<Verified> {
    // Before the ledger, so that what is signed meanwhile is of no more lines than are read.
    let log = RefCell::new(tree::checkpoint_log(path)?);
    let ledger = open(path)?;
    let segments = ledger.segment_faults().with_context(|| cannot_read(path))?;
    let size = ledger.size();
    let active = ledger.active();
    let reader = BufReader::with_capacity(1 << 20, ledger);
    let check = |payload: &Payload<'_>| {
        let owner = Owner::of(payload);
        // What a correction puts in the place of a record is no further passage of time.
        let stands_in_line = payload.member("seq").is_some();
        let read = || check_record(payload, args.recompute);
        let record = matches!(owner, Owner::Us).then(read).transpose()?;
        let record = record.filter(|_| stands_in_line);
        // A span that was not measured here is no passage of a counter's time.
        let measured = record.as_ref().and_then(Any::measurement);
        let passage = measured.map(|record| Passage::of(&record));
        Ok((owner, passage))
    };
    let (mut others, mut continuity) = (Others::default(), Continuity::new());
    let mut accept = |seq, (owner, passage): (Owner, Option<Option<Passage>>)| {
        others.count(owner);
        match passage {
            None => Ok(()),
            Some(None) => {
                continuity.pass_over();
                Ok(())
            }
            Some(Some(passage)) => {
                continuity.add(seq, &passage).map_err(|contradiction| contradiction.to_string())
            }
        }
    };
    let again = RefCell::new(open(path)?);
    let read_back = |offset, len| {
        let (mut again, mut bytes) = (again.borrow_mut(), vec![0; len]);
        again.seek(SeekFrom::Start(offset))?;
        again.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let next_note = || log.borrow_mut().as_mut().map_or(Ok(None), Notes::next);
    let progress = Progress::start("verifying", Some(size));
    let tell = |so_far: SoFar| progress.tell(so_far.bytes, Some(so_far.lines));
    let settings = VerifySettings {
        anchors,
        since,
        active,
        threads: Edge::threads(),
        progress: Some(&tell),
        read_back: Some(&read_back),
        history: log.borrow().is_some().then_some(&next_note),
        ..VerifySettings::new(trust)
    };
    let mut report = verify_records(reader, &settings, &check, &mut accept)
        .with_context(|| cannot_read(path))?;
    report.add_faults(segments.iter().map(Into::into));
    let continuity = continuity.finish(&records::known_gaps(&report.life));
    Ok(Verified { report, others, continuity })
}

/// The keys given, else those of the local key store, else none.
pub(super) fn trust(given: Option<&str>, settings: &Settings, edge: &Edge) -> Result<Trust> {
    match given {
        Some(given) => Ok(trust_from_file_or_hex(given)?),
        None => Store::of(settings, edge).map_or_else(|_| Ok(Trust::new()), |s| s.trusted(None)),
    }
}

/// Signed entries whose content was not checked.
#[derive(Default)]
struct Others {
    newer: u64,
    foreign: u64,
}

impl Others {
    fn count(&mut self, owner: Owner) {
        match owner {
            Owner::Us => {}
            Owner::Newer => self.newer += 1,
            Owner::Foreign => self.foreign += 1,
        }
    }
}

/// Whose entry it is.
#[derive(Clone, Copy)]
enum Owner {
    Us,
    /// Of this program, in a schema that this version does not know.
    Newer,
    /// Of another program.
    Foreign,
}

impl Owner {
    fn of(payload: &Payload<'_>) -> Self {
        let ours = RecordKind::CarbonOps.as_str();
        if payload.member("kind").as_ref().and_then(Value::as_str) != Some(ours) {
            return Self::Foreign;
        }
        match payload.member("schema_version").as_ref().and_then(Value::as_u64) {
            Some(version) if version > NEWEST => Self::Newer,
            _ => Self::Us,
        }
    }
}

/// An entry without what the ledger adds to it.
pub(super) fn unsigned(mut entry: Object) -> serde_json::Value {
    for member in RESERVED_MEMBERS {
        entry.remove(member);
    }
    entry.into()
}

/// Whose record it is; one of ours has to be in order.
fn check_payload(payload: &Payload<'_>, recompute: bool) -> Result<Owner, String> {
    let owner = Owner::of(payload);
    if matches!(owner, Owner::Us) {
        check_record(payload, recompute)?;
    }
    Ok(owner)
}

/// Whether an entry is a record that this version understands, and adds up.
fn check_record(payload: &Payload<'_>, recompute: bool) -> Result<Any, String> {
    let text = payload.to_canonical();
    let record = match serde_json::from_str::<Record>(&text) {
        Ok(record) => record.check().map(|()| Any::V1(Box::new(record))),
        // The other reader says what is wrong without a place that is not the line's.
        Err(_) => Any::from_json(serde_json::from_str(&text).map_err(|e| e.to_string())?),
    };
    let record = record.map_err(|error| error.to_string())?;
    if recompute {
        record.recompute().map_err(|error| error.to_string())?;
    }
    Ok(record)
}

fn write_report(report: &Report, others: &Others, path: &Path, out: &mut impl Write) -> Result<()> {
    let invalid = report.faults.iter().all(|fault| fault.code == PAYLOAD_FAULT);
    let verdict = match report.status {
        Status::Tampered if invalid && report.fault_count > 0 => {
            "INVALID RECORDS, signed by the holder of the key"
        }
        Status::Valid if others.newer > 0 => "NOT CHECKED: records of a newer version",
        Status::Valid => "VALID",
        Status::TornTail => "VALID UP TO A TORN LAST LINE",
        Status::Tampered => "TAMPERED WITH",
        Status::Rewritten => "CUT OFF OR REWRITTEN since it was signed for",
        Status::Untrusted if genesis_is_trusted(report) => {
            "NOT CHECKED: a checkpoint of more lines than there are is signed by an unknown key"
        }
        Status::Untrusted => "NOT CHECKED: the signing key is not trusted",
        _ => "UNKNOWN VERDICT",
    };
    writeln!(out, "{}: {verdict}", path.display())?;
    let own = 1 + report.recoveries + report.rotations + report.life.records();
    let records = report.entries.saturating_sub(own) + report.compared;
    let created = report.created_ts.as_deref().unwrap_or("an unknown time");
    let lines = counted(report.lines, "line", "lines");
    writeln!(out, "  {} in {lines}, begun {created}", counted(records, "record", "records"))?;
    for key in &report.keys {
        let trust = if key.trusted { "trusted" } else { "NOT trusted" };
        let until = key.retired_seq.map_or(String::new(), |seq| format!(", retired at {seq}"));
        let entries = counted(key.entries, "entry", "entries");
        writeln!(out, "  {entries} signed by {} ({trust}{until})", key.fingerprint)?;
    }
    write_others(report, others, out)?;
    records::write_life(report, Edge::now(), out)?;
    for fault in report.faults.iter().take(FAULTS_SHOWN) {
        let seq = fault.seq.map_or("unknown".into(), |seq| seq.to_string());
        let reason = plain(&fault.reason);
        writeln!(out, "  line {}, seq {seq}: {}: {reason}", fault.line, fault.code)?;
    }
    let hidden = report.fault_count.saturating_sub(FAULTS_SHOWN as u64);
    if hidden > 0 {
        writeln!(out, "  and {hidden} more faults; --json lists up to a thousand")?;
    }
    tree::write_anchors(report, out)?;
    if let Some(torn) = &report.torn_tail {
        let what = if torn.complete_entry {
            "is a whole entry that lacks only its newline; the next append adds it"
        } else {
            "is what an interrupted write left; the next append sets it aside and records that"
        };
        writeln!(out, "  line {} ({} bytes) {what}", torn.line, torn.bytes)?;
    }
    if report.status == Status::Untrusted && genesis_is_trusted(report) {
        writeln!(
            out,
            "hint: ask the writer whether the ledger had that many lines, and for the key"
        )?;
        writeln!(
            out,
            "that signed for them; once that is trusted too (`keys trust`, or a file of both"
        )?;
        writeln!(out, "keys with --trust), the checkpoint proves that lines were cut off")?;
    } else if report.status == Status::Untrusted {
        let key = report.keys.iter().find(|key| key.genesis);
        let public = key.map_or("PUBLIC_KEY", |key| key.public_key.as_str());
        write_trust_hint(public, out)?;
    }
    Ok(())
}

/// What is not a record that was looked into.
fn write_others(report: &Report, others: &Others, out: &mut impl Write) -> Result<()> {
    for (count, one, many, what) in [
        (others.newer, "record", "records", "of a newer schema: use a newer carbon-ops"),
        (others.foreign, "signed entry", "signed entries", "of other programs, not looked into"),
        (report.recoveries, "recovery", "recoveries", "from interrupted writes recorded"),
    ] {
        if count > 0 {
            writeln!(out, "  {} {what}", counted(count, one, many))?;
        }
    }
    Ok(())
}

/// Whether the key behind the ledger is trusted.
fn genesis_is_trusted(report: &Report) -> bool {
    report.keys.iter().any(|key| key.genesis && key.trusted)
}

pub(super) fn write_trust_hint(public_key: &str, out: &mut impl Write) -> Result<()> {
    writeln!(out, "hint: ask the writer for the fingerprint of the key on another way; if it")?;
    writeln!(out, "is the one above, verify with --trust {public_key}")?;
    Ok(())
}

fn show(args: &LedgerShow, settings: &Settings, out: &mut impl Write) -> Result<u8> {
    let path = file(args.path.as_deref(), settings)?;
    head::refuse_legacy(&path)?;
    let lines = last(open(&path)?, args.last).with_context(|| cannot_read(&path))?;
    let mut superseded = records::Superseded::default();
    if !args.json {
        for (_, value) in last(open(&path)?, args.last)?.flatten() {
            superseded.note(&value);
        }
    }
    for line in lines {
        let (number, value) = line.with_context(|| format!("cannot show {}", path.display()))?;
        match value {
            Value::Object(object) if args.json => {
                out.write_all(&object_to_canonical(&object))?;
                writeln!(out)?;
            }
            Value::Object(object) => {
                let mark = object.get("seq").and_then(Value::as_u64);
                let mark = mark.and_then(|seq| superseded.mark(seq));
                let mark = mark.map_or(String::new(), |mark| format!("  [{mark}]"));
                if args.summary
                    && let Some(text) = summary(&object, &path)
                        .with_context(|| format!("line {number} of {}", path.display()))?
                {
                    write!(out, "{text}")?;
                    if !mark.is_empty() {
                        writeln!(out, "  {:<8}{mark}", "")?;
                    }
                    continue;
                }
                writeln!(out, "{}{mark}", row(&object))?;
            }
            _ => bail!("line {number} of {} is no entry", path.display()),
        }
    }
    Ok(0)
}

/// What was shown when a record was made; `None` for what is no record of this program, and for a
/// measurement of version 2, which does not keep the inputs of its energy in the form that is shown.
fn summary(object: &Object, file: &Path) -> Result<Option<String>> {
    let text = |member: &str| object.get(member).and_then(Value::as_str);
    let version = object.get("schema_version").and_then(Value::as_u64);
    let ours = text("kind") == Some(RecordKind::CarbonOps.as_str());
    if !ours || version.is_some_and(|version| version > NEWEST) {
        return Ok(None);
    }
    let ledger = if file.ends_with(LEDGER_FILE) { file.parent().unwrap_or(file) } else { file };
    let stored = Stored::Entry {
        seq: object.get("seq").and_then(Value::as_u64).context("it has no number")?,
        ledger: ledger.display().to_string(),
        fingerprint: &PublicKey::from_hex(text("signing_key").unwrap_or_default())?.fingerprint(),
    };
    let record = Any::from_json(unsigned(object.clone()))?;
    Ok(match &record {
        Any::V1(record) => Some(render::summary(record, None, &[], &stored)),
        Any::V2(_) if record.measurement().is_some() => None,
        Any::V2(record) => Some(estimate::summary(record)?),
    })
}

/// One entry in one line: number, time, program, energy, carbon with its interval, quality, zone.
fn row(object: &Object) -> String {
    let text = |member: &str| plain(object.get(member).and_then(Value::as_str).unwrap_or("?"));
    let number = |of: &Object, member: &str| of.get(member).and_then(Value::as_f64);
    let inner = |member: &str| object.get(member).and_then(Value::as_object);
    let seq = number(object, "seq").map_or("?".into(), |seq| seq.to_string());
    if text("type") != "carbon_estimate" {
        return format!("#{seq:<5} {}  {}", text("created_ts"), records::summary(object));
    }
    let program = inner("workload").and_then(|workload| workload.get("program"));
    let program = plain(program.and_then(Value::as_str).unwrap_or("?"));
    let joules = inner("energy").and_then(|energy| number(energy, "workload_uj"));
    let joules = joules.map_or("?".into(), |uj| si(uj / 1e6, "J"));
    let grams = |value: Option<f64>| value.map_or("?".into(), |grams| si(grams, "g"));
    let bound = |member| grams(inner("meta").and_then(|meta| number(meta, member)));
    let start = text("start_ts");
    let start = start.get(..19).unwrap_or("?");
    format!(
        "#{seq:<5} {start}Z  {program:<16} {joules:>9}  {:>9} CO2e [{} to {}]  {}  {}",
        grams(number(object, "grams")),
        bound("ci_lower_g"),
        bound("ci_upper_g"),
        text("quality_flag"),
        text("region"),
    )
}

/// The ledger file that is meant by a directory, a file or nothing.
fn file(path: Option<&Path>, settings: &Settings) -> Result<PathBuf> {
    let path = match (path, &settings.ledger.value) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path.clone(),
        (None, None) => bail!("there is no default ledger without a HOME\nhint: give its path"),
    };
    Ok(if path.is_dir() { path.join(LEDGER_FILE) } else { path })
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

pub(super) fn open(path: &Path) -> Result<LedgerReader> {
    LedgerReader::open(path).map_err(|error| {
        anyhow!(
            "cannot open the ledger {}: {error}\nhint: give the path of a ledger, or make the \
             default one with a first `carbon-ops run`",
            path.display()
        )
    })
}
