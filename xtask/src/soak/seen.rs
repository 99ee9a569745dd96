//! What a governor says, read a second time and by other code than the product's: its line of JSON,
//! and the words of its pages as their format describes them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// One domain.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Domain {
    pub(crate) total_uj: u64,
    pub(crate) epoch: u64,
    pub(crate) wraps: u64,
    pub(crate) gaps: u64,
    pub(crate) gap_most_uj: u64,
    pub(crate) skipped: u64,
    pub(crate) read_ns: u64,
    pub(crate) ceiling_w: f64,
    /// Only over the socket.
    pub(crate) stale: bool,
    pub(crate) stuck: bool,
    pub(crate) exact: bool,
}

/// All domains at one instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Snapshot {
    pub(crate) boot_id: String,
    pub(crate) seq: u64,
    pub(crate) boottime_ns: u64,
    pub(crate) unix_ns: u64,
    pub(crate) missed: u64,
    pub(crate) quantum_uj: u64,
    pub(crate) domains: BTreeMap<String, Domain>,
}

impl Snapshot {
    /// From a reply.
    pub(crate) fn of(reply: &Value) -> Result<Self> {
        ensure!(reply.get("status").and_then(Value::as_str) == Some("ok"), "it answered {reply}");
        let domains = reply.get("domains").and_then(Value::as_object).context("no domains")?;
        let mut all = BTreeMap::new();
        for (key, of) in domains {
            let flag = |name: &str| of.get(name).and_then(Value::as_bool).unwrap_or(false);
            let domain = Domain {
                total_uj: reply
                    .get("totals_uj")
                    .and_then(|totals| totals.get(key)?.as_u64())
                    .with_context(|| format!("{key} has no total"))?,
                epoch: number(of, "epoch")?,
                wraps: number(of, "wraps")?,
                gaps: number(of, "gaps")?,
                gap_most_uj: number(of, "gap_most_uj")?,
                skipped: number(of, "skipped")?,
                read_ns: number(of, "read_ns")?,
                ceiling_w: of.get("ceiling_w").and_then(Value::as_f64).context("no ceiling")?,
                stale: flag("stale"),
                stuck: flag("stuck"),
                exact: flag("exact"),
            };
            all.insert(key.clone(), domain);
        }
        Ok(Self {
            boot_id: reply.get("boot_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            seq: number(reply, "seq")?,
            boottime_ns: number(reply, "boottime_ns")?,
            unix_ns: number(reply, "unix_ns")?,
            missed: number(reply, "missed")?,
            quantum_uj: number(reply, "quantum_uj")?,
            domains: all,
        })
    }
}

/// A member that is a number, or a text of digits.
fn number(of: &Value, name: &str) -> Result<u64> {
    let member = of.get(name);
    let number = member.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    number.with_context(|| format!("{name} is no number: {member:?}"))
}

/// A client that behaves.
#[derive(Debug)]
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    pub(crate) fn connect(socket: &Path, patience: Duration) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn ask(&mut self, request: &str) -> Result<Value> {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        ensure!(line.last() == Some(&b'\n'), "the connection ended");
        Ok(serde_json::from_slice(&line)?)
    }

    pub(crate) fn snapshot(&mut self) -> Result<Snapshot> {
        Snapshot::of(&self.ask("{}")?)
    }
}

/// Words before the first slot, words of a slot, and words of its head.
const HEADER: usize = 512;
const SLOT: usize = 4096;
const SLOT_HEAD: usize = 3;

/// Words before the domains.
const HEAD: usize = 16;

/// Reads a page's file as it lies there. The writer does not wait, so that a torn slot is tried again.
pub(crate) fn page(path: &Path) -> Result<Snapshot> {
    for _ in 0..50 {
        let bytes = std::fs::read(path)?;
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
            .collect();
        if let Some(snapshot) = words.get(3).and_then(|slot| decode(&words, *slot)) {
            return Ok(snapshot);
        }
    }
    bail!("{} holds no whole slot", path.display())
}

fn decode(words: &[u64], slot: u64) -> Option<Snapshot> {
    let start = HEADER + SLOT * usize::try_from(slot).ok()?;
    let [stamp, length, expected] = words.get(start..start + SLOT_HEAD)? else { return None };
    let from = start + SLOT_HEAD;
    let words = words.get(from..from + usize::try_from(*length).ok()?)?;
    if *stamp == 0 || checksum(words) != *expected {
        return None;
    }
    let head = |place: usize| words.get(place).copied().unwrap_or(0);
    // The bytes in their order, in lower-case hex.
    let [low, high] = [head(0), head(1)].map(u64::swap_bytes);
    let boot_id = format!("{low:016x}{high:016x}");
    let mut domains = BTreeMap::new();
    for domain in words.get(HEAD..)?.chunks_exact(usize::try_from(head(13)).ok()?) {
        let at = |place: usize| domain.get(place).copied().unwrap_or(0);
        let key: Vec<u8> = (3..9).flat_map(|place| at(place).to_le_bytes()).collect();
        let key = String::from_utf8_lossy(&key).trim_end_matches('\0').to_owned();
        let of = Domain {
            total_uj: at(10),
            epoch: at(12),
            wraps: at(13),
            gaps: at(14),
            gap_most_uj: at(15),
            skipped: at(17),
            read_ns: at(18),
            ceiling_w: f64::from_bits(at(19)),
            ..Domain::default()
        };
        domains.insert(key, of);
    }
    Some(Snapshot {
        boot_id,
        seq: head(3),
        boottime_ns: head(4),
        unix_ns: head(6),
        missed: head(9),
        quantum_uj: head(8),
        domains,
    })
}

/// FNV-1a in four lanes.
fn checksum(words: &[u64]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    let mut lanes = [OFFSET, OFFSET ^ 1, OFFSET ^ 2, OFFSET ^ 3];
    for chunk in words.chunks(4) {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane ^ word).wrapping_mul(PRIME);
        }
    }
    lanes.into_iter().fold(words.len() as u64, |sum, lane| (sum ^ lane).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_is_not_believed() {
        let mut words = vec![0; HEADER + 2 * SLOT];
        let mut body = vec![0; HEAD + 20];
        (body[3], body[12], body[13]) = (7, 1, 20);
        (body[HEAD + 3], body[HEAD + 10]) = (u64::from_le_bytes(*b"core:x\0\0"), 99);
        words[HEADER] = 1;
        words[HEADER + 1] = body.len() as u64;
        words[HEADER + 2] = checksum(&body);
        words[HEADER + SLOT_HEAD..HEADER + SLOT_HEAD + body.len()].copy_from_slice(&body);
        let snapshot = decode(&words, 0).unwrap();
        assert_eq!((snapshot.seq, snapshot.domains["core:x"].total_uj), (7, 99));
        assert_eq!(decode(&words, 1), None);
        words[HEADER + SLOT_HEAD + 5] ^= 1;
        assert_eq!(decode(&words, 0), None);
    }
}
