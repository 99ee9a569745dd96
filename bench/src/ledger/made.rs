//! A ledger of many real records, made fast: one record of a run of carbon-ops, again and again with
//! another label, linked one after the other and signed on all CPUs.
//!
//! It is written from the format's document alone, text by text, and not by the ledger's writer, whose
//! speed is another benchmark's. What verifies it, verifies it whole: its verdict is checked.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_ledger::keys::{SecretKey, Signer as _};
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical};
use carbon_ops_proof::entry::Entry;
use sha2::{Digest as _, Sha256};

use crate::process;
use crate::subject::{Room, Subject};

/// So many lines are held at a time.
const BATCH: u64 = 8192;

/// A ledger's directory, and the key that signed it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) dir: PathBuf,
    pub(crate) key: SecretKey,
}

impl Made {
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("ledger.ndjson")
    }

    /// Makes a ledger with so many records beside its genesis.
    pub(crate) fn new(room: &Room, subject: &Subject, name: &str, records: u64) -> Result<Self> {
        let payload = record(room, subject)?;
        let dir = room.path.join(name);
        process::time(
            process::command(&subject.binary, &room.path).args(["ledger", "init"]).arg(&dir),
        )?;
        let pem =
            std::fs::read_to_string(room.path.join(".local/share/carbon-ops/keys/default.pem"))?;
        let made = Self { dir, key: SecretKey::from_pem(&pem)? };
        let genesis = std::fs::read(made.file())?;
        let genesis = Entry::parse(genesis.strip_suffix(b"\n").context("a genesis")?)?;
        let template = Template::of(payload, &genesis, &made.key)?;
        let file = std::fs::OpenOptions::new().append(true).open(made.file())?;
        template.write(file, genesis.hash().0, records, &made.key)?;
        Ok(made)
    }
}

/// The record of a run of `true`, as `carbon-ops run` writes it.
fn record(room: &Room, subject: &Subject) -> Result<Object> {
    let file = room.path.join("record.json");
    let json = format!("--json={}", file.display());
    process::time(&mut subject.run(room, &["--label", "job=LABEL", &json, "--", "true"]))?;
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    match Value::try_from(record)? {
        Value::Object(object) => Ok(object),
        _ => anyhow::bail!("the record is no object"),
    }
}

/// The text of a line, in pieces: between them stand label, link and number, and the signature.
struct Template {
    before_label: String,
    before_link: String,
    before_number: String,
    before_signature: String,
    /// From the first signature to the end of the last of its members, with the comma.
    after_signature: String,
    end: String,
}

impl Template {
    fn of(mut payload: Object, genesis: &Entry, key: &SecretKey) -> Result<Self> {
        const NUMBER: u32 = 987_654_321;
        payload.insert("ledger_id", genesis.ledger_id().to_string());
        payload.insert("prev_hash", "LINK");
        payload.insert("seq", NUMBER);
        payload.insert("signature", "SIGNATURE");
        payload.insert("signature_algorithm", "ed25519");
        payload.insert("signing_key", key.public_key().to_hex());
        let text = String::from_utf8(object_to_canonical(&payload))?;
        let mut rest = text.as_str();
        let mut until = |mark: &str| {
            let (piece, after) = rest.split_once(mark).with_context(|| format!("no {mark}"))?;
            rest = after;
            anyhow::Ok(piece.to_owned())
        };
        let (before_label, before_link) = (until("LABEL")?, until("LINK")?);
        let before_number = until(&NUMBER.to_string())?;
        let before_signature = until("\"signature\":\"SIGNATURE\"")?;
        let after_signature =
            until(&key.public_key().to_hex())? + &key.public_key().to_hex() + "\",";
        let end = rest.strip_prefix("\",").context("a member after the signature's")?.to_owned();
        Ok(Self {
            before_label,
            before_link,
            before_number,
            before_signature,
            after_signature,
            end,
        })
    }

    /// The signed bytes, and where in them the signature's members belong.
    fn signed(&self, number: u64, link: &str) -> (String, usize) {
        let mut text = format!(
            "{}{}{}{link}{}{number}{}",
            self.before_label,
            number % 100,
            self.before_link,
            self.before_number,
            self.before_signature
        );
        let at = text.len();
        text.push_str(&self.end);
        (text, at)
    }

    fn line(&self, signed: &str, at: usize, key: &SecretKey) -> Result<String> {
        let signature = hex(&key.sign(signed.as_bytes())?);
        let (before, after) = signed.split_at(at);
        Ok(format!("{before}\"signature\":\"{signature}\"{}{after}\n", self.after_signature))
    }

    fn write(&self, file: File, mut link: [u8; 32], records: u64, key: &SecretKey) -> Result<()> {
        let threads = thread::available_parallelism()?.get();
        let mut file = BufWriter::with_capacity(1 << 20, file);
        for first in (1..=records).step_by(usize::try_from(BATCH)?) {
            let mut signed = Vec::new();
            for number in first..=records.min(first + BATCH - 1) {
                let (text, at) = self.signed(number, &hex(&link));
                link = Sha256::digest(&text).into();
                signed.push((text, at));
            }
            let part = signed.len().div_ceil(threads);
            let lines: Vec<Result<String>> = thread::scope(|scope| {
                let sign = |part: &[(String, usize)]| {
                    part.iter().map(|(text, at)| self.line(text, *at, key)).collect()
                };
                let parts: Vec<_> =
                    signed.chunks(part).map(|part| scope.spawn(move || sign(part))).collect();
                parts
                    .into_iter()
                    .map(|part| {
                        part.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread died")))
                    })
                    .collect()
            });
            for part in lines {
                file.write_all(part?.as_bytes())?;
            }
        }
        file.flush()?;
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .map(|digit| char::from(*digit))
        .collect()
}

/// The verdict of the subject on a ledger, which has to be that it is valid.
pub(crate) fn demand_valid(room: &Room, subject: &Subject, made: &Made, lines: u64) -> Result<()> {
    let mut command = process::command(&subject.binary, &room.path);
    command.args(["ledger", "verify", "--json"]).arg(&made.dir);
    let output = command.stdout(std::process::Stdio::piped()).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let is = |name: &str, value: serde_json::Value| report.get(name) == Some(&value);
    ensure!(is("status", "valid".into()) && is("entries", lines.into()), "not valid: {report:#}");
    Ok(())
}

/// The record in a line, without what the ledger adds.
pub(crate) fn payload_of(line: &str) -> Result<Vec<u8>> {
    let Value::Object(mut object) = carbon_ops_proof::canonical::parse(line.as_bytes())? else {
        anyhow::bail!("a line is no object")
    };
    for name in carbon_ops_proof::entry::RESERVED_MEMBERS {
        object.remove(name);
    }
    Ok(object_to_canonical(&object))
}
