//! RAPL through `/sys/class/powercap`: which zones exist, which of them may be summed, and reading.
//!
//! # What is counted
//!
//! Package and DRAM, once each. `core` and `uncore` lie inside the package, `psys` contains it, and
//! `intel-rapl-mmio` shows the same package a second time through another bus; all of these are
//! listed as excluded with the reason (Linux `Documentation/power/powercap/powercap.rst`; Intel SDM
//! vol. 3B, section 16.10). Dies of one AMD package mirror a single counter and are found by
//! [`mirrors`] when they are read.
//!
//! The class directory is flat and made of symlinks, parents and children side by side: it is read
//! one level deep and keyed by the path that each link resolves to. A zone is what its `name` file
//! says, never what its index suggests: `intel-rapl:1` is `psys` on one machine and the second
//! package on another.
//!
//! Deliberately absent: subtraction (see [`crate::counter`]), MSR and perf, which are other sensors.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use carbon_ops_units::{Microjoules, Watts};

use super::{Availability, ReadFault};
use crate::host_root::{HostRoot, read_text};

/// What a reading of 64 bits and its newline take, with room to spare.
const READING_BYTES: usize = 64;

/// No machine has more; a folder that claims so is not powercap.
const ZONES_MAX: usize = 4096;

/// A factor on the largest power limit that a zone publishes: limits are averages over a window,
/// and short peaks pass them.
const CEILING_OVER_LIMIT: f64 = 4.0;

/// Ceilings where no limit is published: above any socket and any DRAM of a socket sold so far.
const PACKAGE_CEILING_W: f64 = 2000.0;
const DRAM_CEILING_W: f64 = 500.0;

/// A zone that is counted.
#[derive(Debug)]
pub struct Zone {
    /// `package-0`, `package-0-die-1`, `dram-0`.
    pub domain: String,
    /// Package or DRAM.
    pub kind: Kind,
    /// Name of the zone's directory, such as `intel-rapl:0:1`.
    pub id: String,
    /// `max_energy_range_uj`.
    pub range: Microjoules,
    /// Power that the domain cannot exceed.
    pub ceiling: Watts,
    path: PathBuf,
    file: Option<File>,
}

/// What a counted zone measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A processor package (or one die of it).
    Package,
    /// The memory of a package.
    Dram,
}

/// A zone that is not counted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// The zone's own name, such as `psys`.
    pub name: String,
    /// Name of the zone's directory.
    pub id: String,
    /// Why.
    pub reason: Exclusion,
}

/// Why a zone is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// Contained in the package (`core`, `uncore`).
    InsidePackage,
    /// Contains the package (`psys`).
    OverlapsPackage,
    /// Another zone shows the same counter (`intel-rapl-mmio`).
    Duplicate,
    /// A die that repeats the counter of its package's first die.
    MirroredDie,
    /// May not be read.
    Denied,
    /// Cannot be read, or not as a counter.
    Unreadable,
    /// Its value did not move while others did.
    Stuck,
    /// A name that we do not know.
    Unknown,
    /// Memory whose package cannot be read: not the host's energy.
    WithoutPackage,
}

impl Exclusion {
    /// The word that stands in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InsidePackage => "inside_package",
            Self::OverlapsPackage => "overlaps_package",
            Self::Duplicate => "duplicate",
            Self::MirroredDie => "mirrored_die",
            Self::Denied => "permission_denied",
            Self::Unreadable => "unreadable",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown_domain",
            Self::WithoutPackage => "without_package",
        }
    }

    /// Whether energy that should have been counted is missing because of it.
    pub fn loses_energy(self) -> bool {
        matches!(self, Self::Denied | Self::Unreadable | Self::Stuck)
    }
}

/// The zones of a host, sorted by domain name.
#[derive(Debug, Default)]
pub struct Topology {
    /// To be summed.
    pub counted: Vec<Zone>,
    /// Not to be summed.
    pub excluded: Vec<Excluded>,
}

/// A zone as found, before it is judged.
struct Found {
    id: String,
    name: String,
    /// Package number, from this zone's name or its parent's.
    package: Option<String>,
    path: PathBuf,
}

impl Topology {
    /// Looks at the powercap class of a host, without reading a counter twice.
    pub fn discover(host: &HostRoot) -> (Availability, Self) {
        let class = host.powercap_class();
        let found = match find(&class) {
            Ok(found) if found.is_empty() => {
                let why = format!("no zone in {}", class.display());
                return (Availability::Absent(why), Self::default());
            }
            Ok(found) => found,
            Err(error) => {
                let why = format!("{}: {}", class.display(), describe(&error));
                return (Availability::Absent(why), Self::default());
            }
        };
        let mut topology = Self::default();
        let mut taken = BTreeMap::new();
        // `intel-rapl` before `intel-rapl-mmio`, so that the latter is the duplicate.
        for zone in found {
            topology.judge(zone, &mut taken);
        }
        topology.counted.sort_by(|a, b| a.domain.cmp(&b.domain));
        (topology.availability(&class), topology)
    }

    fn judge(&mut self, zone: Found, taken: &mut BTreeMap<String, String>) {
        let exclude = |reason, zone: &Found| Excluded {
            name: zone.name.clone(),
            id: zone.id.clone(),
            reason,
        };
        let (kind, domain) = match (zone.name.as_str(), &zone.package) {
            (name, _) if name.starts_with("package-") => (Kind::Package, name.to_owned()),
            ("dram", Some(package)) => (Kind::Dram, format!("dram-{package}")),
            ("core" | "uncore", _) => {
                return self.excluded.push(exclude(Exclusion::InsidePackage, &zone));
            }
            ("psys", _) => return self.excluded.push(exclude(Exclusion::OverlapsPackage, &zone)),
            _ => return self.excluded.push(exclude(Exclusion::Unknown, &zone)),
        };
        if taken.contains_key(&domain) {
            return self.excluded.push(exclude(Exclusion::Duplicate, &zone));
        }
        match Zone::open(&zone, kind, &domain) {
            Ok(opened) => {
                taken.insert(domain, zone.id);
                self.counted.push(opened);
            }
            Err(reason) => self.excluded.push(exclude(reason, &zone)),
        }
    }

    fn availability(&self, class: &Path) -> Availability {
        if self.counted.iter().any(|zone| zone.kind == Kind::Package) {
            return Availability::Present;
        }
        if self.excluded.iter().any(|zone| zone.reason == Exclusion::Denied) {
            return Availability::Denied(format!(
                "{} is readable by root only (CVE-2020-8694); run as root, or let the governor \
                 serve it",
                class.join("*/energy_uj").display()
            ));
        }
        Availability::Absent(format!("no readable package zone in {}", class.display()))
    }
}

fn find(class: &Path) -> io::Result<Vec<Found>> {
    let mut zones = BTreeMap::new();
    for entry in fs::read_dir(class)?.take(ZONES_MAX) {
        let Ok(path) = fs::canonicalize(entry?.path()) else { continue };
        // Control types have no `name`; a zone without `energy_uj` has no counter.
        let Ok(name) = read_text(&path.join("name")) else { continue };
        if !path.join("energy_uj").exists() {
            continue;
        }
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let package = package_number(&name).or_else(|| {
            let parent = read_text(&path.parent()?.join("name")).ok()?;
            package_number(&parent)
        });
        // The shorter control type first: zones of `intel-rapl` precede those of `intel-rapl-mmio`.
        let order = (id.split(':').next().unwrap_or_default().len(), id.clone());
        zones.insert(order, Found { id, name, package, path });
    }
    Ok(zones.into_values().collect())
}

/// `0` of `package-0`, `0-die-1` of `package-0-die-1`.
fn package_number(name: &str) -> Option<String> {
    name.strip_prefix("package-").map(str::to_owned)
}

impl Zone {
    fn open(found: &Found, kind: Kind, domain: &str) -> Result<Self, Exclusion> {
        let range = read_text(&found.path.join("max_energy_range_uj")).ok();
        let range = range.and_then(|text| text.parse().ok()).filter(|&range| range > 0);
        let mut zone = Self {
            domain: domain.to_owned(),
            kind,
            id: found.id.clone(),
            range: Microjoules::new(range.ok_or(Exclusion::Unreadable)?),
            ceiling: ceiling(&found.path, kind),
            path: found.path.join("energy_uj"),
            file: None,
        };
        match zone.read() {
            Ok(_) => Ok(zone),
            Err(ReadFault::Fatal) => Err(Exclusion::Denied),
            Err(ReadFault::Retry | ReadFault::Gone) => Err(Exclusion::Unreadable),
        }
    }

    /// Reads the counter. The file is kept open, and opened anew after it has gone.
    ///
    /// # Errors
    /// By what to do next; see [`ReadFault`].
    pub fn read(&mut self) -> Result<Microjoules, ReadFault> {
        let value = self.try_read();
        if value.is_err() {
            self.file = None;
        }
        value
    }

    fn try_read(&mut self) -> Result<Microjoules, ReadFault> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path).map_err(|error| ReadFault::of(&error))?),
        };
        let mut text = [0; READING_BYTES];
        let length = file.read_at(&mut text, 0).map_err(|error| ReadFault::of(&error))?;
        let digits = text.get(..length).unwrap_or_default().trim_ascii();
        let value = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        value.map(Microjoules::new).ok_or(ReadFault::Retry)
    }
}

/// Four times the largest published limit, else a power that no such domain reaches.
fn ceiling(zone: &Path, kind: Kind) -> Watts {
    let limit = |n: u32| {
        let text = read_text(&zone.join(format!("constraint_{n}_max_power_uw"))).ok()?;
        text.parse::<u64>().ok().filter(|&microwatts| microwatts > 0)
    };
    let largest = (0..3).filter_map(limit).max();
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no sixteenth digit")]
    let watts = match (largest, kind) {
        (Some(microwatts), _) => CEILING_OVER_LIMIT * microwatts as f64 / 1e6,
        (None, Kind::Package) => PACKAGE_CEILING_W,
        (None, Kind::Dram) => DRAM_CEILING_W,
    };
    Watts::new(watts).unwrap_or(Watts::ZERO)
}

/// Which of several counters, read one right after the other, repeat an earlier one: dies of one
/// package whose readings differ by less than the package can use while two files are read.
///
/// Takes the domains and their readings (`None` where reading failed); yields indices.
pub fn mirrors(readings: &[(&str, Option<Microjoules>)]) -> Vec<usize> {
    // 2 kW for 5 ms: two reads and a step of the counter.
    const SAME: u64 = 10_000_000;
    let socket = |domain: &str| Some(domain.split_once("-die-")?.0.to_owned());
    let repeats = |(index, (domain, value)): (usize, &(&str, Option<Microjoules>))| {
        let (of, value) = (socket(domain)?, (*value)?);
        let earlier = readings.get(..index)?.iter();
        let same = |(other, theirs): &(&str, Option<Microjoules>)| {
            let near = |theirs: Microjoules| {
                theirs.as_microjoules().abs_diff(value.as_microjoules()) <= SAME
            };
            socket(other).as_ref() == Some(&of) && theirs.is_some_and(near)
        };
        earlier.into_iter().any(same).then_some(index)
    };
    readings.iter().enumerate().filter_map(repeats).collect()
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not there (a virtual machine, or a kernel without RAPL)".into(),
        _ => error.to_string(),
    }
}
