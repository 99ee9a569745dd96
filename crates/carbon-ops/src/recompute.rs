//! `estimate --recompute`: the numbers of a record again, from the record itself, digit by digit.
//!
//! Prices, budget, interval and, where the slots are listed, the price of the span itself are derived;
//! then the record is written again and compared byte by byte. Where the record names answers of a
//! provider and the cache keeps them, the slots are derived from those, too (`answers`).
//!
//! Out of scope: whether the record was signed (`ledger verify`).

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical, parse};
use carbon_ops_proof::entry::{Control, Entry, Outcome};
use carbon_ops_record::Record;
use carbon_ops_record::Slots;

use crate::bytes;
use crate::fault::Fault;
use crate::settings::Settings;
use crate::verify::{file, open};

mod answers;

use answers::Verdict;

/// Longest record: as the longest line of a ledger.
const RECORD_BYTES_MAX: u64 = 65_535;

/// What was derived again.
#[derive(Debug, Default)]
pub struct Recomputed {
    /// What was computed again, in words.
    pub parts: Vec<&'static str>,
    /// Which answer is missing, where one is.
    pub not_kept: Option<String>,
    /// What could be checked of the slots without it.
    pub instead: Option<String>,
    /// Slots that have another value by now.
    pub revised: Vec<String>,
}

/// Computes the numbers of a record again from the record itself, and its slots from the answers that the
/// cache keeps.
///
/// # Errors
/// When it is no record, or other numbers come out.
pub fn check(payload: &serde_json::Value, settings: &Settings) -> Result<Recomputed> {
    let record = Record::from_json(payload.clone())?;
    record.recompute()?;
    let parts = vec!["prices", "interval", "budget"];
    let mut derived = Recomputed { parts, ..Recomputed::default() };
    if record.grid.slots.list.as_ref().is_some_and(|list| !list.is_empty()) {
        derived.parts.push("price by slots");
    }
    match answers::check(&record, settings)? {
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
    let mut again = Vec::new();
    bytes::record(&record, &mut again)?;
    let Value::Object(object) = Value::try_from(payload.clone())? else {
        bail!("the record is not a JSON object");
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

/// A file with one record; `LEDGER:SEQ`; or `SEQ` or `@SEQ`, an entry of the default ledger. What exists as
/// a file is that file.
///
/// # Errors
///
/// When there is no such record.
pub fn read(of: &str, settings: &Settings) -> Result<Object> {
    let path = Path::new(of);
    if !path.exists() {
        if let Ok(seq) = of.strip_prefix('@').unwrap_or(of).parse::<u64>() {
            return entry(&file(None, settings)?, seq);
        }
        if let Some((ledger, seq)) = of.rsplit_once(':')
            && let Ok(seq) = seq.parse::<u64>()
        {
            return entry(Path::new(ledger), seq);
        }
    }
    let unread = |source| Fault::NoRecord { of: of.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX + 2).read_to_end(&mut bytes).map_err(unread)?;
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

pub(crate) fn object(bytes: &[u8]) -> Result<Object> {
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
