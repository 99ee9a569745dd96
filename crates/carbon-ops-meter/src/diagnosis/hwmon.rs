//! Hardware monitoring: which energies and powers it shows, which of them are counted, and why not the others.
//!
//! Out of scope: what a channel measures, which is [`crate::sensor::hwmon`]'s to know.

use super::check::{Check, Status};
use crate::host_root::HostRoot;
use crate::sensor::hwmon::{Found, Seen};
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
