//! What the drivers of hardware monitoring measure, by their names, channels and labels: the only place that decides
//! whether a channel may be summed, and what contains it.
//!
//! A driver that stands here is one whose documentation or source says what its channels measure. Whatever else has a
//! file with a power is listed and never summed: units and scopes of young drivers are wrong too often.
//!
//! Out of scope: files.

use std::time::Duration;

use crate::sensor::{Exclusion, Kind};

/// One kind of channel.
#[derive(Debug)]
pub(super) struct Row {
    /// Of the driver, as its file `name` says; a `#` stands for a number here and below.
    driver: &'static str,
    /// `power1`, `energy2`.
    channel: &'static str,
    /// What its label says, or the `oem_info` of an ACPI meter; empty where that does not matter.
    label: &'static str,
    /// A file of the node that has to be there; empty where none has to.
    beside: &'static str,
    is: Meaning,
    /// How old a value may be when it is read.
    update_ms: u64,
    /// Where all this stands.
    source: &'static str,
}

/// What a channel measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Something that may be summed, unless a larger thing that holds it is.
    Sum {
        kind: Kind,
        /// Which part of the socket or device; empty for the whole of it.
        part: &'static str,
        /// What contains it, of the same socket or device: driver and part.
        inside: Option<(&'static str, &'static str)>,
    },
    /// Never summed, for this reason.
    Beside(Exclusion),
}

const fn whole(kind: Kind) -> Meaning {
    Meaning::Sum { kind, part: "", inside: None }
}

const fn part(kind: Kind, part: &'static str) -> Meaning {
    Meaning::Sum { kind, part, inside: None }
}

const fn inside(kind: Kind, part: &'static str, whole: (&'static str, &'static str)) -> Meaning {
    Meaning::Sum { kind, part, inside: Some(whole) }
}

/// It holds the package and more: a board, a power supply, a platform.
const PLATFORM: Meaning = Meaning::Beside(Exclusion::OverlapsPackage);

const fn row(
    driver: &'static str,
    channel: &'static str,
    label: &'static str,
    is: Meaning,
    update_ms: u64,
    source: &'static str,
) -> Row {
    Row { driver, channel, label, beside: "", is, update_ms, source }
}

const GRACE: &str = "NVIDIA Grace Performance Tuning Guide, Power Telemetry: Module holds Grace, which holds CPU and SysIO";
const ACPI: &str =
    "Linux Documentation/hwmon/acpi_power_meter.rst; ACPI 6.5, 10.4: whatever the firmware says";
const SMPRO: &str =
    "Linux Documentation/hwmon/smpro-hwmon.rst: powers of voltage regulators, which hold no other";
const XGENE: &str = "Linux Documentation/hwmon/xgene-hwmon.rst";
const AMDGPU: &str = "Linux amdgpu_pm.c: PPT of the board's GPU; only APUs have a voltage vddnb, and their PPT is the socket's";
const I915: &str = "Linux Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon";
const XE: &str =
    "Linux Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon: the card holds the package";
const POWERNV: &str = "Linux Documentation/hwmon/ibmpowernv.rst; labels of OPAL: System holds Chip, which holds Vdd and Vdn";
const AMD_ENERGY: &str =
    "amd_energy (Linux 5.8 to 5.12, and out of tree): Esocket is RAPL's package, Ecore its cores";

/// Means over a second or less are what SMU firmware shows; no source bounds it. A prior.
const SMU_MS: u64 = 1000;
/// Of chips that are asked at each reading. A prior.
const ASKED_MS: u64 = 100;

pub(super) const TABLE: &[Row] = &[
    Row {
        beside: "in1_input",
        ..row("amdgpu", "power1", "", Meaning::Beside(Exclusion::InsidePackage), SMU_MS, AMDGPU)
    },
    row("amdgpu", "power1", "", whole(Kind::Gpu), SMU_MS, AMDGPU),
    row("i915", "energy1", "", whole(Kind::Gpu), 0, I915),
    row("i915_gt#", "energy1", "", inside(Kind::Gpu, "gt", ("i915", "")), 0, I915),
    row("xe", "energy1", "", whole(Kind::Gpu), 0, XE),
    row("xe", "energy2", "", inside(Kind::Gpu, "pkg", ("xe", "")), 0, XE),
    row("power_meter", "power#", "Module Power Socket #", PLATFORM, ASKED_MS, GRACE),
    row("power_meter", "power#", "Grace Power Socket #", whole(Kind::Package), ASKED_MS, GRACE),
    row(
        "power_meter",
        "power#",
        "CPU Power Socket #",
        inside(Kind::Package, "cpu", ("power_meter", "")),
        ASKED_MS,
        GRACE,
    ),
    row(
        "power_meter",
        "power#",
        "SysIO Power Socket #",
        inside(Kind::Package, "sysio", ("power_meter", "")),
        ASKED_MS,
        GRACE,
    ),
    row("power_meter", "power#", "", PLATFORM, 1000, ACPI),
    row("smpro", "power1", "", part(Kind::Package, "core"), ASKED_MS, SMPRO),
    row("smpro", "power2", "", part(Kind::Package, "soc"), ASKED_MS, SMPRO),
    row("smpro", "power3", "", part(Kind::Dram, "vrd1"), ASKED_MS, SMPRO),
    row("smpro", "power4", "", part(Kind::Dram, "vrd2"), ASKED_MS, SMPRO),
    row("smpro", "power5", "", part(Kind::Package, "rca"), ASKED_MS, SMPRO),
    row("apm_xgene", "power#", "CPU power", part(Kind::Package, "cpu"), ASKED_MS, XGENE),
    row("apm_xgene", "power#", "IO power", part(Kind::Package, "io"), ASKED_MS, XGENE),
    row("ibmpowernv", "energy#", "Chip #", whole(Kind::Package), 0, POWERNV),
    // The same quantity, where both are told.
    row(
        "ibmpowernv",
        "power#",
        "Chip #",
        inside(Kind::Package, "power", ("ibmpowernv", "")),
        ASKED_MS,
        POWERNV,
    ),
    row("ibmpowernv", "power#", "System", PLATFORM, ASKED_MS, POWERNV),
    row("ibmpowernv", "energy#", "System", PLATFORM, 0, POWERNV),
    row("amd_energy", "energy#", "Esocket#", whole(Kind::Package), 0, AMD_ENERGY),
    row(
        "amd_energy",
        "energy#",
        "Ecore#",
        Meaning::Beside(Exclusion::InsidePackage),
        0,
        AMD_ENERGY,
    ),
    row(
        "amd_hsmp_hwmon",
        "power1",
        "",
        whole(Kind::Package),
        ASKED_MS,
        "Linux Documentation/arch/x86/amd_hsmp.rst: the power of the socket",
    ),
    row(
        "fam15h_power",
        "power1",
        "",
        whole(Kind::Package),
        ASKED_MS,
        "Linux Documentation/hwmon/fam15h_power.rst: the power of the processor",
    ),
    row("macsmc_hwmon", "power#", "Total System Power", PLATFORM, SMU_MS, "Linux macsmc-hwmon"),
    row("ina3221", "power#", "VDD_IN", PLATFORM, ASKED_MS, "Jetson: what the module takes"),
    row(
        "corsairpsu",
        "power1",
        "power total",
        PLATFORM,
        1000,
        "Linux Documentation/hwmon/corsair-psu.rst",
    ),
];

/// What is known of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) is: Meaning,
    /// The row's driver.
    pub(super) driver: &'static str,
    /// Which socket the label names, or which tile the driver does.
    pub(super) number: Option<u32>,
    pub(super) update: Duration,
    /// Where that stands.
    pub(super) source: &'static str,
}

/// What is known of a channel of a driver, with its label, and whether its node has a file.
pub(super) fn known(
    driver: &str,
    channel: &str,
    label: &str,
    has_file: impl Fn(&str) -> bool,
) -> Option<Known> {
    TABLE.iter().find_map(|row| {
        let mut number = None;
        let fits = matches(row.driver, driver, &mut number)
            && matches(row.channel, channel, &mut None)
            && (row.label.is_empty() || matches(row.label, label, &mut number))
            && (row.beside.is_empty() || has_file(row.beside));
        fits.then(|| Known {
            is: row.is,
            driver: row.driver,
            number,
            update: Duration::from_millis(row.update_ms),
            source: row.source,
        })
    })
}

/// Whether a text is the pattern; the number in it, if it has one.
fn matches(pattern: &str, text: &str, number: &mut Option<u32>) -> bool {
    let Some(head) = pattern.strip_suffix('#') else { return pattern == text };
    let found = text.strip_prefix(head).and_then(|rest| rest.parse().ok());
    *number = found.or(*number);
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_what_the_first_row_that_fits_says() {
        let of = |driver, channel, label, files: &[&str]| {
            let known = known(driver, channel, label, |file| files.contains(&file))?;
            Some((known.is, known.number))
        };
        let gpu = whole(Kind::Gpu);
        assert_eq!(of("amdgpu", "power1", "PPT", &[]), Some((gpu, None)));
        let apu = Meaning::Beside(Exclusion::InsidePackage);
        assert_eq!(of("amdgpu", "power1", "PPT", &["in1_input"]), Some((apu, None)));
        assert_eq!(of("amdgpu", "power2", "", &[]), None);
        assert_eq!(of("i915_gt1", "energy1", "", &[]).unwrap().1, Some(1));
        assert_eq!(of("i915_gtx", "energy1", "", &[]), None);
        let grace = of("power_meter", "power1", "Grace Power Socket 3", &[]);
        assert_eq!(grace, Some((whole(Kind::Package), Some(3))));
        assert_eq!(of("power_meter", "power1", "", &[]), Some((PLATFORM, None)));
        assert_eq!(of("power_meter", "power1", "Module Power Socket 0", &[]).unwrap().0, PLATFORM);
        assert_eq!(of("ina3221", "power1", "VDD_GPU_SOC", &[]), None);
        assert_eq!(of("tt_blackhole", "power1", "", &[]), None);
    }

    /// What contains a thing is in the table, is whole or lies in what is, and is of the same kind.
    #[test]
    fn every_container_is_in_the_table() {
        for row in TABLE {
            let Meaning::Sum { kind, inside: Some((driver, part)), .. } = row.is else { continue };
            let holds = |other: &&Row| {
                let Meaning::Sum { kind: k, part: p, inside } = other.is else { return false };
                other.driver == driver && p == part && k == kind && inside.is_none()
            };
            assert!(TABLE.iter().any(|other| holds(&other)), "{row:?}");
        }
        assert!(TABLE.iter().all(|row| !row.source.is_empty()));
    }
}
