//! The governor's messages: one JSON object per line, in both directions.
//!
//! A snapshot is a superset of what carbon-ops 0.1 sent, and holds what its own client looked for:
//! `counters_uj` are the domains that may be summed, `totals_uj` are all. Energies are integers of
//! µJ; times in ns are decimal strings, since they leave the 53 bits of a double.
//! `docs/formats/socket-v1.md` describes every member.
//!
//! Out of scope: sockets; see [`crate::client`] and the governor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::clock::{EpochStart, Moment, UnixTime};
use crate::sensor::{Exclusion, Kind};
use crate::snapshot::{DOMAINS_MAX, DomainTotal, Snapshot, Source, Text, parse_boot_id};

/// Version of the messages.
pub const PROTOCOL: u64 = 1;

/// Longest request, its newline included: the longest sensible one has under a hundred bytes.
pub const REQUEST_BYTES_MAX: usize = 1024;

/// Longest reply: all domains, with room to spare.
pub const REPLY_BYTES_MAX: usize = 1 << 17;

/// Words of `energy_filtering`; whatever else stands there is not known.
const OFF: &str = "off";
const ON: &str = "on";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The newest snapshot.
    Snapshot,
    /// Snapshots, one line each, until the client hangs up or has got `count` of them.
    Subscribe {
        /// Time between them; made no shorter than the publication's.
        interval: Option<Duration>,
        /// How many; without it, for ever.
        count: Option<u64>,
    },
    /// What is counted, what is not, and why.
    Topology,
    /// How the governor itself is.
    Health,
}

/// As it stands on the wire. Members of later versions are refused, so that no client believes to
/// have asked for something that this governor does not know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    interval_ms: Option<u64>,
    #[serde(default)]
    count: Option<u64>,
}

/// Longest interval that a subscriber may ask for: a day.
const INTERVAL_MS_MAX: u64 = 86_400_000;

impl Request {
    /// Reads one line, without its newline. Nothing, or `{}`, asks for a snapshot.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        if line.trim_ascii().is_empty() {
            return Ok(Self::Snapshot);
        }
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("not a request: no JSON object".into());
        }
        let raw: RawRequest =
            serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
        let name = raw.request.as_deref().unwrap_or("snapshot");
        let plain = raw.interval_ms.is_none() && raw.count.is_none();
        let request = match name {
            "subscribe" => {
                if raw.interval_ms.is_some_and(|ms| ms == 0 || ms > INTERVAL_MS_MAX) {
                    return Err(format!("interval_ms must lie in 1 to {INTERVAL_MS_MAX}"));
                }
                let interval = raw.interval_ms.map(Duration::from_millis);
                return Ok(Self::Subscribe { interval, count: raw.count });
            }
            "snapshot" => Self::Snapshot,
            "topology" => Self::Topology,
            "health" => Self::Health,
            _ => return Err("request must be snapshot, subscribe, topology or health".into()),
        };
        if plain { Ok(request) } else { Err(format!("{name} takes no interval_ms and no count")) }
    }

    /// The request as one line.
    pub fn line(&self) -> String {
        match self {
            Self::Snapshot => "{}\n".into(),
            Self::Topology => "{\"request\":\"topology\"}\n".into(),
            Self::Health => "{\"request\":\"health\"}\n".into(),
            Self::Subscribe { interval, count } => {
                let mut line = String::from("{\"request\":\"subscribe\"");
                if let Some(interval) = interval {
                    let _ = write!(line, ",\"interval_ms\":{}", interval.as_millis());
                }
                if let Some(count) = count {
                    let _ = write!(line, ",\"count\":{count}");
                }
                line.push_str("}\n");
                line
            }
        }
    }
}

/// A refusal, as one line.
pub fn error_line(reason: &str) -> Vec<u8> {
    let mut line =
        serde_json::json!({ "status": "error", "error": reason }).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The words of a snapshot's `status`.
pub const OK: &str = "ok";
/// The same of one that is not how things stand ([`Snapshot::is_stale`]).
pub const STALE: &str = "stale";

/// A snapshot as one line.
pub fn snapshot_line(snapshot: &Snapshot, page: Option<&std::path::Path>) -> Vec<u8> {
    line(&Outgoing { status: OK, snapshot, page })
}

/// The same of one that is not how things stand any more.
pub fn stale_line(snapshot: &Snapshot, page: Option<&std::path::Path>) -> Vec<u8> {
    line(&Outgoing { status: STALE, snapshot, page })
}

fn line(outgoing: &Outgoing<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(512 + 512 * outgoing.snapshot.domains.len());
    // Writing to memory cannot fail, and no value here lacks a JSON form.
    let _ = serde_json::to_writer(&mut line, outgoing);
    line.push(b'\n');
    line
}

struct Outgoing<'s> {
    status: &'static str,
    snapshot: &'s Snapshot,
    page: Option<&'s std::path::Path>,
}

impl Serialize for Outgoing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let s = self.snapshot;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", self.status)?;
        map.serialize_entry("timestamp", &s.unix.since_1970().as_secs_f64())?;
        map.serialize_entry("deltas_uj", &Energies(s, |_| true, |d| d.delta))?;
        map.serialize_entry("totals_uj", &Energies(s, |_| true, |d| d.total))?;
        map.serialize_entry("counters_uj", &Energies(s, DomainTotal::is_counted, |d| d.total))?;
        map.serialize_entry("protocol", &PROTOCOL)?;
        map.serialize_entry("boot_id", &s.boot_id_hex())?;
        map.serialize_entry("started_ns", &s.started.as_nanos().to_string())?;
        map.serialize_entry("seq", &s.seq)?;
        map.serialize_entry("boottime_ns", &s.at.as_nanos().to_string())?;
        map.serialize_entry("unix_ns", &s.unix.since_1970().as_nanos().to_string())?;
        map.serialize_entry("monotonic_ns", &s.monotonic.as_nanos().to_string())?;
        map.serialize_entry("interval_ns", &s.interval.as_nanos().to_string())?;
        map.serialize_entry("quantum_uj", &s.quantum.as_microjoules())?;
        map.serialize_entry("missed", &s.missed)?;
        map.serialize_entry("suspends", &s.suspends)?;
        map.serialize_entry(
            "energy_filtering",
            match s.filtering {
                None => "unknown",
                Some(false) => OFF,
                Some(true) => ON,
            },
        )?;
        map.serialize_entry("simulated", &s.simulated)?;
        if let Some(page) = self.page {
            map.serialize_entry("page", page)?;
        }
        map.serialize_entry("domains", &Domains(s))?;
        map.end()
    }
}

/// One energy of each domain that is asked for.
struct Energies<'s>(&'s Snapshot, fn(&DomainTotal) -> bool, fn(&DomainTotal) -> Microjoules);

impl Serialize for Energies<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for domain in self.0.domains.iter().filter(|domain| self.1(domain)) {
            map.serialize_entry(&Shown(&domain.key), &self.2(domain).as_microjoules())?;
        }
        map.end()
    }
}

/// Text as its letters.
struct Shown<'t, const N: usize>(&'t Text<N>);

impl<const N: usize> Serialize for Shown<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

struct Domains<'s>(&'s Snapshot);

impl Serialize for Domains<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for domain in &self.0.domains {
            map.serialize_entry(&Shown(&domain.key), &WireDomain::of(domain))?;
        }
        map.end()
    }
}

/// A domain, less its energies.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, by name")]
struct WireDomain {
    name: String,
    kind: String,
    source: String,
    counted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    excluded: Option<String>,
    epoch: u64,
    wraps: u64,
    gaps: u64,
    gap_most_uj: u64,
    gap_ns: String,
    skipped: u64,
    read_ns: String,
    stale: bool,
    stuck: bool,
    exact: bool,
    lattice: bool,
    ceiling_w: f64,
    likely_w: f64,
}

impl WireDomain {
    fn of(domain: &DomainTotal) -> Self {
        Self {
            name: domain.name.to_string(),
            kind: domain.kind.as_str().into(),
            source: domain.source.as_str().into(),
            counted: domain.is_counted(),
            excluded: domain.excluded.map(|reason| reason.as_str().into()),
            epoch: domain.epoch.as_millis(),
            wraps: domain.wraps,
            gaps: domain.gaps,
            gap_most_uj: domain.gap_most.as_microjoules(),
            gap_ns: domain.gap_time.as_nanos().to_string(),
            skipped: domain.skipped,
            read_ns: domain.read_at.as_nanos().to_string(),
            stale: domain.stale,
            stuck: domain.stuck,
            exact: domain.exact,
            lattice: domain.lattice,
            ceiling_w: domain.ceiling.as_watts(),
            likely_w: domain.likely.as_watts(),
        }
    }
}

/// A snapshot as it comes in. Members that are not known here are ignored: a client can be older
/// than the governor.
#[derive(Debug, Deserialize)]
struct Incoming {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    deltas_uj: BTreeMap<String, u64>,
    #[serde(default)]
    totals_uj: BTreeMap<String, u64>,
    #[serde(default)]
    protocol: u64,
    #[serde(default)]
    boot_id: String,
    #[serde(default)]
    started_ns: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    boottime_ns: String,
    #[serde(default)]
    unix_ns: String,
    #[serde(default)]
    monotonic_ns: String,
    #[serde(default)]
    interval_ns: String,
    #[serde(default)]
    quantum_uj: u64,
    #[serde(default)]
    missed: u64,
    #[serde(default)]
    suspends: u64,
    #[serde(default)]
    energy_filtering: String,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    page: Option<PathBuf>,
    #[serde(default)]
    domains: BTreeMap<String, WireDomain>,
}

/// Reads a snapshot from a line; with it the place of the page, where the governor has one.
///
/// # Errors
/// What is wrong with it, or what the governor refused.
pub fn parse_snapshot(line: &[u8]) -> Result<(Snapshot, Option<PathBuf>), String> {
    let message: Incoming =
        serde_json::from_slice(line).map_err(|error| format!("not a snapshot: {error}"))?;
    if message.status != OK && message.status != STALE {
        return Err(message.error.unwrap_or(message.status));
    }
    if message.protocol != PROTOCOL {
        return Err(format!("it speaks version {} of the protocol, not 1", message.protocol));
    }
    let nanos = |text: &str| text.parse::<u64>().map_err(|_| "invalid timestamp".to_owned());
    let mut domains: Vec<DomainTotal> = Vec::new();
    for (key, domain) in message.domains.iter().take(DOMAINS_MAX) {
        let energy = |map: &BTreeMap<String, u64>| map.get(key).copied().map(Microjoules::new);
        let total = energy(&message.totals_uj).ok_or_else(|| format!("{key} has no total"))?;
        let delta = energy(&message.deltas_uj).ok_or_else(|| format!("{key} has no delta"))?;
        let domain = domain.read(key, total, delta).ok_or_else(|| format!("{key} is unknown"))?;
        // Keys are cut to what a text holds.
        if domains.iter().any(|other| other.key == domain.key) {
            return Err(format!("there are two domains {key}"));
        }
        domains.push(domain);
    }
    let snapshot = Snapshot {
        boot_id: parse_boot_id(&message.boot_id).ok_or("invalid boot id")?,
        started: Moment::from_nanos(nanos(&message.started_ns)?),
        seq: message.seq,
        at: Moment::from_nanos(nanos(&message.boottime_ns)?),
        monotonic: Duration::from_nanos(nanos(&message.monotonic_ns)?),
        unix: UnixTime::new(Duration::from_nanos(nanos(&message.unix_ns)?)),
        interval: Duration::from_nanos(nanos(&message.interval_ns)?),
        quantum: Microjoules::new(message.quantum_uj),
        missed: message.missed,
        suspends: message.suspends,
        filtering: match message.energy_filtering.as_str() {
            OFF => Some(false),
            ON => Some(true),
            _ => None,
        },
        simulated: message.simulated,
        domains,
    };
    Ok((snapshot, message.page))
}

impl WireDomain {
    fn read(&self, key: &str, total: Microjoules, delta: Microjoules) -> Option<DomainTotal> {
        Some(DomainTotal {
            name: Text::new(&self.name),
            key: Text::new(key),
            kind: Kind::from_word(&self.kind)?,
            source: Source::of(&self.source),
            // A reason of a later version is a reason all the same.
            excluded: match &self.excluded {
                _ if self.counted => None,
                reason => Some(exclusion(reason.as_deref())),
            },
            total,
            delta,
            epoch: EpochStart::from_millis(self.epoch),
            wraps: self.wraps,
            gaps: self.gaps,
            gap_most: Microjoules::new(self.gap_most_uj),
            gap_time: Duration::from_nanos(self.gap_ns.parse().ok()?),
            skipped: self.skipped,
            read_at: Moment::from_nanos(self.read_ns.parse().ok()?),
            stale: self.stale,
            stuck: self.stuck,
            exact: self.exact,
            lattice: self.lattice,
            ceiling: Watts::new(self.ceiling_w).ok()?,
            likely: Watts::new(self.likely_w).ok()?,
        })
    }
}

fn exclusion(word: Option<&str>) -> Exclusion {
    word.and_then(Exclusion::from_word).unwrap_or(Exclusion::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        for (line, expected) in [
            ("", Request::Snapshot),
            ("{}", Request::Snapshot),
            (" {\"request\": \"snapshot\"} \r", Request::Snapshot),
            ("{\"request\":\"topology\"}", Request::Topology),
            ("{\"request\":\"health\"}", Request::Health),
            (
                "{\"request\":\"subscribe\",\"interval_ms\":250,\"count\":3}",
                Request::Subscribe { interval: Some(Duration::from_millis(250)), count: Some(3) },
            ),
        ] {
            assert_eq!(Request::parse(line.as_bytes()), Ok(expected.clone()), "{line}");
            assert_eq!(Request::parse(expected.line().trim().as_bytes()), Ok(expected));
        }
        for line in [
            "{\"request\":\"reset\"}",
            "{\"request\":\"subscribe\",\"interval_ms\":0}",
            "{\"request\":\"subscribe\",\"interval_ms\":-5}",
            "{\"request\":\"snapshot\",\"count\":3}",
            "{\"fast\":true}",
            "[]",
            "null",
            "GET / HTTP/1.1",
            "{\"request\":\"health\"}{}",
            "\u{0}",
        ] {
            assert!(Request::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_snapshot_survives_the_wire() {
        let domain = |key: &str, excluded| DomainTotal {
            name: Text::new(key.split(':').next().unwrap()),
            key: Text::new(key),
            kind: Kind::Package,
            source: Source::Sysfs,
            excluded,
            total: Microjoules::new(123_456_789_012),
            delta: Microjoules::new(6_500_000),
            epoch: EpochStart::from_millis(5000),
            wraps: 1,
            gaps: 2,
            gap_most: Microjoules::new(9),
            gap_time: Duration::from_nanos(8),
            skipped: 7,
            read_at: Moment::from_nanos(1 << 60),
            stale: true,
            stuck: false,
            exact: true,
            lattice: true,
            ceiling: Watts::new(2000.0).unwrap(),
            likely: Watts::new(260.0).unwrap(),
        };
        let snapshot = Snapshot {
            boot_id: [0xab; 16],
            started: Moment::from_nanos(5),
            seq: 9,
            at: Moment::from_nanos(u64::MAX),
            monotonic: Duration::from_nanos(44),
            unix: UnixTime::new(Duration::from_millis(1_795_471_946_722)),
            interval: Duration::from_millis(100),
            quantum: Microjoules::new(10_000),
            missed: 1,
            suspends: 2,
            filtering: Some(true),
            simulated: true,
            domains: vec![
                domain("package-0:intel-rapl:0", None),
                domain("psys:intel-rapl:1", Some(Exclusion::OverlapsPackage)),
            ],
        };
        let page = PathBuf::from("/run/carbon-ops/snapshot");
        let line = snapshot_line(&snapshot, Some(&page));
        let (read, place) = parse_snapshot(&line).unwrap();
        assert_eq!((read, place), (snapshot, Some(page)));
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(json["counters_uj"].as_object().unwrap().len(), 1);
        assert_eq!(json["totals_uj"].as_object().unwrap().len(), 2);
        assert_eq!(json["timestamp"], 1_795_471_946.722);
        // Keys are cut to 48 bytes, and two that are the same then are not told apart.
        let long = "k".repeat(48);
        let twice = Snapshot {
            domains: vec![domain(&long, None), domain("b", None)],
            ..Snapshot::default()
        };
        let line = String::from_utf8(snapshot_line(&twice, None)).unwrap();
        let line = line.replace("\"b\":", &format!("\"{long}x\":"));
        assert!(parse_snapshot(line.as_bytes()).unwrap_err().contains("two domains"), "{line}");
        let line = line.replace(&format!("{long}x"), "b\\u0000c");
        let read = parse_snapshot(line.as_bytes()).unwrap();
        assert_eq!(parse_snapshot(&snapshot_line(&read.0, None)), Ok(read));
        assert!(parse_snapshot(&error_line("too many clients")).unwrap_err().contains("too many"));
    }
}
