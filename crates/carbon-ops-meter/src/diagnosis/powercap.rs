//! RAPL through powercap: is the class there, what hides it, which zones may be read, what is counted,
//! and what their readings mean.
//!
//! Out of scope: choosing zones, which is [`crate::sensor::powercap`]; it is asked here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::time::Instant;

use super::check::{Check, Remedy, Status};
use super::machine::Machine;
use super::process::{Process, owned};
use crate::host_root::HostRoot;
use crate::sensor::powercap::{Topology, masked};
use crate::sensor::{Availability, Domain, Exclusion};
use crate::twins::{Look, Twins};

/// The first Linux whose RAPL drivers serve AMD: major, minor.
const FIRST_WITH_AMD: (u32, u32) = (5, 11);

/// Looks that tell dies which show one counter.
const MIRROR_LOOKS: usize = 3;

/// A zone as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneView {
    /// Name of its directory: `intel-rapl:0:1`.
    pub id: String,
    /// What its file `name` says.
    pub name: String,
    /// How it is measured; `None` for a zone that cannot be read, or is not to be.
    pub domain: Option<Domain>,
    /// Why it is not counted; `None` when it is.
    pub excluded: Option<Exclusion>,
    /// Mode and owner of `energy_uj`, as `0400 root:root`.
    pub mode: Option<String>,
    /// Why `energy_uj` cannot be read now.
    pub unreadable: Option<String>,
}

/// What a class directory without zones is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Class {
    Missing,
    Empty,
    /// Its links lead nowhere, or something is mounted over it.
    Masked(String),
    Unreadable(String),
    /// Control types, and no zone with a counter.
    WithoutZones,
    Zones,
}

#[derive(Debug)]
pub(super) struct Powercap {
    class: Class,
    availability: Availability,
    pub(super) zones: Vec<ZoneView>,
    /// Domains that repeat another one's counter.
    mirrors: Vec<String>,
}

impl Powercap {
    pub(super) fn look(host: &HostRoot) -> Self {
        let (availability, mut topology) = Topology::discover_all(host);
        let view = |name: &str, id: &str, domain: Option<&Domain>, excluded| {
            let path = host.powercap_class().join(id).join("energy_uj");
            ZoneView {
                id: id.to_owned(),
                name: name.to_owned(),
                domain: domain.cloned(),
                excluded,
                mode: fs::metadata(&path).ok().map(|file| owned(host, &file)),
                unreadable: unreadable(File::open(&path).and_then(|file| read(&file))),
            }
        };
        let domains = topology.counted.iter().map(|zone| &zone.domain);
        let mut zones: Vec<_> = domains
            .map(|domain| {
                let name = domain.key.split(':').next().unwrap_or(&domain.name);
                view(name, &domain.source, Some(domain), None)
            })
            .collect();
        for zone in &topology.excluded {
            let beside = topology.beside.iter().map(|zone| &zone.domain);
            let domain = beside.into_iter().find(|domain| domain.source == zone.id);
            zones.push(view(&zone.name, &zone.id, domain, Some(zone.reason)));
        }
        // `intel-rapl:10` after `intel-rapl:9`, children after their parents.
        zones.sort_by_key(|zone| {
            let mut parts = zone.id.split(':');
            let control = parts.next().unwrap_or_default().to_owned();
            (control.len(), control, parts.map(|n| n.parse().unwrap_or(0u32)).collect::<Vec<_>>())
        });
        let mirrors = mirrors(&mut topology);
        Self { class: class(host, &zones), availability, zones, mirrors }
    }

    pub(super) fn is_present(&self) -> bool {
        self.availability == Availability::Present
    }

    pub(super) fn is_masked(&self) -> bool {
        matches!(self.class, Class::Masked(_) | Class::Unreadable(_))
    }

    /// Whether a governor would find counters, here or on the host of this container.
    pub(super) fn is_there(&self, host: &HostRoot) -> bool {
        let events = host.path("/sys/bus/event_source/devices/power/events");
        self.class == Class::Zones || self.is_masked() || events.exists()
    }

    /// Whether a privilege, and not the machine, stands between this process and the counters.
    pub(super) fn is_denied(&self) -> bool {
        self.zones.iter().any(|zone| zone.excluded == Some(Exclusion::Denied))
    }

    /// Names of the domains that are summed.
    pub(super) fn counted(&self) -> Vec<&str> {
        let counted = self.zones.iter().filter(|zone| zone.excluded.is_none());
        counted.filter_map(|zone| Some(zone.domain.as_ref()?.name.as_str())).collect()
    }

    /// Why nothing can be read, in a few words.
    pub(super) fn why_not(&self, machine: &Machine) -> String {
        match &self.class {
            Class::Masked(_) => "the container runtime hides the RAPL counters".into(),
            Class::Zones if self.is_denied() => {
                "RAPL counters are for root only, and no governor serves them".into()
            }
            Class::Zones => "no package counter can be read".into(),
            _ => match (&machine.guest, &machine.container) {
                (Some(sign), _) => format!("a guest ({sign}) without RAPL counters"),
                (None, Some(sign)) => format!("a container ({sign}) without RAPL counters"),
                (None, None) => "the kernel shows no RAPL counters".into(),
            },
        }
    }

    pub(super) fn checks(
        &self,
        host: &HostRoot,
        machine: &Machine,
        who: Option<&Process>,
    ) -> Vec<Check> {
        let mut checks = vec![self.class_check(host), self.modules(host, machine)];
        if self.class == Class::Zones {
            checks.extend([self.access(who), self.sum(), self.scale(), self.mirrored()]);
        }
        checks
    }

    fn class_check(&self, host: &HostRoot) -> Check {
        let class = host.powercap_class();
        let (status, detail) = match &self.class {
            Class::Missing => (Status::Absent, "is not there".to_owned()),
            Class::Empty => (Status::Absent, "is empty: no driver registered a zone".into()),
            Class::Masked(how) => {
                (Status::Denied, format!("is masked: {how} (GHSA-jq35-85cj-fj4p)"))
            }
            Class::Unreadable(why) => (Status::Denied, why.clone()),
            Class::WithoutZones => {
                (Status::Problem, "has control types, but no zone with a counter".into())
            }
            Class::Zones => (Status::Ok, format!("has {} zones", self.zones.len())),
        };
        Check::new("powercap", status, format!("{} {detail}", class.display()))
    }

    /// The drivers `intel_rapl_*` serve AMD too, from [`FIRST_WITH_AMD`] on.
    fn modules(&self, host: &HostRoot, machine: &Machine) -> Check {
        const MODULES: [&str; 3] = ["intel_rapl_msr", "intel_rapl_common", "intel_rapl_tpmi"];
        let check = |status, detail: String| Check::new("driver", status, detail);
        let loaded =
            MODULES.iter().filter(|name| host.path(&format!("/sys/module/{name}")).exists());
        let loaded = loaded.copied().collect::<Vec<_>>().join(", ");
        let zones = self.class == Class::Zones;
        let masked = matches!(self.class, Class::Masked(_));
        let is_amd = matches!(machine.vendor.as_str(), "AuthenticAMD" | "HygonGenuine");
        match machine.kernel {
            _ if zones && loaded.is_empty() => check(Status::Ok, "built into the kernel".into()),
            _ if zones || masked => check(Status::Ok, format!("loaded: {loaded}")),
            _ if machine.vendor.is_empty() => {
                check(Status::Absent, "RAPL is of Intel and AMD, and this is neither".into())
            }
            Some((major, minor)) if is_amd && (major, minor) < FIRST_WITH_AMD => {
                let detail =
                    format!("Linux {major}.{minor} reads no AMD counters; 5.11 and later do");
                check(Status::Problem, detail)
                    .remedy(Remedy::UpdateKernel { least: FIRST_WITH_AMD })
            }
            _ if !loaded.is_empty() => {
                check(Status::Problem, format!("loaded ({loaded}), but it found no counter"))
            }
            _ if machine.guest.is_some() || machine.container.is_some() => check(
                Status::Absent,
                "not loaded; that would not help a guest or a container".into(),
            ),
            _ => check(Status::Absent, "intel_rapl_msr is not loaded".into())
                .remedy(Remedy::LoadDriver),
        }
    }

    /// Who may read which zone.
    fn access(&self, who: Option<&Process>) -> Check {
        // Zones that are refused alike stand together; the tree has each of them.
        let mut alike: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for zone in &self.zones {
            if let Some(why) = &zone.unreadable {
                let mode = zone.mode.as_deref().unwrap_or("no energy_uj");
                alike.entry((mode, why)).or_default().push(&zone.id);
            }
        }
        let list =
            alike.iter().map(|((mode, why), ids)| format!("{mode}: {why}: {}", ids.join(", ")));
        let list: Vec<_> = list.collect();
        if list.is_empty() {
            return Check::new("access", Status::Ok, "every zone can be read");
        }
        let status = if self.is_denied() { Status::Denied } else { Status::Problem };
        let check = Check::new("access", status, list.join("; "));
        if status == Status::Problem || who.is_some_and(|who| who.uid == 0) {
            return check;
        }
        check.remedy(Remedy::RunAsRoot)
    }

    fn sum(&self) -> Check {
        let counted = self.counted();
        let lost =
            self.zones.iter().filter(|zone| zone.excluded.is_some_and(Exclusion::loses_energy));
        let lost: Vec<_> = lost.map(|zone| zone.id.as_str()).collect();
        let reasons = self
            .zones
            .iter()
            .filter_map(|zone| Some(format!("{} {}", zone.name, zone.excluded?.as_str())));
        let reasons: Vec<_> = reasons.collect();
        let left = if reasons.is_empty() {
            String::new()
        } else {
            format!("; not: {}", reasons.join(", "))
        };
        let sum = if counted.is_empty() { "nothing".into() } else { counted.join(" + ") };
        let status = match (counted.is_empty(), lost.is_empty()) {
            (_, true) => Status::Ok,
            (true, false) if self.is_denied() => Status::Denied,
            _ => Status::Problem,
        };
        Check::new("sum", status, format!("{sum}{left}"))
    }

    /// Whether readings can be turned into ticks, and how long a wrap takes at least.
    fn scale(&self) -> Check {
        let domains = self
            .zones
            .iter()
            .filter(|zone| zone.excluded.is_none())
            .filter_map(|zone| zone.domain.as_ref());
        let (mut exact, mut inexact) = (Vec::new(), Vec::new());
        for domain in domains {
            let (range, ceiling) = (domain.scale.range().as_joules(), domain.ceiling.as_watts());
            let wrap = range / ceiling.max(1e-3);
            let text = format!(
                "{}: {:.4} µJ, starts anew every {range:.0} J, not within {wrap:.0} s even at {ceiling:.0} W",
                domain.name,
                domain.scale.unit_microjoules()
            );
            if domain.scale.is_exact() { exact.push(text) } else { inexact.push(text) }
        }
        match (exact.is_empty(), inexact.is_empty()) {
            (true, true) => Check::new("scale", Status::Absent, "no zone is counted"),
            (_, true) => Check::new("scale", Status::Ok, exact.join("; ")),
            _ => Check::new(
                "scale",
                Status::Problem,
                format!(
                    "{}: this range tells no unit, so that µJ count as printed, and each wrap may lose \
                     one unit (61 µJ)",
                    inexact.join("; ")
                ),
            ),
        }
    }

    fn mirrored(&self) -> Check {
        let twins = self.zones.iter().filter(|zone| zone.excluded == Some(Exclusion::Duplicate));
        let twins: Vec<_> = twins.map(|zone| zone.id.as_str()).collect();
        let mut found = Vec::new();
        if !twins.is_empty() {
            found.push(format!("a second time: {}", twins.join(", ")));
        }
        if !self.mirrors.is_empty() {
            found.push(format!(
                "dies that repeat their package's counter: {}",
                self.mirrors.join(", ")
            ));
        }
        if found.is_empty() {
            return Check::new("duplicates", Status::Absent, "no counter shows twice");
        }
        Check::new("duplicates", Status::Ok, format!("{}; counted once", found.join("; ")))
    }
}

/// Counted domains that repeat another one at a few looks.
fn mirrors(topology: &mut Topology) -> Vec<String> {
    let domains = topology.counted.iter().map(|zone| &zone.domain);
    let mut twins = Twins::among(domains.map(|it| (it.name.as_str(), it.scale.range())));
    let begun = Instant::now();
    for _ in 0..MIRROR_LOOKS {
        let looks = topology.counted.iter_mut().map(|zone| {
            let from = begun.elapsed();
            let reading = zone.read().ok()?;
            Some(Look { reading, from, at: begun.elapsed() })
        });
        twins.look(&looks.collect::<Vec<_>>());
    }
    let repeated = twins.repeated().into_iter();
    repeated.filter_map(|place| Some(topology.counted.get(place)?.domain.name.clone())).collect()
}

fn read(file: &File) -> io::Result<()> {
    let text = io::read_to_string(file)?;
    let number = text.trim().parse::<u64>();
    number.map(|_| ()).map_err(|_| io::Error::other(format!("{:?} is not an energy", text.trim())))
}

fn unreadable(result: io::Result<()>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

fn class(host: &HostRoot, zones: &[ZoneView]) -> Class {
    if !zones.is_empty() {
        return Class::Zones;
    }
    if let Some(how) = masked(host) {
        return Class::Masked(how);
    }
    match fs::read_dir(host.powercap_class()) {
        Ok(mut entries) => match entries.next() {
            None => Class::Empty,
            Some(_) => Class::WithoutZones,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Class::Missing,
        Err(error) => Class::Unreadable(error.to_string()),
    }
}
