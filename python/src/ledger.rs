//! Ledgers: the signed, linked files of this version, and those of the Python package 0.1.
//!
//! Out of scope: seals, rotations, packs (`carbon-ops ledger`).

use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::ledger::keys::trust_from;
use carbon_ops::ledger::legacy;
use carbon_ops::proof::canonical::{Value, object_to_canonical, parse};
use carbon_ops::proof::keys::{SecretKey, sign_verifiably};
use carbon_ops::record::Record;
use carbon_ops::verify::{Question, trust};
use carbon_ops::{Ledger as Of, PublicKey, Trust, Verdict};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::{of_part, raised};
use crate::logger::settings;

/// How long another writer of a ledger of 0.1 is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A ledger that is appended to, with the key that signs.
#[pyclass(frozen, module = "carbon_ops._native")]
pub(crate) struct Ledger {
    ledger: Of,
}

#[pymethods]
impl Ledger {
    /// The one in a folder, made where there is none; without a folder the default one of this user.
    #[new]
    #[pyo3(signature = (folder = None, key = None))]
    fn new(py: Python<'_>, folder: Option<PathBuf>, key: Option<PathBuf>) -> PyResult<Self> {
        let (env, settings) = settings(None)?;
        if folder.is_none() && key.is_some() {
            return Err(PyValueError::new_err("a key belongs to a folder"));
        }
        let key = key.or_else(|| settings.key.value.clone());
        let ledger = py.detach(|| match (folder, key) {
            (None, _) => Of::of(&settings, &env),
            (Some(folder), Some(key)) => Of::open_or_make(folder, key),
            (Some(folder), None) => Of::open_or_make(&folder, folder.with_extension("pem")),
        });
        Ok(Self { ledger: ledger.map_err(raised)? })
    }

    /// Where it is.
    fn folder(&self) -> PathBuf {
        self.ledger.folder().to_owned()
    }

    /// The key that signs, in hex, and its fingerprint.
    fn key(&self) -> (String, String) {
        let key = self.ledger.public_key();
        (key.to_hex(), key.fingerprint())
    }

    /// Appends a record, given as JSON: its number, and its line.
    fn append(&self, py: Python<'_>, record: &str) -> PyResult<(u64, String)> {
        let value: serde_json::Value = serde_json::from_str(record)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let record =
            Record::from_json(value).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let appended = py.detach(|| self.ledger.append(&record)).map_err(raised)?;
        Ok((appended.seq, String::from_utf8_lossy(&appended.line).into_owned()))
    }

    /// Signs a checkpoint: the text of it.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<String> {
        let signed = py.detach(|| self.ledger.checkpoint()).map_err(raised)?;
        Ok(signed.note.to_string())
    }
}

/// What a verification found, as JSON: `answer`, `records`, `keys`, `faults`. Without keys those of this user are trusted.
#[pyfunction]
#[pyo3(signature = (path, trusted = None, recompute = false))]
pub(crate) fn verify(
    py: Python<'_>,
    path: PathBuf,
    trusted: Option<String>,
    recompute: bool,
) -> PyResult<String> {
    let (env, settings) = settings(None)?;
    let trust = trust(trusted.as_deref(), &settings, &env).map_err(raised)?;
    let file = carbon_ops::verify::file(Some(&path), &settings).map_err(raised)?;
    let verdict = py.detach(|| {
        let question = Question { trust, recompute, ..Question::default() };
        carbon_ops::verify::verify(&file, &question).map_err(raised)
    })?;
    let Verdict { report, others, .. } = &verdict;
    let report = serde_json::to_value(report).map_err(of_part)?;
    let answer = format!("{:?}", verdict.answer());
    let found = serde_json::json!({ "answer": answer, "report": report,
        "not_judged": format!("{others:?}") });
    Ok(found.to_string())
}

/// A JSON object as RFC 8785 has it.
#[pyfunction]
pub(crate) fn canonical(json: &str) -> PyResult<String> {
    let wrong = |error: String| PyValueError::new_err(error);
    let value = parse(json.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(object) = value else { return Err(wrong("not an object".to_owned())) };
    Ok(String::from_utf8_lossy(&object_to_canonical(&object)).into_owned())
}

fn secret(seed: &[u8]) -> PyResult<SecretKey> {
    let seed: &[u8; 32] = seed
        .try_into()
        .map_err(|_| PyValueError::new_err("private_key must be exactly 32 bytes for Ed25519"))?;
    Ok(SecretKey::from_seed(seed))
}

/// The public key of a seed of 32 bytes, in hex.
#[pyfunction]
pub(crate) fn public_key(seed: &[u8]) -> PyResult<String> {
    Ok(secret(seed)?.public_key().to_hex())
}

/// The fingerprint of a public key in hex.
#[pyfunction]
pub(crate) fn fingerprint(key: &str) -> PyResult<String> {
    Ok(PublicKey::from_hex(key).map_err(raised)?.fingerprint())
}

/// The Ed25519 signature of a message, in hex.
#[pyfunction]
pub(crate) fn sign(seed: &[u8], message: &[u8]) -> PyResult<String> {
    let signature = sign_verifiably(&secret(seed)?, message).map_err(raised)?;
    Ok(base16ct::lower::encode_string(&signature))
}

/// Whether a signature is of a key, strictly: false for keys and signatures that are none.
#[pyfunction]
pub(crate) fn verifies(key: &str, message: &[u8], signature: &[u8]) -> bool {
    let signature: Result<&[u8; 64], _> = signature.try_into();
    match (PublicKey::from_hex(key), signature) {
        (Ok(key), Ok(signature)) => key.verifies(message, signature),
        _ => false,
    }
}

/// Appends a record to a ledger file of version 0.1: its line.
#[pyfunction]
pub(crate) fn append_legacy(
    py: Python<'_>,
    path: PathBuf,
    payload: &str,
    seed: &[u8],
) -> PyResult<String> {
    let key = secret(seed)?;
    let record = legacy::Record::parse(payload.as_bytes())
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let signed = py.detach(|| legacy::append(&path, &record, &key, PATIENCE)).map_err(raised)?;
    Ok(String::from_utf8_lossy(&signed.line).into_owned())
}

/// Verifies a ledger file of version 0.1: whether it is whole, and the first line that is not, from 1.
#[pyfunction]
pub(crate) fn validate_legacy(py: Python<'_>, path: PathBuf, key: &str) -> PyResult<(bool, i64)> {
    let trust: Trust = trust_from(key).map_err(raised)?;
    let report = py.detach(|| {
        let file = std::fs::File::open(&path).map_err(of_part)?;
        legacy::verify(BufReader::new(file), &trust).map_err(of_part)
    })?;
    let bad = match (&report.first_fault, &report.torn_tail) {
        (Some(fault), _) => i64::try_from(fault.line).unwrap_or(i64::MAX),
        (None, Some(_)) => i64::try_from(report.lines).unwrap_or(i64::MAX),
        (None, None) => -1,
    };
    let is_whole = report.fault_count == 0
        && report.torn_tail.is_none()
        && report.keys.iter().all(|key| key.trusted);
    Ok((is_whole, bad))
}
