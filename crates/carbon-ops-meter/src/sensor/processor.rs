//! Which processor a machine has, by what it says of itself, and what tables know of it.
//!
//! The tables are made by `cargo xtask tables`; their heads name source and licence.
//!
//! Out of scope: what power follows from it (see [`super::model`]).

use std::cmp::Ordering;
use std::collections::BTreeSet;

const TDP: &str = include_str!("../../data/cpu-tdp.csv");
const FAMILIES: &str = include_str!("../../data/cpu-families.csv");
const IDENTS: &str = include_str!("../../data/cpu-idents.csv");

/// What `/proc/cpuinfo` tells, of the first processor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CpuInfo {
    pub(super) vendor: String,
    pub(super) cpu_family: Option<u32>,
    pub(super) model: Option<u32>,
    pub(super) stepping: Option<u32>,
    pub(super) name: String,
    pub(super) vcpus: u32,
    pub(super) packages: u32,
    pub(super) virtual_machine: bool,
}

impl CpuInfo {
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
        let flags = first("flags").unwrap_or_default();
        Self {
            vendor: first("vendor_id").or(first("CPU implementer")).unwrap_or_default().into(),
            cpu_family: number("cpu family"),
            model: number("model").or_else(|| part("CPU part")),
            stepping: number("stepping"),
            name: first("model name").or(first("Model")).unwrap_or_default().into(),
            vcpus: u32::try_from(count).unwrap_or(1).max(1),
            packages: u32::try_from(sockets.len()).unwrap_or(1).max(1),
            virtual_machine: flags.split(' ').any(|flag| flag == "hypervisor"),
        }
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
        rows(IDENTS).find_map(|line| {
            let [vendor, family, model_lo, model_hi, step_lo, step_hi, name, result] =
                columns(line)?;
            let matches = vendor == self.vendor
                && within(self.cpu_family, family, family)
                && within(self.model, model_lo, model_hi)
                && within(self.stepping, step_lo, step_hi)
                && contains(cleaned, name);
            matches.then_some(result)
        })
    }
}

/// A row of `cpu-families.csv`.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) linear: Option<(f64, f64)>,
    /// Least and median.
    pub(super) tdp_per_thread: Option<(f64, f64)>,
}

impl Family {
    pub(super) fn find(name: &str) -> Self {
        let row = rows(FAMILIES).find_map(|line| {
            let row: [&str; 11] = columns(line)?;
            (row[0] == name).then_some(row)
        });
        let Some([_, _, low, high, _, _, least, median, ..]) = row else { return Self::default() };
        let both = |a: &str, b: &str| Some((a.parse().ok()?, b.parse().ok()?));
        Self { linear: both(low, high), tdp_per_thread: both(least, median) }
    }
}

/// TDP and threads of the longest name of `cpu-tdp.csv` that stands in `name` on word boundaries.
pub(super) fn listed_tdp(name: &str) -> Option<(f64, Option<u32>)> {
    let spaces = || name.match_indices(' ').map(|(at, _)| at);
    let starts = || std::iter::once(0).chain(spaces().map(|at| at + 1));
    let ends = || spaces().chain([name.len()]);
    let phrases = starts().flat_map(|start| ends().filter_map(move |end| name.get(start..end)));
    // Thousands of rows, at each start of a run: they are sorted, and the few phrases are looked up.
    let listed = phrases.filter_map(|phrase| Some((phrase.len(), tdp_row(phrase)?)));
    let (_, figures) = listed.max_by_key(|(length, _)| *length)?;
    let (tdp, threads) = figures.split_once(',')?;
    Some((tdp.parse().ok()?, threads.parse().ok()))
}

/// What stands behind a name in `cpu-tdp.csv`, whose rows are sorted without regard to case.
fn tdp_row(name: &str) -> Option<&'static str> {
    let (mut low, mut high) = (TDP.find("\nname,").map(|head| head + 1)?, TDP.len());
    // Past the heading.
    low += TDP.get(low..)?.find('\n')? + 1;
    while low < high {
        let middle = usize::midpoint(low, high);
        let start = TDP.get(low..middle)?.rfind('\n').map_or(low, |newline| low + newline + 1);
        let end = TDP.get(start..high)?.find('\n').map_or(high, |newline| start + newline);
        let (listed, figures) = TDP.get(start..end)?.split_once(',')?;
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
        name = name.replace(mark, " ");
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
    fn every_family_that_a_rule_names_has_a_row() {
        for line in rows(IDENTS) {
            let [.., family] = columns::<8>(line).unwrap_or_else(|| panic!("{line}"));
            let named = |row: &str| row.split(',').next() == Some(family);
            assert!(rows(FAMILIES).any(named), "{family}");
        }
        assert!(rows(TDP).all(|line| columns::<3>(line).is_some()));
        for line in rows(TDP) {
            let (name, figures) = line.split_once(',').unwrap();
            assert_eq!(tdp_row(&name.to_uppercase()), Some(figures), "{name}");
            assert_eq!(tdp_row(&format!("{name} X")), None, "{name}");
        }
    }
}
