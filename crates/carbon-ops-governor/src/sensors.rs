//! Which counters this machine has, and which of them are read.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use caps::Capability;
use carbon_ops_meter::counter::Scale;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::hwmon::{self, Hwmon};
use carbon_ops_meter::sensor::msr::{self, Msr, Units};
use carbon_ops_meter::sensor::nvml::{self, Driver as _, Helper};
use carbon_ops_meter::sensor::perf::{self, Perf};
use carbon_ops_meter::sensor::powercap::{Powercap, Topology, Zone, refine};
use carbon_ops_meter::sensor::{Availability, Backend, Domain, Excluded, Exclusion};

use crate::clocks;
use crate::fault::Fault;
use crate::privileges;
use crate::settings::{RaplMode, Settings, SysfsBits};

/// How long to wait for NVIDIA's library beside other counters, and where there are none. It takes some 10 ms
/// where the driver is kept awake, else seconds per GPU.
const DRIVER_WITHIN: Duration = Duration::from_secs(1);
const DRIVER_WITHIN_ALONE: Duration = Duration::from_secs(30);

/// A program that is linked statically cannot load NVIDIA's library.
const IS_STATIC: bool = cfg!(target_feature = "crt-static");

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// To be read, the first one for the host's sum.
    pub(crate) backends: Vec<Box<dyn Backend>>,
    /// To be held against the first.
    pub(crate) second: Option<Box<dyn Backend>>,
    /// Zones that are not read, or not summed.
    pub(crate) excluded: Vec<Excluded>,
    /// Whether the processor blurs its counters.
    pub(crate) filtering: Option<bool>,
    /// What opens the counters again, for a user that is not root.
    pub(crate) capability: Option<Capability>,
    /// GPUs whose driver has not answered yet.
    pub(crate) late: Option<Helper>,
    /// How to look for zones that appear later.
    pub(crate) rescan: Option<Rescan>,
}

/// How powercap zones are looked for, and what is made of them.
#[derive(Debug, Clone)]
pub(crate) struct Rescan {
    host: HostRoot,
    bits: SysfsBits,
    /// What registers say of units that ranges do not tell; they can be read at the start alone.
    units: Units,
}

/// The host whose files are read.
pub(crate) fn host(settings: &Settings) -> HostRoot {
    let host = HostRoot::real();
    let host = match &settings.powercap_root {
        Some(root) => host.with_powercap(root),
        None => host,
    };
    match &settings.hwmon_root {
        Some(root) => host.with_hwmon(root),
        None => host,
    }
}

/// Looks for counters as the settings say.
///
/// # Errors
/// When there are none: a governor of nothing would serve silence.
pub(crate) fn find(settings: &Settings, host: &HostRoot) -> Result<Found> {
    let mut found = Found::default();
    let mut why_not = Vec::new();
    let mode = settings.rapl_mode;
    let is = |wanted| mode == wanted || mode == RaplMode::Auto;
    if is(RaplMode::Sysfs) {
        match sysfs(settings, host, &mut found) {
            Availability::Present => {
                found.capability = Some(Capability::CAP_DAC_READ_SEARCH);
            }
            other => why_not.push(format!("sysfs: {other}")),
        }
    }
    // Registers are the host's, whatever folder stands in for its powercap files.
    let real = settings.powercap_root.is_none();
    if is(RaplMode::Msr) && real {
        match Msr::discover(host, settings.msr_cpus.as_deref()) {
            (Availability::Present, Some(msr)) if found.backends.is_empty() => {
                found.excluded.extend_from_slice(msr.excluded());
                found.capability = Some(Capability::CAP_SYS_RAWIO);
                found.backends.push(Box::new(msr));
            }
            (Availability::Present, Some(msr)) => found.second = Some(Box::new(msr)),
            (other, _) => why_not.push(format!("msr: {other}")),
        }
        found.filtering = msr::energy_filtering(host, settings.msr_cpus.as_deref());
    }
    if is(RaplMode::Perf) && real && found.backends.is_empty() {
        match Perf::discover(host, &perf::Kernel) {
            (Availability::Present, Some(perf)) => {
                found.excluded.extend_from_slice(perf.excluded());
                found.capability = Some(Capability::CAP_PERFMON);
                found.backends.push(Box::new(perf));
            }
            (other, _) => why_not.push(format!("perf: {other}")),
        }
    }
    if settings.hwmon {
        hwmon(host, &mut found);
    }
    match (&settings.nvml_library, IS_STATIC) {
        _ if !settings.nvml => {}
        (_, false) => gpus(settings, &mut found)?,
        (Some(library), true) => bail!(
            "nvml: this program is static, and cannot load {}; the one of the Debian package can",
            library.display()
        ),
        (None, true) => log::info!("nvml: this program is static, and counts no GPU"),
    }
    if found.backends.is_empty() {
        bail!(Fault::NoCounter(why_not));
    }
    Ok(found)
}

/// GPUs of AMD and Intel, and sockets where no other counter has one: both would be one quantity.
fn hwmon(host: &HostRoot, found: &mut Found) {
    let mut shown = hwmon::Found::look(host, clocks::boot_time);
    let (mut channels, mut excluded) = shown.take_gpus();
    if found.backends.is_empty() {
        channels.append(&mut shown.channels);
        excluded.append(&mut shown.excluded);
    } else {
        let known = shown.channels.into_iter().map(|channel| Excluded {
            name: channel.domain.name,
            id: channel.domain.source,
            reason: Exclusion::Duplicate,
        });
        excluded.extend(known);
    }
    found.excluded.extend_from_slice(&excluded);
    if !channels.is_empty() {
        found.backends.push(Box::new(Hwmon::new(channels, excluded)));
    }
}

/// GPUs, by a process of its own: what their driver does must not happen to this one.
fn gpus(settings: &Settings, found: &mut Found) -> Result<()> {
    let named = settings.nvml_library.as_deref();
    let library = named.unwrap_or(Path::new(nvml::LIBRARY));
    let folder = named.and_then(Path::parent).map(Path::to_owned);
    let confine = move || privileges::confine_driver(folder);
    let mut helper = match Helper::start(library, clocks::boot_time, confine) {
        Ok(helper) => helper,
        Err(error) => {
            log::warn!("nvml: no process for it: {error}");
            return Ok(());
        }
    };
    let alone = found.backends.is_empty();
    match helper.found(if alone { DRIVER_WITHIN_ALONE } else { DRIVER_WITHIN }) {
        Some(Availability::Present) => {
            found.excluded.extend_from_slice(helper.left_out());
            found.backends.push(Box::new(helper));
        }
        // Most machines have none; one that was named should be there.
        Some(other) if named.is_some() => bail!("nvml: {other}"),
        Some(other) => log::debug!("nvml: {other}"),
        None => {
            log::warn!("nvml: the library does not answer; its GPUs are counted from when it does");
            found.late = Some(helper);
        }
    }
    Ok(())
}

fn sysfs(settings: &Settings, host: &HostRoot, found: &mut Found) -> Availability {
    let (availability, topology) = Topology::discover_all(host);
    found.excluded.append(&mut topology.excluded.clone());
    if availability != Availability::Present {
        return availability;
    }
    // Registers are the host's, whatever folder stands in for its powercap files.
    let real = settings.powercap_root.is_none();
    let units =
        if real { msr::units(host, settings.msr_cpus.as_deref()) } else { Units::default() };
    let rescan = Rescan { host: host.clone(), bits: settings.sysfs_bits, units };
    found.backends.push(Box::new(Powercap::new(rescan.understood(topology))));
    found.rescan = Some(rescan);
    Availability::Present
}

/// `--sysfs-bits`: values that wrap otherwise than the kernel says.
fn widen(topology: &mut Topology, bits: SysfsBits) {
    let bits = match bits {
        SysfsBits::Auto => return,
        SysfsBits::Bits32 => 32,
        SysfsBits::Bits64 => 64,
    };
    for zone in topology.all_mut() {
        zone.domain.scale = Scale::register_of_microjoules(1, bits);
    }
}

/// Zones that were not there before.
pub(crate) struct Appeared {
    pub(crate) backend: Box<dyn Backend>,
    /// All zones that are not summed, the old ones included.
    pub(crate) excluded: Vec<Excluded>,
}

impl Rescan {
    /// The zones with the scales that their readings have.
    fn understood(&self, mut topology: Topology) -> Topology {
        // A range of an odd shape does not tell the unit; a register may.
        refine(&mut topology, &self.units, &mut std::thread::sleep);
        widen(&mut topology, self.bits);
        topology
    }

    /// Zones that are not among `known`, as a backend of their own. A zone of a known name is the
    /// same domain seen otherwise (such as its copy in `intel-rapl-mmio` while the zone itself is
    /// gone), and would be counted twice.
    pub(crate) fn appeared(&self, known: &[Domain]) -> Option<Appeared> {
        let (_, mut topology) = Topology::discover_all(&self.host);
        let is_new = |zone: &Zone| {
            known.iter().all(|old| old.key != zone.domain.key && old.name != zone.domain.name)
        };
        if !topology.counted.iter().chain(&topology.beside).any(is_new) {
            return None;
        }
        let mut excluded = std::mem::take(&mut topology.excluded);
        let copies = topology
            .counted
            .iter()
            .filter(|zone| !is_new(zone) && known.iter().all(|old| old.key != zone.domain.key));
        excluded.extend(copies.map(|zone| Excluded {
            name: zone.domain.name.clone(),
            id: zone.domain.source.clone(),
            reason: Exclusion::Duplicate,
        }));
        topology.counted.retain(is_new);
        topology.beside.retain(is_new);
        topology.copies.retain(|zone| known.iter().all(|old| old.key != zone.domain.key));
        let backend = Powercap::new(self.understood(topology));
        Some(Appeared { backend: Box::new(backend), excluded })
    }
}
