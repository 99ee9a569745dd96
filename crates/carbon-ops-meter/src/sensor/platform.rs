//! What the whole machine draws, as batteries and platform meters tell it: shown beside what is counted, never summed
//! with it, since it holds the package and more.
//!
//! A battery tells the machine's power while it discharges and nothing else feeds the machine. Charging, its power goes
//! into the cells; full or idle, a zero says nothing; beside an adapter it is only a part. Powers are read without
//! regard to their sign, which drivers give as they like, and the status says which way it goes (Linux
//! Documentation/ABI/testing/sysfs-class-power). Batteries of mice and headsets are none of the machine's.
//!
//! Out of scope: energy over time, setting anything, and `psys`, which is a zone of [`super::powercap`].

use std::fs;
use std::path::{Path, PathBuf};

use carbon_ops_units::Watts;

use crate::host_root::{HostRoot, read_text};

const CLASS: &str = "/sys/class/power_supply";

/// No machine has more supplies.
const SUPPLIES_MAX: usize = 64;

/// A battery of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Battery {
    /// Its name in the class: `BAT0`.
    pub name: String,
    /// What it tells of the machine's power.
    pub told: Told,
}

/// What a battery tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    /// The machine draws this from it, and from nothing else but other batteries.
    All(Watts),
    /// The machine draws this from it, and more from an adapter: a part.
    Part(Watts),
    /// It is being charged.
    Charging,
    /// It rests, or does not say what it does.
    Nothing,
    /// It discharges and does not say how fast.
    Unreadable,
}

/// The batteries of a host, by name.
pub fn batteries(host: &HostRoot) -> Vec<Battery> {
    let entries = fs::read_dir(host.path(CLASS)).into_iter().flatten().take(SUPPLIES_MAX);
    let supplies: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let text = |supply: &Path, file: &str| read_text(&supply.join(file)).unwrap_or_default();
    let is_own = |supply: &&Path| text(supply, "scope") != "Device";
    let own = supplies.iter().map(PathBuf::as_path).filter(is_own);
    let (batteries, others): (Vec<_>, Vec<_>) =
        own.partition(|supply| text(supply, "type") == "Battery");
    let is_fed = others.into_iter().any(|supply| text(supply, "online") == "1");
    let battery = |supply: &Path| {
        let name = supply.file_name()?.to_string_lossy().into_owned();
        let told = match (text(supply, "status").as_str(), power(supply)) {
            ("Charging", _) => Told::Charging,
            ("Discharging", Some(power)) if is_fed => Told::Part(power),
            ("Discharging", Some(power)) => Told::All(power),
            ("Discharging", None) => Told::Unreadable,
            _ => Told::Nothing,
        };
        Some(Battery { name, told })
    };
    let mut batteries: Vec<_> = batteries.into_iter().filter_map(battery).collect();
    batteries.sort_by(|a, b| a.name.cmp(&b.name));
    batteries
}

/// What flows, by its power or else by current and voltage; in µW, µA and µV.
fn power(supply: &Path) -> Option<Watts> {
    let number = |file: &str| read_text(&supply.join(file)).ok()?.parse::<i64>().ok();
    #[expect(clippy::cast_precision_loss, reason = "a power needs no sixteenth digit")]
    let micro = |number: i64| number.unsigned_abs() as f64 / 1e6;
    let product = || Some(micro(number("current_now")?) * micro(number("voltage_now")?));
    let watts = number("power_now").map(micro).or_else(product)?;
    Watts::new(watts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a supply, and what the battery `BAT0` among them tells.
    type Case<'t> = (&'t [(&'t str, &'t str)], Option<Told>);

    #[test]
    fn a_battery_tells_the_machines_power_only_while_it_alone_feeds_it() {
        let watts = |watts: f64| Watts::new(watts).unwrap();
        let cases: &[Case<'_>] = &[
            (&[("status", "Discharging"), ("power_now", "9870000")], Some(Told::All(watts(9.87)))),
            // By the ABI negative, on most laptops not.
            (&[("status", "Discharging"), ("power_now", "-9870000")], Some(Told::All(watts(9.87)))),
            (
                &[
                    ("status", "Discharging"),
                    ("current_now", "-1000000"),
                    ("voltage_now", "12000000"),
                    ("voltage_min_design", "11100000"),
                ],
                Some(Told::All(watts(12.0))),
            ),
            (&[("status", "Discharging"), ("current_now", "1")], Some(Told::Unreadable)),
            (&[("status", "Charging"), ("power_now", "30000000")], Some(Told::Charging)),
            (&[("status", "Not charging"), ("power_now", "0")], Some(Told::Nothing)),
            (&[("status", "Full"), ("power_now", "0")], Some(Told::Nothing)),
            (&[("status", "Unknown"), ("power_now", "5000000")], Some(Told::Nothing)),
            (&[("status", "Discharging"), ("scope", "Device"), ("power_now", "1")], None),
            (&[("type", "UPS"), ("status", "Discharging"), ("power_now", "1")], None),
        ];
        for (files, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let class = dir.path().join("sys/class/power_supply");
            let write = |supply: &str, file: &str, text: &str| {
                fs::create_dir_all(class.join(supply)).unwrap();
                fs::write(class.join(supply).join(file), format!("{text}\n")).unwrap();
            };
            write("BAT0", "type", "Battery");
            files.iter().for_each(|(file, text)| write("BAT0", file, text));
            write("AC", "type", "Mains");
            write("AC", "online", "0");
            let host = HostRoot::at(dir.path());
            let told = |host: &HostRoot| batteries(host).first().map(|battery| battery.told);
            assert_eq!(told(&host), *expected, "{files:?}");
            write("AC", "online", "1");
            let part = match expected {
                Some(Told::All(watts)) => Some(Told::Part(*watts)),
                other => *other,
            };
            assert_eq!(told(&host), part, "{files:?}");
        }
        assert!(batteries(&HostRoot::at("/dev/null")).is_empty());
    }
}
