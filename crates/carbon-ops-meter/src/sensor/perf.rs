//! RAPL through the kernel's `power` PMU: `perf_event_open(2)` on the events `energy-pkg`,
//! `energy-ram`, `energy-cores`, `energy-gpu` and `energy-psys`.
//!
//! The kernel continues the 32-bit registers to 64 bits and scales them to ticks of 2^−32 J, in which it
//! knows the units of each processor (Linux `arch/x86/events/rapl.c`). An event whose `.scale` says
//! otherwise is refused. Counting starts at zero when an event is opened.
//!
//! **No hardware has seen this backend.** It was written after the kernel's source and tested on fake
//! events: the machines at hand have no such PMU.
//!
//! Read at least once a second. The kernel's own timer against lost wraps is sized for 200 W, and the
//! difference of two of its looks is taken as a signed number (`rapl_event_update`), so that a package
//! well above 200 W may count wrongly when nobody else reads for minutes.
//!
//! Out of scope: AMD's PMU `power_core`, which counts single cores; sampling; groups; the
//! system call itself (see [`Kernel`]).

use std::io;

use super::socket::{self, Scope, Socket};
use super::{Availability, Backend, Domain, Excluded, Exclusion, Kind, ReadFault};
use crate::counter::Scale;
use crate::host_root::HostRoot;

mod kernel;

pub use kernel::{Event, EventOpener, Kernel};

const PMU: &str = "/sys/bus/event_source/devices/power";

/// 2^−32 as the kernel prints it.
const SCALE: &str = "2.3283064365386962890625e-10";

const EVENTS: [(Kind, &str); 5] = [
    (Kind::Package, "energy-pkg"),
    (Kind::Dram, "energy-ram"),
    (Kind::Core, "energy-cores"),
    (Kind::Uncore, "energy-gpu"),
    (Kind::Psys, "energy-psys"),
];

/// The energy events of a host as a backend.
#[derive(Debug)]
pub struct Perf {
    domains: Vec<Domain>,
    events: Vec<Box<dyn Event>>,
    excluded: Vec<Excluded>,
}

impl Perf {
    /// Opens the energy events of each package.
    pub fn discover(host: &HostRoot, opener: &dyn EventOpener) -> (Availability, Option<Self>) {
        let file = |name: &str| host.text(&format!("{PMU}/{name}"));
        let pmu_type = file("type").ok().and_then(|text| text.parse().ok());
        let cpus = file("cpumask").ok().and_then(|text| socket::parse_list(&text));
        let (Some(pmu_type), Some(cpus)) = (pmu_type, cpus) else {
            let why = format!("{PMU} is not there: a virtual machine, or a kernel without it");
            return (Availability::Absent(why), None);
        };
        let mut found = Self { domains: Vec::new(), events: Vec::new(), excluded: Vec::new() };
        let mut worst = None;
        for (kind, event) in EVENTS {
            let config = match config_of(&file, event) {
                Ok(Some(config)) => config,
                Ok(None) => continue,
                Err(why) => {
                    worst.get_or_insert(Availability::Absent(why));
                    found.exclude(kind.as_str(), event, Exclusion::Unreadable);
                    continue;
                }
            };
            // One CPU of the mask per package, or per die where the kernel counts so.
            for (place, (socket, readers)) in
                socket::group(host, &cpus, Scope::Die).into_iter().enumerate()
            {
                let Some(&cpu) = readers.first().filter(|_| kind != Kind::Psys || place == 0)
                else {
                    continue;
                };
                match opener.open(pmu_type, config, cpu) {
                    Ok(opened) => found.add(kind, event, socket, cpu, opened),
                    Err(error) => {
                        let (why, reason) = refusal(event, &error);
                        worst.get_or_insert(why);
                        found.exclude(&socket.name(kind), event, reason);
                    }
                }
            }
        }
        if found.domains.iter().any(|domain| domain.kind == Kind::Package) {
            return (Availability::Present, Some(found));
        }
        let none = || Availability::Absent(format!("{PMU} has no event energy-pkg"));
        (worst.unwrap_or_else(none), None)
    }

    /// Events that are there and could not be opened.
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    fn add(&mut self, kind: Kind, event: &str, socket: Socket, cpu: u32, opened: Box<dyn Event>) {
        self.domains.push(Domain {
            name: socket.name(kind),
            key: format!("{}:perf", socket.name(kind)),
            kind,
            source: format!("{event}@cpu{cpu}"),
            scale: Scale::register(32, 64),
            ceiling: kind.ceiling(),
            likely: kind.ceiling(),
            excluded: kind.exclusion(),
        });
        self.events.push(opened);
    }

    fn exclude(&mut self, name: &str, event: &str, reason: Exclusion) {
        self.excluded.push(Excluded { name: name.to_owned(), id: event.to_owned(), reason });
    }
}

impl Backend for Perf {
    fn name(&self) -> &'static str {
        "perf"
    }

    fn domains(&self) -> &[Domain] {
        &self.domains
    }

    fn read(&mut self, index: usize) -> Result<u64, ReadFault> {
        let event = self.events.get_mut(index).ok_or(ReadFault::Gone)?;
        event.count().map_err(|error| ReadFault::of(&error))
    }
}

/// The number behind an event's name; `Ok(None)` where the machine does not have it.
fn config_of(
    file: &dyn Fn(&str) -> io::Result<String>,
    event: &str,
) -> Result<Option<u64>, String> {
    let Ok(text) = file(&format!("events/{event}")) else { return Ok(None) };
    let scale = file(&format!("events/{event}.scale")).unwrap_or_default();
    let unit = file(&format!("events/{event}.unit")).unwrap_or_default();
    if scale != SCALE || unit != "Joules" {
        return Err(format!("{event} counts in {scale:?} {unit:?}, not in 2^-32 joules"));
    }
    let hex = text.strip_prefix("event=0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    hex.map(Some).ok_or_else(|| format!("{event} is {text:?}, not a number of an event"))
}

/// `perf_event_open` refuses with EACCES, or EPERM, who may not count for all processes.
fn refusal(event: &str, error: &io::Error) -> (Availability, Exclusion) {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let remedy = format!(
            "{event} may not be opened; give CAP_PERFMON, or set kernel.perf_event_paranoid to 0, \
             or let the governor serve it"
        );
        return (Availability::Denied(remedy), Exclusion::Denied);
    }
    (Availability::Absent(format!("{event}: {error}")), Exclusion::Unreadable)
}
