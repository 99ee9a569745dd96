//! RAPL through `/sys/class/powercap`: which zones exist, which of them may be summed, and reading.
//!
//! # What is counted
//!
//! Package and DRAM, once each. `core` and `uncore` lie inside the package, `psys` contains it, and
//! `intel-rapl-mmio` shows the same package a second time through another bus; all of these are
//! listed as excluded with the reason (Linux `Documentation/power/powercap/powercap.rst`; Intel SDM
//! vol. 3B, section 16.10). Dies of one AMD package mirror a single counter; whoever reads them finds that
//! by [`crate::twins`].
//!
//! A package or memory that is there and not counted is never passed over: what cannot be read, what shows no
//! counter, and a package that the kernel's topology has and this class has not, are listed as excluded,
//! with a reason that loses energy.
//!
//! The class directory is flat and made of symlinks, parents and children side by side: it is read
//! one level deep and keyed by the path that each link resolves to. A zone is what its `name` file
//! says, never what its index suggests: `intel-rapl:1` is `psys` on one machine and the second
//! package on another.
//!
//! Out of scope: subtraction (see [`crate::counter`]), MSR and perf, which are other sensors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use super::msr::Units;
use super::socket;
use super::{Availability, Backend, Domain, Excluded, Exclusion, Kind, ReadFault};
use crate::counter::Scale;
use crate::host_root::{HostRoot, read_text};
use crate::proc::{Mount, mount};

/// What a reading of 64 bits and its newline take, with room to spare.
const READING_BYTES: usize = 64;

/// No machine has more; a folder that claims so is not powercap.
const ZONES_MAX: usize = 4096;

/// A factor on the largest power limit that a zone publishes: limits are averages over a window, and short
/// peaks pass them. What is published is often the thermal design power, which firmware exceeds: 25 W of
/// parts of 6 W. So it bounds what is likely, and no reading is refused for it alone.
pub(crate) const LIKELY_OVER_LIMIT: f64 = 4.0;

/// A reader that is late by as much still proves a wrap, where nothing is published.
const PROVABLE_WITHIN: Duration = Duration::from_secs(4);

/// Looks at a zone of unknown unit.
const REFINE_READS: u32 = 8;

/// Between two looks: counters step about every ms (Intel SDM vol. 3B, 16.10).
const REFINE_PAUSE: Duration = Duration::from_millis(2);

/// A chance that is as good as none. A value that knows nothing of a lattice of `unit` µJ lies on it
/// with the chance 1/unit.
const REFINE_CHANCE: f64 = 1e-6;

/// A zone that can be read.
#[derive(Debug)]
pub struct Zone {
    /// What it measures.
    pub domain: Domain,
    path: PathBuf,
    file: Option<File>,
}

/// The zones of a host, sorted by domain name.
#[derive(Debug, Default)]
pub struct Topology {
    /// To be summed.
    pub counted: Vec<Zone>,
    /// Readable and not to be summed; only after [`Topology::discover_all`].
    pub beside: Vec<Zone>,
    /// Zones that show a counted one through another bus, to be summed where that cannot be.
    pub copies: Vec<Zone>,
    /// Not to be summed, those of `beside` included.
    pub excluded: Vec<Excluded>,
}

/// What to open beside the zones that are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Also {
    Nothing,
    Beside,
}

/// A zone as found, before it is judged.
struct Found {
    id: String,
    name: String,
    /// Package number, from this zone's name or its parent's.
    package: Option<String>,
    path: PathBuf,
    has_counter: bool,
}

impl Topology {
    /// Looks at the powercap class of a host, without reading a counter twice.
    pub fn discover(host: &HostRoot) -> (Availability, Self) {
        Self::look(host, Also::Nothing)
    }

    /// The same, and opens what can be read without being summed.
    pub fn discover_all(host: &HostRoot) -> (Availability, Self) {
        Self::look(host, Also::Beside)
    }

    fn look(host: &HostRoot, also: Also) -> (Availability, Self) {
        let class = host.powercap_class();
        let found = match find(&class) {
            Ok(found) if found.is_empty() => {
                let how = masked(host).map_or(String::new(), |how| format!(": {how}"));
                let why = format!("no zone in {}{how}", class.display());
                return (Availability::Absent(why), Self::default());
            }
            Ok(found) => found,
            Err(error) => {
                let why = format!("{}: {}", class.display(), describe(&error));
                return (Availability::Absent(why), Self::default());
            }
        };
        let mut topology = Self::default();
        // `intel-rapl` before `intel-rapl-mmio`, so that the latter is the copy.
        for zone in &found {
            topology.judge(zone, also);
        }
        topology.list_unlisted(host, &found);
        // What another zone shows is not missing.
        let counted: BTreeSet<_> =
            topology.counted.iter().map(|zone| zone.domain.name.clone()).collect();
        for zone in topology.excluded.iter_mut().filter(|zone| counted.contains(&zone.name)) {
            zone.reason = Exclusion::Duplicate;
        }
        topology.counted.sort_by(|a, b| a.domain.name.cmp(&b.domain.name));
        topology.beside.sort_by(|a, b| a.domain.name.cmp(&b.domain.name));
        (topology.availability(&class), topology)
    }

    fn judge(&mut self, zone: &Found, also: Also) {
        let mut exclude = |name: &str, reason| {
            let (name, id) = (name.to_owned(), zone.id.clone());
            self.excluded.push(Excluded { name, id, reason });
        };
        let Some((kind, mut name)) = zone.domain() else {
            if zone.has_counter {
                exclude(&zone.name, Exclusion::Unknown);
            }
            return;
        };
        let is_beside = kind.exclusion().is_some();
        if let Some(reason) = kind.exclusion().filter(|_| zone.has_counter) {
            exclude(&zone.name, reason);
        }
        let mut taken = self.counted.iter().chain(&self.beside).map(|zone| &zone.domain);
        let known = taken.find(|domain| domain.name == name);
        let is_copy = known.is_some_and(|known| control(&known.source) != control(&zone.id));
        if is_beside && (!zone.has_counter || also == Also::Nothing || known.is_some()) {
            return;
        }
        if known.is_some() && !is_copy {
            // Two counters or one: their movements will tell.
            name = format!("{name}@{}", zone.id);
        }
        match Zone::open(zone, kind, &name) {
            Ok(opened) if is_beside => self.beside.push(opened),
            Ok(opened) if is_copy => {
                exclude(&zone.name, Exclusion::Duplicate);
                self.copies.push(opened);
            }
            Ok(opened) => self.counted.push(opened),
            Err(_) if is_beside => {}
            Err(_) if is_copy => exclude(&zone.name, Exclusion::Duplicate),
            Err(reason) => exclude(&name, reason),
        }
    }

    /// Names each package that the kernel's topology has and this class has not, where both are of one machine.
    fn list_unlisted(&mut self, host: &HostRoot, found: &[Found]) {
        if !host.has_own_powercap() {
            return;
        }
        let packages = found.iter().filter(|zone| zone.name.starts_with("package-"));
        let listed: BTreeSet<_> = packages.filter_map(|zone| package_of(&zone.name)).collect();
        let there = socket::packages(host);
        let count = there.len().saturating_sub(listed.len());
        let unlisted = there.into_iter().filter(|number| !listed.contains(&number.to_string()));
        self.excluded.extend(unlisted.take(count).map(|number| Excluded {
            name: format!("package-{number}"),
            id: "powercap".to_owned(),
            reason: Exclusion::Unlisted,
        }));
    }

    /// All zones that were opened.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Zone> {
        self.counted.iter_mut().chain(&mut self.beside).chain(&mut self.copies)
    }

    fn availability(&self, class: &Path) -> Availability {
        if self.counted.iter().any(|zone| zone.domain.kind == Kind::Package) {
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

/// What hides the zones of a host from this process, as container runtimes do.
pub(crate) fn masked(host: &HostRoot) -> Option<String> {
    let mounts = host.text("/proc/self/mountinfo").unwrap_or_default();
    for place in ["/sys/devices/virtual/powercap", "/sys/class/powercap"] {
        if let Some(Mount { options, kind }) = mount(&mounts, place) {
            return Some(format!("{kind} ({options}) is mounted over {place}"));
        }
    }
    let entries = fs::read_dir(host.powercap_class()).ok()?;
    let entries: Vec<_> = entries.filter_map(Result::ok).collect();
    let dangling = entries.iter().filter(|entry| fs::metadata(entry.path()).is_err()).count();
    (dangling > 0).then(|| format!("{dangling} of its {} links lead nowhere", entries.len()))
}

fn find(class: &Path) -> io::Result<Vec<Found>> {
    let mut zones = BTreeMap::new();
    for entry in fs::read_dir(class)?.take(ZONES_MAX) {
        let Ok(path) = fs::canonicalize(entry?.path()) else { continue };
        // Control types have no `name`.
        let Ok(name) = read_text(&path.join("name")) else { continue };
        let has_counter = path.join("energy_uj").exists();
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let package = package_number(&name).or_else(|| {
            let parent = read_text(&path.parent()?.join("name")).ok()?;
            package_number(&parent)
        });
        // The shorter control type first: zones of `intel-rapl` precede those of `intel-rapl-mmio`.
        let order = (control(&id).len(), id.clone());
        zones.insert(order, Found { id, name, package, path, has_counter });
    }
    // A class without a counter is not powercap's energy at all.
    let any = zones.values().any(|zone| zone.has_counter);
    Ok(if any { zones.into_values().collect() } else { Vec::new() })
}

/// `0` of `package-0` and of `package-0-die-1`.
fn package_of(name: &str) -> Option<String> {
    let number = name.strip_prefix("package-")?;
    Some(number.split_once("-die-").map_or(number, |(number, _)| number).to_owned())
}

/// The control type of a zone's directory: `intel-rapl` of `intel-rapl:0:1`.
fn control(id: &str) -> &str {
    id.split(':').next().unwrap_or_default()
}

impl Found {
    /// What it measures, and the name that this has; `None` for what is not known.
    fn domain(&self) -> Option<(Kind, String)> {
        let of_package =
            |kind: Kind| Some((kind, format!("{}-{}", kind.as_str(), self.package.as_deref()?)));
        match self.name.as_str() {
            name if name.starts_with("package-") => Some((Kind::Package, name.to_owned())),
            "dram" => of_package(Kind::Dram),
            "core" => of_package(Kind::Core),
            "uncore" => of_package(Kind::Uncore),
            "psys" => Some((Kind::Psys, "psys".to_owned())),
            _ => None,
        }
    }
}

/// `0` of `package-0`, `0-die-1` of `package-0-die-1`.
fn package_number(name: &str) -> Option<String> {
    name.strip_prefix("package-").map(str::to_owned)
}

impl Zone {
    fn open(found: &Found, kind: Kind, name: &str) -> Result<Self, Exclusion> {
        let range = read_text(&found.path.join("max_energy_range_uj")).ok();
        let range = range.and_then(|text| text.parse().ok()).map(Microjoules::new);
        let scale = range.and_then(Scale::printed).ok_or(Exclusion::Unreadable)?;
        let likely = likely(&found.path, kind);
        let mut zone = Self {
            domain: Domain {
                name: name.to_owned(),
                key: format!("{}:{}", found.name, found.id),
                kind,
                source: found.id.clone(),
                scale,
                ceiling: likely.max(provable(scale, kind.ceiling())),
                likely,
                excluded: kind.exclusion(),
            },
            path: found.path.join("energy_uj"),
            file: None,
        };
        match zone.read() {
            Ok(_) => Ok(zone),
            Err(ReadFault::Fatal) => Err(Exclusion::Denied),
            Err(_) => Err(Exclusion::Unreadable),
        }
    }

    /// Reads the counter. The file is kept open, and opened anew after it has gone.
    ///
    /// # Errors
    /// By what to do next; see [`ReadFault`].
    pub fn read(&mut self) -> Result<u64, ReadFault> {
        let value = self.try_read();
        if value.is_err() {
            self.file = None;
        }
        value
    }

    fn try_read(&mut self) -> Result<u64, ReadFault> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path).map_err(|error| ReadFault::of(&error))?),
        };
        let mut text = [0; READING_BYTES];
        let length = file.read_at(&mut text, 0).map_err(|error| ReadFault::of(&error))?;
        let digits = text.get(..length).unwrap_or_default().trim_ascii();
        let value = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        value.ok_or(ReadFault::Retry)
    }
}

/// At most this power, and no more than what leaves time to prove a wrap. Counters of hardware wrap after half
/// a minute at the earliest.
fn provable(scale: Scale, power: Watts) -> Watts {
    scale.range().over(PROVABLE_WITHIN).map_or(power, |most| power.min(most))
}

/// Four times the largest published limit, else a power that no such domain reaches.
fn likely(zone: &Path, kind: Kind) -> Watts {
    let limit = |n: u32| {
        let text = read_text(&zone.join(format!("constraint_{n}_max_power_uw"))).ok()?;
        text.parse::<u64>().ok().filter(|&microwatts| microwatts > 0)
    };
    let largest = (0..3).filter_map(limit).max();
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no sixteenth digit")]
    let watts = largest.map(|microwatts| LIKELY_OVER_LIMIT * microwatts as f64 / 1e6);
    watts.and_then(|watts| Watts::new(watts).ok()).unwrap_or(kind.ceiling())
}

/// Gives zones whose range tells no unit the unit of a register (see [`super::msr::units`]), where
/// their readings show it: the first candidate on whose lattice all of up to 8 readings lie, when there
/// are enough distinct ones among them that chance is out of the question (a millionth). Else a zone
/// stays as it is, as do zones whose range tells their unit, and kinds that have one of their own.
///
/// `sleep` is called between readings, so that the counters move; yields how many zones were refined.
pub fn refine(topology: &mut Topology, units: &Units, sleep: &mut dyn FnMut(Duration)) -> usize {
    let mut refined = 0;
    for zone in topology.all_mut() {
        let candidates = units.candidates(zone.domain.kind);
        if zone.domain.scale.is_exact() || candidates.is_empty() {
            continue;
        }
        let range = zone.domain.scale.range();
        let readings = live_readings(zone, sleep);
        let scales = candidates.iter().filter_map(|&esu| Scale::printed_in_units(range, esu));
        if let Some(scale) = scales.into_iter().find(|scale| shows(scale, &readings)) {
            zone.domain.scale = scale;
            refined += 1;
        }
    }
    refined
}

fn live_readings(zone: &mut Zone, sleep: &mut dyn FnMut(Duration)) -> BTreeSet<u64> {
    let mut readings = BTreeSet::new();
    for look in 0..REFINE_READS {
        if look > 0 {
            sleep(REFINE_PAUSE);
        }
        readings.extend(zone.read().ok());
    }
    readings
}

/// Whether these distinct readings lie on the lattice of a scale, and not by chance.
fn shows(scale: &Scale, readings: &BTreeSet<u64>) -> bool {
    let chance = readings.iter().fold(1.0, |chance, _| chance / scale.unit_microjoules());
    scale.has_lattice()
        && chance <= REFINE_CHANCE
        && readings.iter().all(|&reading| scale.can_show(reading))
}

/// The zones of a host as a backend: counted ones first, then those beside them, then copies, named after what they
/// show: `package-0@mmio`.
#[derive(Debug)]
pub struct Powercap {
    domains: Vec<Domain>,
    zones: Vec<Zone>,
}

impl Powercap {
    /// Takes the zones over.
    pub fn new(topology: Topology) -> Self {
        let copies = topology.copies.into_iter().map(|mut zone| {
            let bus = control(&zone.domain.source);
            let bus = bus.strip_prefix("intel-rapl-").unwrap_or(bus);
            zone.domain.name = format!("{}@{bus}", zone.domain.name);
            zone.domain.excluded = Some(Exclusion::Duplicate);
            zone
        });
        let zones: Vec<_> =
            topology.counted.into_iter().chain(topology.beside).chain(copies).collect();
        Self { domains: zones.iter().map(|zone| zone.domain.clone()).collect(), zones }
    }
}

impl Backend for Powercap {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn domains(&self) -> &[Domain] {
        &self.domains
    }

    fn read(&mut self, index: usize) -> Result<u64, ReadFault> {
        self.zones.get_mut(index).ok_or(ReadFault::Gone)?.read()
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not there (a virtual machine, or a kernel without RAPL)".into(),
        _ => error.to_string(),
    }
}
