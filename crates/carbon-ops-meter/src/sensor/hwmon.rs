//! Energies and powers that the kernel's hardware monitoring shows: GPUs of AMD and Intel, sockets of processors that
//! have no RAPL, boards and power supplies.
//!
//! # What is counted
//!
//! Of each kind of thing the largest that can be read, and nothing that lies in it: the card and not its package, the
//! socket and not its rails. What a channel measures and what contains it says one table (`table`) by the driver's
//! name; of drivers that it lacks, and of whatever holds more than a package, nothing is summed. A socket counts where
//! no RAPL does, since both are one quantity; that is for whoever has both.
//!
//! An energy is a counter ([`crate::counter`]); a power is integrated, with bounds ([`Integral`]).
//!
//! # Sleep
//!
//! Reading a GPU that sleeps wakes it, and keeps it awake. So before each look the kernel is asked whether the device
//! sleeps, which wakes nothing; one that does is not touched, is taken to draw nothing, and the time is named.
//!
//! # Names
//!
//! Numbers of nodes (`hwmon3`) change with each boot and each reload of a driver. A channel is known by its device, and
//! looked up anew below it where its files have gone.
//!
//! Out of scope: subtraction, setting anything, drivers that show a voltage and a current in the place of a power.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carbon_ops_units::Watts;

use self::table::{Known, Meaning, known};
use super::integral::Trapezoid;
use super::powercap::LIKELY_OVER_LIMIT;
use super::{Backend, Domain, Excluded, Exclusion, Integral, Kind, ReadFault};
use crate::clock::Moment;
use crate::counter::Scale;
use crate::host_root::{HostRoot, read_text};

mod table;

/// The name of this backend.
pub const NAME: &str = "hwmon";

/// No machine has more; a folder that claims so is not hwmon.
const NODES_MAX: usize = 1024;

/// What a number and its newline take, with room to spare.
const READING_BYTES: usize = 64;

/// What time it is. On a real machine, `CLOCK_BOOTTIME`.
pub type Clock = fn() -> Moment;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What may be summed, sorted by name.
    pub channels: Vec<Channel>,
    /// What is not, and why.
    pub excluded: Vec<Excluded>,
    /// Each channel that there is, summed or not, as people know it: its place, its driver and its label.
    pub seen: Vec<Seen>,
}

/// A channel as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its place: `0000:03:00.0/power1`.
    pub id: String,
    /// Whose it is.
    pub driver: String,
    /// What its driver calls it; empty where it has no label, or the device sleeps.
    pub label: String,
    /// The domain that it is counted as, or why it is not.
    pub fate: Result<String, Exclusion>,
    /// Where it stands what it measures; nothing of what is not known.
    pub source: Option<&'static str>,
}

/// A device that shows energies or powers.
#[derive(Debug, Clone)]
struct Node {
    /// Where the device is, which stays.
    device: PathBuf,
    /// What people call it: `0000:03:00.0`.
    place: String,
    driver: String,
    /// Where its files are now.
    folder: PathBuf,
}

/// A channel that can be read.
pub struct Channel {
    /// What it measures.
    pub domain: Domain,
    node: Node,
    /// The files that show it, the best first.
    names: Vec<String>,
    file: Option<File>,
    /// Of a power.
    integral: Option<Trapezoid>,
    clock: Clock,
}

/// One that may be counted.
struct Candidate {
    node: Node,
    channel: String,
    names: Vec<String>,
    name: String,
    kind: Kind,
    known: Known,
    /// Which socket or device it is a part of.
    group: (Kind, String),
    part: &'static str,
    inside: Option<(&'static str, &'static str)>,
}

impl Found {
    /// Looks at the nodes of a host, and wakes none.
    pub fn look(host: &HostRoot, clock: Clock) -> Self {
        let mut found = Self::default();
        let mut candidates = Vec::new();
        let mut ordinals: BTreeMap<String, u32> = BTreeMap::new();
        let mut whose = BTreeSet::new();
        for node in nodes(host) {
            let ordinal = ordinals.entry(node.driver.clone()).or_default();
            let number = *ordinal;
            *ordinal += 1;
            let channels = node.channels();
            let has_file = |file: &str| node.folder.join(file).exists();
            let is_mirror = node.device.to_string_lossy().contains("/power_supply/");
            // A second node of one driver at one device shows the same.
            let is_second = !whose.insert((node.device.clone(), node.driver.clone()));
            for (channel, names) in channels {
                let label = if node.is_asleep() { String::new() } else { node.label(&channel) };
                let told = known(&node.driver, &channel, &label, has_file);
                let id = format!("{}/{channel}", node.place);
                let fate = match told {
                    _ if is_mirror || is_second => Err(Exclusion::Duplicate),
                    None => Err(Exclusion::Unknown),
                    Some(Known { is: Meaning::Beside(why), .. }) => Err(why),
                    Some(told) => match candidate(&node, &channel, names, told, number) {
                        Some(candidate) => {
                            let name = candidate.name.clone();
                            candidates.push(candidate);
                            Ok(name)
                        }
                        None => Err(Exclusion::Unknown),
                    },
                };
                let (driver, source) = (node.driver.clone(), told.map(|told| told.source));
                found.seen.push(Seen { id, driver, label, fate, source });
            }
        }
        let inside: Vec<_> = candidates
            .iter()
            .map(|one| {
                let whole = one.inside?;
                candidates.iter().position(|other| {
                    other.group == one.group && (other.known.driver, other.part) == whole
                })
            })
            .collect();
        let opened = outermost(&inside, |place| {
            candidates.get(place).ok_or(Exclusion::Unreadable)?.open(clock)
        });
        for (candidate, opened) in candidates.iter().zip(opened) {
            let reason = match opened {
                Some(Ok(channel)) => {
                    found.channels.push(channel);
                    continue;
                }
                Some(Err(reason)) => reason,
                None if candidate.kind == Kind::Gpu => Exclusion::InsideGpu,
                None => Exclusion::InsidePackage,
            };
            let id = candidate.id();
            if let Some(seen) = found.seen.iter_mut().find(|seen| seen.id == id) {
                seen.fate = Err(reason);
            }
            found.excluded.push(Excluded { name: candidate.name.clone(), id, reason });
        }
        found.channels.sort_by(|a, b| a.domain.name.cmp(&b.domain.name));
        found
    }

    /// Takes out the GPUs, and what of them is not counted.
    pub fn take_gpus(&mut self) -> (Vec<Channel>, Vec<Excluded>) {
        let is_gpu = |kind: &str| kind.starts_with(Kind::Gpu.as_str());
        let channels = self.channels.extract_if(.., |one| one.domain.kind == Kind::Gpu).collect();
        (channels, self.excluded.extract_if(.., |zone| is_gpu(&zone.name)).collect())
    }
}

/// Opens each thing that lies in none that was opened: those that hold others first.
///
/// So nothing is counted twice, whatever holds what: of a thing that is counted no container is, and none of
/// its containers' containers.
fn outermost<T, E>(
    inside: &[Option<usize>],
    mut open: impl FnMut(usize) -> Result<T, E>,
) -> Vec<Option<Result<T, E>>> {
    let holders = |place: usize| {
        let mut next = inside.get(place).copied().flatten();
        let mut seen = BTreeSet::new();
        std::iter::from_fn(move || {
            let holder = next.filter(|holder| *holder != place && seen.insert(*holder))?;
            next = inside.get(holder).copied().flatten();
            Some(holder)
        })
    };
    let mut order: Vec<_> = (0..inside.len()).collect();
    order.sort_by_key(|place| holders(*place).count());
    let mut opened: Vec<Option<Result<T, E>>> = inside.iter().map(|_| None).collect();
    for place in order {
        let is_open = |holder| matches!(opened.get(holder), Some(Some(Ok(_))));
        if !holders(place).any(is_open)
            && let Some(slot) = opened.get_mut(place)
        {
            *slot = Some(open(place));
        }
    }
    opened
}

fn candidate(
    node: &Node,
    channel: &str,
    names: Vec<String>,
    known: Known,
    ordinal: u32,
) -> Option<Candidate> {
    let Meaning::Sum { kind, part, inside } = known.is else { return None };
    let number = known.number.filter(|_| kind == Kind::Gpu);
    let group = if kind == Kind::Gpu {
        node.place.clone()
    } else {
        known.number.unwrap_or(ordinal).to_string()
    };
    let suffix = if part.is_empty() { String::new() } else { format!("-{part}") };
    let number = number.map_or(String::new(), |number| number.to_string());
    let name = format!("{}-{group}{suffix}{number}", kind.as_str());
    Some(Candidate {
        node: node.clone(),
        channel: channel.to_owned(),
        names,
        name,
        kind,
        known,
        group: (kind, group),
        part,
        inside,
    })
}

impl Candidate {
    fn id(&self) -> String {
        format!("{}/{}", self.node.place, self.channel)
    }

    fn open(&self, clock: Clock) -> Result<Channel, Exclusion> {
        let is_power = self.channel.starts_with("power");
        let is_asleep = self.node.is_asleep();
        let ceiling = self.kind.ceiling();
        let likely = if is_asleep { None } else { self.node.limit(&self.channel) };
        let (id, source) = (self.id(), self.id());
        let mut channel = Channel {
            domain: Domain {
                name: self.name.clone(),
                key: format!("{}:{id}", self.kind.as_str()),
                kind: self.kind,
                source,
                scale: Scale::register_of_microjoules(1, u64::BITS),
                ceiling,
                likely: likely.unwrap_or(ceiling).min(ceiling),
                excluded: None,
            },
            node: self.node.clone(),
            names: self.names.clone(),
            file: None,
            integral: None,
            clock,
        };
        let first =
            if is_asleep { 0 } else { channel.number().map_err(|error| exclusion(&error))? };
        if is_power {
            let update = self.known.update.max(self.node.interval(&self.channel, is_asleep));
            let first = Trapezoid::starting(first, clock(), ceiling).updated_each(update);
            channel.integral = Some(first);
        }
        Ok(channel)
    }
}

fn exclusion(error: &io::Error) -> Exclusion {
    // EPERM is what a driver says in its reset, EACCES what the file's mode does.
    if error.raw_os_error() == Some(libc::EACCES) {
        Exclusion::Denied
    } else {
        Exclusion::Unreadable
    }
}

impl Channel {
    /// Reads the energy in µJ: of a counter what it shows, of a power its integral.
    ///
    /// # Errors
    /// By what to do next; see [`ReadFault`].
    pub fn read(&mut self) -> Result<u64, ReadFault> {
        if self.node.is_asleep() {
            // The file is let go, which costs nothing and keeps nothing awake.
            self.file = None;
            if let Some(power) = &mut self.integral {
                power.observe(0, (self.clock)());
            }
            return Err(ReadFault::Asleep);
        }
        let number = self.number();
        if number.is_err() {
            self.file = None;
        }
        let number = number.map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM) => ReadFault::Retry,
            _ => ReadFault::of(&error),
        })?;
        let Some(power) = &mut self.integral else { return Ok(number) };
        // Drivers show all ones, or the largest that fits, where they know nothing.
        if !watts(number).is_some_and(|watts| watts <= self.domain.ceiling) {
            return Err(ReadFault::Retry);
        }
        power.observe(number, (self.clock)());
        Ok(power.integral().energy.as_microjoules())
    }

    /// How well a power is integrated; `None` for a counter.
    pub fn integral(&self) -> Option<Integral> {
        self.integral.as_ref().map(Trapezoid::integral)
    }

    /// What its file shows.
    fn number(&mut self) -> io::Result<u64> {
        if self.file.is_none() {
            self.file = Some(self.node.open(&self.names)?);
        }
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let mut text = [0; READING_BYTES];
        let length = file.read_at(&mut text, 0)?;
        let digits = text.get(..length).unwrap_or_default().trim_ascii();
        let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("domain", &self.domain).finish_non_exhaustive()
    }
}

fn watts(microwatts: u64) -> Option<Watts> {
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no sixteenth digit")]
    Watts::new(microwatts as f64 / 1e6).ok()
}

/// The nodes of a host, by their devices.
fn nodes(host: &HostRoot) -> Vec<Node> {
    let entries = host.hwmon_class().and_then(|class| fs::read_dir(class).ok());
    let entries = entries.into_iter().flatten().take(NODES_MAX);
    let nodes = entries.filter_map(|entry| Node::at(&entry.ok()?.path()));
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_by(|a, b| (&a.device, &a.driver, &a.folder).cmp(&(&b.device, &b.driver, &b.folder)));
    nodes
}

impl Node {
    /// A node of the class. Nothing but its name is read, and no link of it is followed but the one to its device.
    fn at(link: &Path) -> Option<Self> {
        let folder = fs::canonicalize(link).ok()?;
        let device = fs::canonicalize(folder.join("device")).unwrap_or_else(|_| folder.clone());
        // Drivers of the first kind have name and files at the device.
        let (folder, driver) = [folder, device.clone()].into_iter().find_map(|folder| {
            let name = read_text(&folder.join("name")).ok()?;
            Some((folder, name))
        })?;
        let place = device.file_name()?.to_string_lossy().into_owned();
        Some(Self { device, place, driver, folder })
    }

    /// Energies and powers, each with the files that show it, the best first.
    fn channels(&self) -> BTreeMap<String, Vec<String>> {
        let mut channels: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        for entry in entries.take(NODES_MAX).filter_map(Result::ok) {
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some((channel, what)) = file.split_once('_') else { continue };
            let number = channel.strip_prefix("power").or_else(|| channel.strip_prefix("energy"));
            let is_number = number.is_some_and(|number| number.parse::<u32>().is_ok());
            if is_number && matches!(what, "average" | "input") {
                channels.entry(channel.to_owned()).or_default().push(file.clone());
            }
        }
        // A mean misses nothing between two looks.
        for files in channels.values_mut() {
            files.sort();
        }
        channels
    }

    fn label(&self, channel: &str) -> String {
        let text = |what: &str| read_text(&self.folder.join(format!("{channel}_{what}"))).ok();
        text("label").or_else(|| text("oem_info")).unwrap_or_default()
    }

    /// Over how long an ACPI meter averages.
    fn interval(&self, channel: &str, is_asleep: bool) -> Duration {
        let path = self.folder.join(format!("{channel}_average_interval"));
        let text = if is_asleep { None } else { read_text(&path).ok() };
        text.and_then(|text| text.parse().ok()).map_or(Duration::ZERO, Duration::from_millis)
    }

    /// The most power that it is likely to draw, by the largest limit that it publishes.
    fn limit(&self, channel: &str) -> Option<Watts> {
        let number = channel.trim_start_matches(|c: char| !c.is_ascii_digit());
        let limit = |what: &str| {
            let text = read_text(&self.folder.join(format!("power{number}_{what}"))).ok()?;
            text.parse::<u64>().ok().filter(|&microwatts| microwatts > 0).and_then(watts)
        };
        let limits = ["cap", "rated_max", "max"].into_iter().filter_map(limit);
        limits.reduce(Watts::max).map(|most| most * LIKELY_OVER_LIMIT)
    }

    /// Whether the kernel says that the device sleeps, or is about to: that is asked without waking it
    /// (Linux Documentation/ABI/testing/sysfs-devices-power).
    fn is_asleep(&self) -> bool {
        let status = read_text(&self.device.join("power/runtime_status"));
        status.is_ok_and(|status| matches!(status.as_str(), "suspended" | "suspending"))
    }

    /// Opens the first of its files that is there, and looks for the node anew where it has gone.
    fn open(&mut self, names: &[String]) -> io::Result<File> {
        match open_first(&self.folder, names) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.folder = self.again().ok_or(error)?;
                open_first(&self.folder, names)
            }
            opened => opened,
        }
    }

    /// The node of this driver below this device, under whatever number it has now.
    fn again(&self) -> Option<PathBuf> {
        let folders = fs::read_dir(self.device.join("hwmon")).ok()?;
        let mut folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
        folders.find(|folder| read_text(&folder.join("name")).is_ok_and(|name| name == self.driver))
    }
}

fn open_first(folder: &Path, names: &[String]) -> io::Result<File> {
    let mut last = io::ErrorKind::NotFound.into();
    for name in names {
        match File::open(folder.join(name)) {
            Err(error) => last = error,
            opened => return opened,
        }
    }
    Err(last)
}

/// Channels as a backend.
#[derive(Debug, Default)]
pub struct Hwmon {
    domains: Vec<Domain>,
    channels: Vec<Channel>,
    #[cfg(feature = "nvml")]
    excluded: Vec<Excluded>,
}

impl Hwmon {
    /// Takes the channels over; what else there is of their kind is not counted.
    pub fn new(channels: Vec<Channel>, excluded: Vec<Excluded>) -> Self {
        #[cfg(not(feature = "nvml"))]
        drop(excluded);
        Self {
            domains: channels.iter().map(|channel| channel.domain.clone()).collect(),
            channels,
            #[cfg(feature = "nvml")]
            excluded,
        }
    }
}

impl Backend for Hwmon {
    fn name(&self) -> &'static str {
        NAME
    }

    fn domains(&self) -> &[Domain] {
        &self.domains
    }

    fn read(&mut self, index: usize) -> Result<u64, ReadFault> {
        self.channels.get_mut(index).ok_or(ReadFault::Gone)?.read()
    }

    fn integral(&self, index: usize) -> Option<Integral> {
        self.channels.get(index)?.integral()
    }
}

#[cfg(feature = "nvml")]
mod driver;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any forest, any of it unreadable: no counted thing lies in another, and whatever can be read is counted or
        /// lies in what is. A table with a circle in it counts no more than one of it.
        #[test]
        fn nothing_is_counted_twice_in_any_nesting(
            nodes in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..12),
        ) {
            let count = nodes.len();
            let inside: Vec<_> =
                nodes.iter().map(|(at, is_root, _)| (!is_root).then(|| at.index(count))).collect();
            let readable = |place: usize| nodes[place].2;
            let opened = outermost(&inside, |place| readable(place).then_some(place).ok_or(()));
            let counted = |place: usize| matches!(opened[place], Some(Ok(_)));
            let holders = |place: usize| {
                let mut all = BTreeSet::new();
                let mut next = inside[place];
                while let Some(holder) = next.filter(|it| *it != place && all.insert(*it)) {
                    next = inside[holder];
                }
                all
            };
            for place in 0..count {
                let in_counted = holders(place).into_iter().any(counted);
                prop_assert!(!(counted(place) && in_counted), "{place} of {inside:?}");
                prop_assert!(!readable(place) || counted(place) || in_counted, "{place} of {inside:?}");
            }
        }
    }
}
