//! Lists of logs for witnesses (C2SP tlog-list, `logs/v0`).
//!
//! Out of scope: how many requests a log may make a day (`qpd`), which is read and not enforced.

use std::collections::BTreeSet;

use carbon_ops_proof::note::{KeyKind, VerifierKey};

/// The longest list that is read.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Why a file is no list of logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a list: origin and key of each log.
///
/// # Errors
///
/// At the first line that is wrong.
///
/// ```
/// use carbon_ops_ledger::witness::parse_log_list;
/// let list = "logs/v0\n\
///     vkey PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n\
///     qpd 24\ncontact nobody\n";
/// assert_eq!(parse_log_list(list.as_bytes()).unwrap()[0].0, "PeterNeumann");
/// ```
pub fn parse_log_list(bytes: &[u8]) -> Result<Vec<(String, VerifierKey)>, ListError> {
    let fail = |line, reason: &str| ListError { line, reason: reason.to_owned() };
    if bytes.len() > MAX_LIST_BYTES {
        return Err(fail(1, "the file is too long"));
    }
    let text = str::from_utf8(bytes).map_err(|_| fail(1, "the file is not UTF-8"))?;
    let lines = (1..).zip(text.split('\n')).map(|(n, line)| (n, line.trim_matches([' ', '\t'])));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
    match lines.next() {
        Some((_, "logs/v0")) => {}
        other => {
            return Err(fail(
                other.map_or(1, |(n, _)| n),
                "the list does not begin with `logs/v0`",
            ));
        }
    }
    let (mut logs, mut origins) = (Vec::new(), BTreeSet::new());
    let end = text.split('\n').count();
    while let Some((line, word)) = lines.next() {
        let key = word.strip_prefix("vkey ").ok_or_else(|| fail(line, "`vkey` was expected"))?;
        let key: VerifierKey = key.parse().map_err(|e| fail(line, &format!("its key: {e}")))?;
        if key.kind() != KeyKind::Ed25519 {
            return Err(fail(line, "its key is a witness's, not a log's"));
        }
        let named = lines.peek().and_then(|(_, word)| word.strip_prefix("origin "));
        let origin = named.unwrap_or(key.name()).to_owned();
        if named.is_some() {
            lines.next();
        }
        if !origins.insert(origin.clone()) {
            return Err(fail(line, "there is a log with this origin already"));
        }
        let (line, word) = lines.next().unwrap_or((end, ""));
        let requests = word.strip_prefix("qpd ").and_then(|digits| {
            let number: u32 = digits.parse().ok()?;
            (number.to_string() == digits && (1..1 << 31).contains(&number)).then_some(number)
        });
        requests.ok_or_else(|| fail(line, "`qpd` and a number was expected"))?;
        let (line, word) = lines.next().unwrap_or((end, ""));
        word.strip_prefix("contact ").ok_or_else(|| fail(line, "`contact` was expected"))?;
        logs.push((origin, key));
    }
    Ok(logs)
}
