//! `estimate --recompute`: the numbers of a record again, from the record itself, digit by digit.
//!
//! Prices, budget, interval and, where the slots are listed, the price of the span itself are derived;
//! then the record is written again and compared byte by byte. Where the record names answers of a
//! provider and the cache keeps them, the slots are derived from those, too (`answers`).
//!
//! Deliberately absent: whether the record was signed (`ledger verify`).

use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_ledger::canonical::{Object, Value, object_to_canonical, parse};
use carbon_ops_ledger::entry::{Control, Entry, Outcome};
use carbon_ops_record::any::Any;
use carbon_ops_record::v2::Slots;
use serde_json::json;

use super::bytes;
use crate::commands::ledger::{open, unsigned};
use crate::config::Settings;
use crate::edge::Edge;

mod answers;

use answers::Verdict;

/// Longest record: as the longest line of a ledger.
const RECORD_BYTES_MAX: u64 = 65_535;

/// Exit code 0 when all numbers come out again, 1 when one does not; 2 when they do, and an answer that
/// the slots came in is not kept any more. An error is 2, too.
pub(super) fn run(
    of: &str,
    json: bool,
    edge: &Edge,
    config: Option<&Path>,
    out: &mut impl Write,
) -> Result<u8> {
    let settings = Settings::resolve(edge, config, None)?;
    let payload = unsigned(read(of)?);
    let (derived, difference) = match check(&payload, &settings) {
        Ok(derived) => (derived, None),
        Err(error) => (Derived::default(), Some(format!("{error:#}"))),
    };
    if json {
        let report = json!({
            "schema_version": 1, "record": of, "same": difference.is_none(),
            "derived": derived.parts, "difference": difference,
            "not_kept": derived.not_kept, "instead": derived.instead, "revised": derived.revised,
        });
        writeln!(out, "{report:#}")?;
    } else if let Some(difference) = &difference {
        writeln!(out, "{of}: DIFFERENT: {difference}")?;
    } else {
        writeln!(out, "{of}: OK: the same bytes again: {}", derived.parts.join(", "))?;
        if let Some(what) = &derived.not_kept {
            writeln!(out, "not derived: the slots, for an answer is not kept: {what}")?;
        }
        if let Some(instead) = &derived.instead {
            writeln!(out, "instead: {instead}")?;
        }
        for slot in &derived.revised {
            writeln!(out, "revised by the provider since: {slot}")?;
        }
    }
    Ok(match (difference, derived.not_kept) {
        (Some(_), _) => 1,
        (None, Some(_)) => 2,
        (None, None) => 0,
    })
}

/// What was derived again.
#[derive(Default)]
struct Derived {
    parts: Vec<&'static str>,
    /// Which answer is missing, where one is.
    not_kept: Option<String>,
    /// What could be checked of the slots without it.
    instead: Option<String>,
    /// Slots that have another value by now.
    revised: Vec<String>,
}

fn check(payload: &serde_json::Value, settings: &Settings) -> Result<Derived> {
    let record = Any::from_json(payload.clone())?;
    record.recompute()?;
    let mut derived = Derived { parts: vec!["prices", "interval"], ..Derived::default() };
    let again = match &record {
        Any::V1(record) => object_to_canonical(&crate::store::payload(record)?),
        Any::V2(record) => {
            derived.parts.push("budget");
            if record.grid.slots.list.as_ref().is_some_and(|list| !list.is_empty()) {
                derived.parts.push("price by slots");
            }
            match answers::check(record, settings)? {
                Verdict::None => {}
                Verdict::Same { revised } => {
                    derived.parts.push("slots from the kept answers");
                    derived.revised = revised;
                }
                Verdict::NotKept(what) => {
                    derived.not_kept = Some(what);
                    derived.instead = Some(without_answers(&record.grid.slots));
                }
            }
            if record.embodied.is_some() {
                derived.parts.push("hardware");
            }
            if record.sci.is_some() {
                derived.parts.push("score");
            }
            let mut line = Vec::new();
            bytes::record(record, &mut line)?;
            line
        }
    };
    let Value::Object(object) = Value::try_from(payload.clone())? else {
        bail!("the record is no JSON object");
    };
    if object_to_canonical(&object) != again {
        bail!("the record is not what its members are when they are written again");
    }
    Ok(derived)
}

/// What a record itself tells of its slots, and what of that was checked.
fn without_answers(slots: &Slots) -> String {
    match (&slots.list, &slots.sha256) {
        (None, Some(sha256)) => format!(
            "the record holds the number of its slots, {}, and their SHA-256, {sha256}: slots from elsewhere can \
             be held against that; its mean intensity and coverage were taken as they stand",
            slots.count
        ),
        _ => "the slots that the record lists price its span as it says; that the provider gave them was \
              not checked"
            .to_owned(),
    }
}

/// A file with one record, or `LEDGER:SEQ`.
pub(super) fn read(of: &str) -> Result<Object> {
    let path = Path::new(of);
    if !path.exists()
        && let Some((ledger, seq)) = of.rsplit_once(':')
        && let Ok(seq) = seq.parse::<u64>()
    {
        return entry(Path::new(ledger), seq);
    }
    let file = std::fs::File::open(path).with_context(|| {
        format!("cannot open {of}\nhint: give a file with one record, or LEDGER:SEQ")
    })?;
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX + 2).read_to_end(&mut bytes)?;
    object(bytes.trim_ascii()).with_context(|| of.to_owned())
}

fn entry(ledger: &Path, seq: u64) -> Result<Object> {
    let mut reader = BufReader::with_capacity(1 << 20, open(ledger)?);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = (&mut reader).take(RECORD_BYTES_MAX + 2).read_until(b'\n', &mut line)?;
        if read == 0 {
            bail!("{} has no entry {seq}: it has {number}", ledger.display());
        }
        if number == seq {
            let line = line.trim_ascii();
            // Of a correction, what stands in the record's place.
            if let Ok(Some(Control::Correction(correction))) =
                Entry::parse(line).map_err(drop).and_then(|entry| entry.control().map_err(drop))
                && let Outcome::Replaced(payload) = correction.outcome
            {
                return Ok(payload);
            }
            return object(line).with_context(|| format!("entry {seq}"));
        }
        number += 1;
    }
}

fn object(bytes: &[u8]) -> Result<Object> {
    // Indented JSON is fine, too: only the values are compared.
    let value = if let Ok(value) = parse(bytes) {
        value
    } else {
        let json: serde_json::Value = serde_json::from_slice(bytes).context("no JSON")?;
        Value::try_from(json).context("no record")?
    };
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(anyhow!("no JSON object")),
    }
}
