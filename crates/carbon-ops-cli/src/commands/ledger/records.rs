//! Records about records on the command line: corrections, restatements, gaps, heartbeats; what
//! `verify` says of them, and how `show` marks what does not stand.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops::ledger::append::{Amendment, Appended, Ledger};
use carbon_ops::ledger::keys::PublicKey;
use carbon_ops::ledger::storage::DirStorage;
use carbon_ops::proof::canonical::{Object, Value, object_to_canonical, parse};
use carbon_ops::proof::entry::{
    Change, Control, Entry, Gap, Heartbeat, MAX_LINE_BYTES, Outcome, Period, RESERVED_MEMBERS,
    Restatement, Scope, Totals,
};
use carbon_ops::proof::verify::Report;
use carbon_ops::record::continuity::{self, Hole};
use carbon_ops::record::timestamp;
use serde_json::json;

use crate::args::{AtLedger, LedgerCorrect, LedgerGap, LedgerHeartbeat, LedgerRestate};
use crate::commands::verdict::tell_counts;
use crate::commands::verdict::tell_first;
use crate::context::Context;
use crate::layout::Page;
use crate::render::{counted, plain};
use carbon_ops::proof::superseded::{Amendments, Standing, Superseded};
use carbon_ops::verify::{Answer, check_object};

/// Silences and the like that are printed; `--json` has up to a thousand.
const SHOWN: usize = 5;

pub(super) fn correct(args: &LedgerCorrect, context: &mut Context<'_>) -> Result<u8> {
    let outcome = match &args.replacement {
        Some(file) => Outcome::Replaced(replacement(file)?),
        None => Outcome::Retracted,
    };
    let wanted = Amendment {
        corrects: args.seq,
        reason: args.reason,
        note: args.remark.note.clone(),
        outcome,
        restatement: args.restatement,
    };
    let text = format!(" corrects entry {}", args.seq);
    append(&args.remark.at, context, |ledger, now| {
        Ok((ledger.correct(wanted, now)?, ("corrects", args.seq.into()), text))
    })
}

/// The record as it should have been. What `ledger show --json` prints can be edited and given back.
fn replacement(path: &Path) -> Result<Object> {
    let mut text = Vec::new();
    let limit = 4 * MAX_LINE_BYTES as u64;
    let read = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    let value = parse(&text).with_context(|| format!("{} cannot be used", path.display()))?;
    let Value::Object(mut payload) = value else {
        bail!("{} is not a JSON object", path.display());
    };
    for member in RESERVED_MEMBERS {
        payload.remove(member);
    }
    // What a verification would refuse is not written.
    check_object(&payload, false)
        .map_err(|fault| anyhow!("the record in {} is invalid: {fault}", path.display()))?;
    Ok(payload)
}

pub(super) fn restate(args: &LedgerRestate, context: &mut Context<'_>) -> Result<u8> {
    // The parser sees to it that there are three of each.
    let changes = args.change.as_chunks().0.iter().map(|[subject, before, after]| {
        let [subject, before, after] = [subject, before, after].map(String::clone);
        Change { subject, before, after }
    });
    let totals = args.total.as_chunks().0.iter().map(|[name, before, after]| {
        (name.clone(), Totals { before: amount(before), after: amount(after) })
    });
    let period = args.period.as_chunks().0.first();
    let period =
        period.map(|[from, to]| Period { from_ts: timestamp(*from), to_ts: timestamp(*to) });
    let record = Control::Restatement(Restatement {
        scope: args.records.clone(),
        reason: args.reason,
        note: args.remark.note.clone(),
        changes: changes.collect(),
        totals: totals.collect(),
        period,
    });
    let records = match &args.records {
        Scope::Range { first, last } => json!({ "first": first, "last": last }),
        Scope::List { records } => json!(records),
    };
    let text = match &args.records {
        Scope::Range { first, last } => format!(" restates the entries {first} to {last}"),
        Scope::List { records } => format!(" restates {}", counted(records.len() as u64, "entry")),
    };
    append(&args.remark.at, context, |ledger, now| {
        Ok((ledger.append_control(&record, now)?, ("restates", records), text))
    })
}

/// A number, or the digits of an integer that is too large for one.
fn amount(text: &str) -> Value {
    match parse(text.as_bytes()) {
        Ok(Value::Number(number)) if number.as_f64().abs() < 9e15 => number.into(),
        _ => text.into(),
    }
}

pub(super) fn gap(args: &LedgerGap, context: &mut Context<'_>) -> Result<u8> {
    let mut domains = args.domain.clone();
    domains.sort();
    domains.dedup();
    let record = Control::Gap(Gap {
        from_ts: timestamp(args.from),
        to_ts: timestamp(args.to),
        reason: args.reason,
        note: args.remark.note.clone(),
        host_id: args.host.clone(),
        domains: (!domains.is_empty()).then_some(domains),
        bound_uj: args.bound_uj,
    });
    let gap = json!({ "from_ts": timestamp(args.from), "to_ts": timestamp(args.to) });
    let text = " records the gap".to_owned();
    append(&args.remark.at, context, |ledger, now| {
        Ok((ledger.append_control(&record, now)?, ("gap", gap), text))
    })
}

pub(super) fn heartbeat(args: &LedgerHeartbeat, context: &mut Context<'_>) -> Result<u8> {
    let seconds = args.interval.as_secs();
    if args.interval.subsec_nanos() != 0 {
        bail!("the interval must be a whole number of seconds");
    }
    append(&args.at, context, |ledger, now| {
        let heartbeat = Heartbeat::at(now, seconds)?;
        let due = heartbeat.next_by.clone();
        let text = match &due {
            Some(due) => format!(": the next one is due by {due}"),
            None => ": no next one is promised".to_owned(),
        };
        let appended = ledger.append_control(&Control::Heartbeat(heartbeat), now)?;
        Ok((appended, ("next_by", due.into()), text))
    })
}

/// An entry, what it is about as a member of a report, and the same in words after its number.
type Told = (Appended, (&'static str, serde_json::Value), String);

/// Appends a record of the ledger's own, made for the time that it is given, and tells of it.
fn append(
    at: &AtLedger,
    context: &mut Context<'_>,
    act: impl FnOnce(&mut Ledger<'_, DirStorage>, jiff::Timestamp) -> Result<Told>,
) -> Result<u8> {
    let (appended, (name, about), text) = context.append(at.path.as_deref(), |opened| {
        let (ledger, now) = opened.ledger();
        act(ledger, now)
    })?;
    let (seq, hash) = (appended.seq, appended.hash.to_string());
    let report = json!({ "seq": seq, "hash": hash, name: about });
    context.answer(&at.output, report, &format!("entry {seq}{text}"))
}

/// What `verify` says of the keys and of the records about records.
pub(super) fn tell_life(report: &Report, now: jiff::Timestamp, page: &mut Page) {
    for suspect in &report.suspects {
        let least = if suspect.complete { "" } else { "at least " };
        page.item(&format!(
            "SUSPECT: {least}{} from {} on by {}: entry {} says that the key was in other hands",
            counted(suspect.entries, "entry"),
            suspect.compromised_since,
            suspect.fingerprint,
            suspect.retired_seq
        ));
    }
    let life = &report.life;
    let counts = [
        (life.corrections, "correction", "of earlier records"),
        (life.restatements, "restatement", "of many records"),
        (life.gap_count, "gap", "recorded"),
    ];
    tell_counts(page, &counts);
    let silences = life.silences.iter().map(|silence| {
        format!(
            "SILENT after entry {}, from {} to {}: an entry every {} s was promised",
            silence.after_seq, silence.from_ts, silence.to_ts, silence.interval_s
        )
    });
    tell_first(page, SHOWN, silences, life.silence_count, "silence");
    if life.turn_back_count > 0 {
        let first = life.turns_back.first().map_or(String::new(), |turn| {
            format!(", first at entry {}: {} after {}", turn.seq, turn.to_ts, turn.from_ts)
        });
        page.item(&format!("{} go back{first}", counted(life.turn_back_count, "time")));
    }
    if let Some(latest) = &life.latest
        && latest.ts.parse().is_ok_and(|time: jiff::Timestamp| time > now)
    {
        page.item(&format!(
            "entry {} is dated {}, LATER THAN NOW by this machine's clock",
            latest.seq, latest.ts
        ));
    }
    if let Some(due) = &life.due {
        let silent = due.silent_from.parse().is_ok_and(|from: jiff::Timestamp| from < now);
        let word = if silent { "OVERDUE" } else { "due" };
        page.item(&format!("the next entry is {word} by {}", due.next_by));
    }
}

/// On energy between records, when there are totals to compare.
pub(super) fn tell_continuity(continuity: &continuity::Report, complete: bool, page: &mut Page) {
    let uncovered = continuity.uncovered_uj();
    if continuity.records > 0 {
        let sum = |of: fn(&continuity::DomainReport) -> u64| {
            continuity.domains.iter().map(of).fold(0, u64::saturating_add)
        };
        let (covered, in_gaps) = (sum(|domain| domain.covered_uj), sum(|domain| domain.gap_uj));
        let gaps =
            if in_gaps > 0 { format!(", {in_gaps} uJ in recorded gaps") } else { String::new() };
        page.item(&format!(
            "{covered} uJ of the governor's totals in records, {uncovered} uJ between them{gaps}"
        ));
    }
    let answer = Answer::Valid.and_complete(continuity);
    if complete && answer == Answer::Incomplete {
        page.title(&format!("NOT COMPLETE: {uncovered} uJ are in no record and no gap"));
        for hole in continuity.holes.iter().take(SHOWN) {
            let Hole { uncovered_uj, domain, after_seq, from_ts, to_ts, .. } = hole;
            page.item(&format!(
                "{uncovered_uj} uJ of {domain} after entry {after_seq}, from {from_ts} to {to_ts}"
            ));
        }
    } else if complete && answer == Answer::CompletenessUnknown {
        let records = counted(continuity.incomparable, "record");
        page.title(&format!("COMPLETENESS NOT CHECKED: {records} have no totals to compare"));
    }
}

/// What an entry of a ledger says of those before it.
pub(super) fn note(amendments: &mut Amendments, entry: &Value) {
    if let Value::Object(object) = entry
        && let Ok(entry) = Entry::parse(&object_to_canonical(object))
        && let Ok(Some(control)) = entry.control()
    {
        amendments.note(entry.seq(), control);
    }
}

/// What became of an entry, in a few words; nothing of one that stands.
pub(super) fn mark(superseded: &Superseded, entry: &Object) -> Option<String> {
    let seq = entry.get("seq")?.as_u64()?;
    let key = entry.get("signing_key").and_then(Value::as_str);
    let key = key.and_then(|key| PublicKey::from_hex(key).ok());
    if let Some(by) = key.and_then(|key| superseded.suspect(seq, key)) {
        return Some(format!("SUSPECT: #{by} says that its key was in other hands"));
    }
    Some(match superseded.standing(seq)? {
        Standing::Corrected(by) => format!("corrected by #{by}"),
        Standing::Retracted(by) => format!("retracted by #{by}"),
        Standing::Restated(by) => format!("restated by #{by}"),
    })
}

/// What an entry says that is no record of this version, in a few words: those of the ledger's own records are for
/// these alone, whatever type another program gives to its entries.
pub(super) fn summary(object: &Object) -> String {
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(plain);
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    let count = |name: &str| object.get(name).and_then(Value::as_array).map_or(0, <[Value]>::len);
    let reason = text("reason").map_or(String::new(), |reason| format!(" ({reason})"));
    let of_kind = |kind| text("type").filter(|_| text("kind").as_deref() == Some(kind));
    match of_kind("ledger").as_deref() {
        Some("correction") => {
            let corrected = number("corrects").unwrap_or_default();
            let word = if object.contains("retraction") { "retracts" } else { "corrects" };
            format!("correction: {word} #{corrected}{reason}")
        }
        Some("restatement") => match (number("first"), number("last")) {
            (Some(first), Some(last)) => format!("restatement: #{first} to #{last}{reason}"),
            _ => format!("restatement: {}{reason}", counted(count("records") as u64, "record")),
        },
        Some("gap") => {
            let [from, to] = ["from_ts", "to_ts"].map(|name| text(name).unwrap_or_default());
            format!("gap: {from} to {to}{reason}")
        }
        Some("heartbeat") => match text("next_by") {
            Some(due) => format!("heartbeat: next by {due}"),
            None => "heartbeat: the last one".to_owned(),
        },
        Some("key_rotation") => {
            // In brackets the word would read as if the entry were superseded.
            let why = text("reason").map_or(String::new(), |why| format!("; reason: {why}"));
            let (added, retired) = (count("added") as u64, count("retired"));
            format!("key_rotation: {} added, {retired} retired{why}", counted(added, "key"))
        }
        Some(own) => own.to_owned(),
        None => of_kind("carbon_ops").unwrap_or_else(|| "an entry of another program".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_program_wrote_is_not_told_in_the_words_of_the_ledgers_own_records() {
        let types = ["genesis", "correction", "restatement", "gap", "heartbeat", "key_rotation"];
        for (kind, name) in
            ["else", "ledger"].into_iter().flat_map(|kind| types.map(|of| (kind, of)))
        {
            let members =
                [("corrects", 5_u32.into()), ("kind", kind.into()), ("type", name.into())];
            let said = summary(&Object::from_members(members).unwrap());
            assert_eq!(said == "an entry of another program", kind == "else", "{said}");
        }
    }

    #[test]
    fn complete_is_only_what_was_compared_and_has_no_hole() {
        let domain = |uncovered_uj| continuity::DomainReport {
            host_id: "h".into(),
            domain: "package-0".into(),
            streams: 1,
            covered_uj: 10,
            uncovered_uj,
            gap_uj: 5,
        };
        let report = |records, incomparable, uncovered| continuity::Report {
            records,
            incomparable,
            domains: vec![domain(uncovered)],
            holes: Vec::new(),
        };
        let mut page = Page::default();
        tell_continuity(&report(3, 0, 7), true, &mut page);
        let text = page.text();
        assert!(
            text.contains("10 uJ of the governor's totals in records, 7 uJ between them, 5 uJ")
        );
        assert!(text.contains("NOT COMPLETE: 7 uJ"), "{text}");
    }
}
