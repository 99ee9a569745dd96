//! Which processor a machine has, by what it says of itself, what tables know of it, and which part of it this is.
//!
//! A machine shows CPUs in several places: `/proc/cpuinfo`, `/proc/stat`, `siblings`, and the table has the chip's.
//! Here they meet, and nowhere else. Energy is modelled for those CPUs whose busy time `/proc/stat` tells, since
//! that is what a workload's CPU time is held against; they are a part of a chip wherever the chip has more threads.
//! Limits of cgroups bound the workload and not the machine, so that they are no part of this.
//!
//! A family that the processor's own flags contradict is none: hypervisors show model numbers of other parts.
//!
//! The tables are made by `cargo xtask tables`; their heads name source and licence.
//!
//! Out of scope: what power follows from it (see [`super::model`]).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::cpu_time::Busy;
use crate::host_root::HostRoot;

const TDP: &str = include_str!("../../data/cpu-tdp.csv");
const FAMILIES: &str = include_str!("../../data/cpu-families.csv");
const IDENTS: &str = include_str!("../../data/cpu-idents.csv");
const MORE: &str = include_str!("../../data/cpu-more.csv");

/// Flags of vector instructions: whoever has one has those before it (Intel, "Architecture Instruction Set Extensions
/// Programming Reference", 1.3; AMD, Processor Programming References).
const FLAGS: [&str; 7] =
    ["avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile"];

/// How many of them a family has; all others have two at most.
const FAMILY_FLAGS: [(usize, &[&str]); 6] = [
    (0, &["Nehalem", "Westmere"]),
    (1, &["Sandy Bridge", "Ivy Bridge"]),
    (3, &["Skylake"]),
    (4, &["Cascade Lake", "Ice Lake", "Ice Lake Client", "Tiger Lake", "Rocket Lake"]),
    (5, &["Cooper Lake", "Zen 4", "Zen 5", "EPYC 4th Gen", "EPYC 5th Gen"]),
    (7, &["Sapphire Rapids", "Emerald Rapids", "Granite Rapids"]),
];

/// Apple's, which tell no name: cores of each chip by `CPU part` (Linux `arch/arm64/include/asm/cputype.h`).
const APPLE: [([u32; 2], &str); 6] = [
    ([0x22, 0x23], "Apple M1"),
    ([0x24, 0x25], "Apple M1 Pro"),
    ([0x28, 0x29], "Apple M1 Max"),
    ([0x32, 0x33], "Apple M2"),
    ([0x34, 0x35], "Apple M2 Pro"),
    ([0x38, 0x39], "Apple M2 Max"),
];

/// Arm's server cores, which many makers build: `CPU part` of Arm, a word of whose machine it is (firmware's vendor or
/// product, chip id: JEP106 codes of NVIDIA and Ampere), and whose chip it is then.
const ARM: [(u32, &str, &str); 6] = [
    (0xd0c, "Amazon EC2", "AWS Graviton2"),
    (0xd0c, "jep106:0a16", "Ampere Altra"),
    (0xd40, "Amazon EC2", "AWS Graviton3"),
    (0xd49, "Microsoft", "Azure Cobalt 100"),
    (0xd4f, "Amazon EC2", "AWS Graviton4"),
    (0xd4f, "jep106:036b", "NVIDIA Grace"),
];

/// Where a machine tells what it is.
const MAKERS: [&str; 3] =
    ["/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/product_name", "/sys/devices/soc0/soc_id"];

/// What `/proc/cpuinfo` tells, of the first processor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CpuInfo {
    pub(super) vendor: String,
    pub(super) cpu_family: Option<u32>,
    pub(super) model: Option<u32>,
    pub(super) stepping: Option<u32>,
    pub(super) name: String,
    /// CPUs whose busy time the kernel tells, or else that it shows.
    pub(super) vcpus: u32,
    pub(super) packages: u32,
    /// Threads of a package, as the kernel has them.
    pub(super) siblings: Option<u32>,
    pub(super) virtual_machine: bool,
    pub(super) flags: BTreeSet<String>,
}

impl CpuInfo {
    /// What `/proc/cpuinfo` and `/proc/stat` tell.
    pub(super) fn read(host: &HostRoot) -> Self {
        let mut info = Self::parse(&host.text("/proc/cpuinfo").unwrap_or_default());
        if let Some(counted) = Busy::read(host, 1).and_then(|busy| busy.cpus) {
            info.vcpus = counted;
        }
        let text = |path| host.text(path).unwrap_or_default();
        if info.name.is_empty() {
            info.name = info.arm(&MAKERS.map(text).join("\n")).unwrap_or_default().into();
        }
        if info.name.is_empty() {
            info.name = text("/proc/device-tree/model");
            info.name.retain(|c| c != '\0');
        }
        info
    }

    /// Whose chip of Arm's cores this is, by what the machine tells.
    fn arm(&self, told: &str) -> Option<&'static str> {
        let is =
            |(part, word, _): &&(u32, &str, _)| self.model == Some(*part) && told.contains(word);
        let chip = ARM.iter().find(is).filter(|_| self.vendor == "0x41")?;
        Some(chip.2)
    }

    pub(super) fn parse(text: &str) -> Self {
        let pairs = || {
            text.lines().filter_map(|line| {
                let (key, value) = line.split_once(':')?;
                Some((key.trim(), value.trim()))
            })
        };
        let first = |wanted: &str| pairs().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let number = |wanted: &str| first(wanted)?.parse().ok();
        let part = |wanted| u32::from_str_radix(first(wanted)?.trim_start_matches("0x"), 16).ok();
        let count = pairs().filter(|(key, _)| *key == "processor").count();
        let sockets: BTreeSet<_> = pairs().filter(|(key, _)| *key == "physical id").collect();
        let flags = first("flags").unwrap_or_default().split(' ');
        let flags: BTreeSet<_> = flags.map(str::to_owned).collect();
        let vendor = first("vendor_id").or(first("CPU implementer")).unwrap_or_default();
        let model = number("model").or_else(|| part("CPU part"));
        let apple = APPLE.iter().find(|(parts, _)| model.is_some_and(|it| parts.contains(&it)));
        let apple = apple.filter(|_| vendor == "0x61").map(|(_, name)| *name);
        Self {
            vendor: vendor.into(),
            cpu_family: number("cpu family"),
            model,
            stepping: number("stepping"),
            name: first("model name").or(first("Model")).or(apple).unwrap_or_default().into(),
            vcpus: u32::try_from(count).unwrap_or(1).max(1),
            packages: u32::try_from(sockets.len()).unwrap_or(1).max(1),
            siblings: number("siblings"),
            virtual_machine: flags.contains("hypervisor"),
            flags,
        }
    }

    /// How many chips these CPUs are, of which each has so many threads: a part of one on a guest, and in a
    /// container that shows a part of its host.
    pub(super) fn chips(&self, threads: Option<u32>) -> Option<f64> {
        let shown = f64::from(self.vcpus);
        if self.virtual_machine {
            // What a guest has for siblings is its own.
            return Some(shown / f64::from(threads?));
        }
        let packages = f64::from(self.packages);
        // With threads turned off, a chip has fewer than the table says, and draws no less.
        let whole = packages * f64::from(self.siblings.or(threads).unwrap_or(0));
        Some(if shown < whole { packages * shown / whole } else { packages })
    }

    /// Whether flags contradict a family.
    fn is_contradicted(&self, family: &str) -> bool {
        let of_family = FAMILY_FLAGS.iter().find(|(_, families)| families.contains(&family));
        let has = of_family.map_or(2, |(count, _)| *count);
        FLAGS.iter().skip(has).any(|flag| self.flags.contains(*flag))
    }

    /// The family by the first rule of `cpu-idents.csv` whose filled columns all match.
    pub(super) fn family(&self, cleaned: &str) -> Option<&'static str> {
        let within = |value: Option<u32>, low: &str, high: &str| {
            let bound = |text: &str| text.parse::<u32>().ok();
            match (bound(low), bound(high)) {
                (Some(low), Some(high)) => value.is_some_and(|v| (low..=high).contains(&v)),
                _ => true,
            }
        };
        rows(IDENTS)
            .find_map(|line| {
                let [vendor, family, model_lo, model_hi, step_lo, step_hi, name, result] =
                    columns(line)?;
                let matches = vendor == self.vendor
                    && within(self.cpu_family, family, family)
                    && within(self.model, model_lo, model_hi)
                    && within(self.stepping, step_lo, step_hi)
                    && contains(cleaned, name);
                matches.then_some(result)
            })
            .filter(|family| !self.is_contradicted(family))
    }
}

/// Design power per thread of a family's parts in W, where `cpu-families.csv` has it: the least and the median.
pub(super) fn of_family(name: &str) -> Option<(f64, f64)> {
    let [_, _, least, median, ..] =
        rows(FAMILIES).filter_map(columns::<7>).find(|[family, ..]| *family == name)?;
    Some((least.parse().ok()?, median.parse().ok()?))
}

/// Whether a processor by its cleaned name is one of desktops and laptops, of which one thread alone takes a large part
/// of the power of all.
pub(super) fn is_client(name: &str) -> bool {
    let client = ["Core", "Ryzen", "Athlon", "Celeron", "Pentium", "N100", "N150", "Apple"];
    let is = |word: &str| client.contains(&word);
    name.split(' ').any(is) && !name.contains("Threadripper")
}

/// TDP and threads of the longest name of the tables that stands in `name` on word boundaries.
pub(super) fn listed_tdp(name: &str) -> Option<(f64, Option<u32>)> {
    let spaces = || name.match_indices(' ').map(|(at, _)| at);
    let starts = || std::iter::once(0).chain(spaces().map(|at| at + 1));
    let ends = || spaces().chain([name.len()]);
    let phrases = starts().flat_map(|start| ends().filter_map(move |end| name.get(start..end)));
    // Thousands of rows, at each start of a run: they are sorted, and the few phrases are looked up.
    let row = |phrase| tdp_row(MORE, phrase).or_else(|| tdp_row(TDP, phrase));
    let listed = phrases.filter_map(|phrase| Some((phrase.len(), row(phrase)?)));
    let (_, figures) = listed.max_by_key(|(length, _)| *length)?;
    let (tdp, threads) = figures.split_once(',')?;
    Some((tdp.parse().ok()?, threads.parse().ok()))
}

/// What stands behind a name in a table whose rows are sorted without regard to case.
fn tdp_row(table: &'static str, name: &str) -> Option<&'static str> {
    let (mut low, mut high) = (table.find("\nname,").map(|head| head + 1)?, table.len());
    // Past the heading.
    low += table.get(low..)?.find('\n')? + 1;
    while low < high {
        let middle = usize::midpoint(low, high);
        let start = table.get(low..middle)?.rfind('\n').map_or(low, |newline| low + newline + 1);
        let end = table.get(start..high)?.find('\n').map_or(high, |newline| start + newline);
        let (listed, figures) = table.get(start..end)?.split_once(',')?;
        match lower(listed).cmp(lower(name)) {
            Ordering::Equal => return Some(figures),
            Ordering::Less => low = end + 1,
            Ordering::Greater => high = start,
        }
    }
    None
}

fn lower(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|byte| byte.to_ascii_lowercase())
}

/// The name as the tables have it.
pub(super) fn clean(name: &str) -> String {
    let mut name = name.to_owned();
    for mark in ["(R)", "(r)", "(TM)", "(tm)", "®", "™"] {
        // "AMD FX(tm)-8150" is one word.
        name = name.replace(&format!("{mark}-"), "-").replace(mark, " ");
    }
    let noise = |word: &&str| !["cpu", "apu", "processor"].contains(&word.to_lowercase().as_str());
    name.split_whitespace().filter(noise).collect::<Vec<_>>().join(" ")
}

/// Whether `pattern` stands in `name`, without regard to case; `?` is one letter or digit.
fn contains(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_lowercase(), pattern.to_lowercase());
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.chars().collect(), pattern.chars().collect());
    let same = |(a, b): (&char, &char)| a == b || (*b == '?' && a.is_alphanumeric());
    pattern.is_empty() || name.windows(pattern.len()).any(|w| w.iter().zip(&pattern).all(same))
}

/// Lines of a table without comments and its heading.
fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1)
}

fn columns<const N: usize>(line: &'static str) -> Option<[&'static str; N]> {
    let fields: Vec<_> = line.split(',').collect();
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arm_and_x86_cpuinfo_are_read() {
        let x86 = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n\
                   model name\t: X\nstepping\t: 7\nphysical id\t: 0\nflags\t\t: fpu hypervisor\n\n\
                   processor\t: 1\nphysical id\t: 1\n";
        let x86 = CpuInfo::parse(x86);
        assert_eq!((x86.vcpus, x86.packages, x86.model), (2, 2, Some(85)));
        assert!(x86.virtual_machine);
        assert_eq!(x86.family("X"), Some("Cascade Lake"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(CpuInfo::parse(arm).family(""), Some("Neoverse N1"));
        assert_eq!(CpuInfo::parse("").vcpus, 1);
    }

    #[test]
    fn what_names_and_numbers_of_processors_are_taken_for() {
        for (shown, cleaned) in [
            ("AMD FX(tm)-8150 Eight-Core Processor", "AMD FX-8150 Eight-Core"),
            ("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "Intel Core i7-8550U @ 1.80GHz"),
        ] {
            assert_eq!(clean(shown), cleaned);
        }
        assert_eq!(listed_tdp("AMD FX-8150 Eight-Core"), Some((125.0, Some(8))));
        assert_eq!(listed_tdp("Intel Core Ultra 7 265K"), Some((125.0, Some(20))));
        let m1 = CpuInfo::parse("processor\t: 0\nCPU implementer\t: 0x61\nCPU part\t: 0x022\n");
        assert_eq!(m1.name, "Apple M1");
        assert_eq!(listed_tdp(&m1.name), Some((22.0, Some(8))));
        let pi = CpuInfo::parse("processor : 0\nModel : Raspberry Pi 4 Model B Rev 1.2\n");
        assert_eq!(listed_tdp(&clean(&pi.name)), Some((5.0, Some(4))));
        for (name, expected) in [
            ("Intel Core i9-14900K", (125.0, Some(32))),
            ("Intel Core i9-14900KF", (125.0, Some(32))),
            ("Intel Core i9-14900KS", (150.0, Some(32))),
            ("Intel Core Ultra 5 225U", (15.0, Some(14))),
            ("Intel Core 5 120U", (15.0, Some(12))),
        ] {
            assert_eq!(listed_tdp(name), Some(expected), "{name}");
        }
    }

    /// A guest with the model number of Rocket Lake, and matrices that no Rocket Lake has.
    #[test]
    fn a_family_that_flags_contradict_is_none() {
        let of = |model: u32, flags: &str| {
            let text = format!(
                "processor : 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : {model}\nflags : {flags}\n"
            );
            CpuInfo::parse(&text).family("Intel Xeon")
        };
        assert_eq!(of(167, "fpu avx2 avx512f avx512_vnni"), Some("Rocket Lake"));
        assert_eq!(of(167, "fpu avx2 avx512f avx512_vnni amx_tile avx512_fp16"), None);
        assert_eq!(of(143, "fpu avx2 avx512f avx512_bf16 amx_tile"), Some("Sapphire Rapids"));
        assert_eq!(of(45, "fpu avx"), Some("Sandy Bridge"));
        assert_eq!(of(45, "fpu avx avx2"), None);
    }

    #[test]
    fn every_family_that_a_rule_names_has_a_row() {
        for line in rows(IDENTS) {
            let [.., family] = columns::<8>(line).unwrap_or_else(|| panic!("{line}"));
            let named = |row: &str| row.split(',').next() == Some(family);
            assert!(rows(FAMILIES).any(named), "{family}");
        }
        assert!(rows(TDP).all(|line| columns::<3>(line).is_some()));
        for table in [TDP, MORE] {
            for line in rows(table) {
                let (name, figures) = line.split_once(',').unwrap();
                assert_eq!(tdp_row(table, &name.to_uppercase()), Some(figures), "{name}");
                assert_eq!(tdp_row(table, &format!("{name} X")), None, "{name}");
            }
        }
        let families = FAMILY_FLAGS.iter().flat_map(|(_, families)| *families);
        for family in families {
            assert!(rows(FAMILIES).any(|row| row.split(',').next() == Some(family)), "{family}");
        }
    }

    /// Arm's cores tell neither name nor maker; the machine around them does.
    #[test]
    fn a_chip_of_arms_cores_is_known_by_its_machine() {
        for (part, file, told, name, family) in [
            ("0xd0c", "sys/class/dmi/id/sys_vendor", "Amazon EC2", "AWS Graviton2", "Neoverse N1"),
            ("0xd40", "sys/class/dmi/id/sys_vendor", "Amazon EC2", "AWS Graviton3", "Neoverse V1"),
            ("0xd4f", "sys/class/dmi/id/sys_vendor", "Amazon EC2", "AWS Graviton4", "Neoverse V2"),
            ("0xd4f", "sys/devices/soc0/soc_id", "jep106:036b:0241", "NVIDIA Grace", "Neoverse V2"),
            ("0xd0c", "sys/devices/soc0/soc_id", "jep106:0a16:0001", "Ampere Altra", "Neoverse N1"),
            ("0xd0c", "proc/device-tree/model", "A board\0", "A board", "Neoverse N1"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let write = |path: &str, text: &str| {
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            };
            write(file, told);
            write(
                "proc/cpuinfo",
                &format!("processor : 0\nCPU implementer : 0x41\nCPU part : {part}\n"),
            );
            let info = CpuInfo::read(&HostRoot::at(dir.path()));
            assert_eq!((&*info.name, info.family(&info.name)), (name, Some(family)));
        }
    }
}
