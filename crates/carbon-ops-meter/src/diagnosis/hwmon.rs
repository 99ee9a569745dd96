//! Hardware monitoring: which energies and powers it shows, which of them are counted, and why not the others; and what
//! tells of the whole machine.
//!
//! Out of scope: what a channel measures, which is [`crate::sensor::hwmon`]'s to know.

use carbon_ops_units::Watts;

use super::check::{Check, Status};
use super::powercap::ZoneView;
use crate::host_root::HostRoot;
use crate::sensor::hwmon::{Found, Seen};
use crate::sensor::platform::{Told, batteries};
use crate::sensor::{Exclusion, Kind};

/// Listed one by one; of boards with more, how many.
const LISTED_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Hwmon {
    seen: Vec<Seen>,
    /// What a socket is counted as, where no RAPL counts it.
    pub(super) sockets: Vec<String>,
}

impl Hwmon {
    /// `has_packages`: others count the sockets.
    pub(super) fn look(host: &HostRoot, has_packages: bool) -> Self {
        let found = Found::look(host, crate::clock::Moment::default);
        let mut seen = found.seen;
        let mut sockets = Vec::new();
        for domain in found.channels.iter().map(|channel| &channel.domain) {
            if domain.kind == Kind::Gpu {
                continue;
            }
            if !has_packages {
                sockets.push(domain.name.clone());
            } else if let Some(one) = seen.iter_mut().find(|one| one.id == domain.source) {
                one.fate = Err(Exclusion::Duplicate);
            }
        }
        // Memory alone is not the host.
        if !sockets.iter().any(|name| name.starts_with(Kind::Package.as_str())) {
            sockets.clear();
        }
        Self { seen, sockets }
    }

    /// What tells of the whole machine, which is shown beside what is counted.
    pub(super) fn platform(&self, host: &HostRoot, zones: &[ZoneView]) -> Check {
        let power = |watts: Watts| format!("{:.1} W", watts.as_watts());
        let batteries = batteries(host).into_iter().map(|battery| {
            let told = match battery.told {
                Told::All(watts) => format!("the machine draws {} from it", power(watts)),
                Told::Part(watts) => format!("{} and more from an adapter", power(watts)),
                Told::Charging => "charging, which tells nothing of the machine".to_owned(),
                Told::Nothing => "at rest, which tells nothing of the machine".to_owned(),
                Told::Unreadable => "discharging, and does not tell how fast".to_owned(),
            };
            format!("{}: {told}", battery.name)
        });
        let zones = zones.iter().filter(|zone| zone.excluded == Some(Exclusion::OverlapsPackage));
        let zones = zones.map(|zone| format!("{} {}", zone.id, zone.name));
        let boards = self.seen.iter().filter(|seen| seen.fate == Err(Exclusion::OverlapsPackage));
        let boards = boards.map(|seen| format!("{} {}", seen.driver, seen.id));
        let all: Vec<_> = batteries.chain(zones).chain(boards).collect();
        if all.is_empty() {
            return Check::new("platform", Status::Absent, "nothing tells of the whole machine");
        }
        let detail = format!("{}; never summed with what it holds", all.join("; "));
        Check::new("platform", Status::Ok, detail)
    }

    pub(super) fn check(&self) -> Check {
        let check = |status, detail| Check::new("hwmon", status, detail);
        if self.seen.is_empty() {
            return check(Status::Absent, "no energy or power is shown".to_owned());
        }
        let lost = |seen: &&Seen| seen.fate.as_ref().is_err_and(|why| why.loses_energy());
        let denied = |seen: &Seen| seen.fate == Err(Exclusion::Denied);
        let status = if self.seen.iter().any(denied) {
            Status::Denied
        } else if self.seen.iter().any(|seen| lost(&seen)) {
            Status::Problem
        } else {
            Status::Ok
        };
        let told = self.seen.iter().take(LISTED_MAX).map(|seen| {
            let label = if seen.label.is_empty() { "" } else { ", " };
            let fate = match &seen.fate {
                Ok(name) => format!("counted as {name}"),
                Err(why) => format!("not counted: {}", why.as_str()),
            };
            format!("{} {}{label}{}: {fate}", seen.driver, seen.id, seen.label)
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let more = self.seen.len().saturating_sub(LISTED_MAX);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        check(status, told + &more)
    }
}
