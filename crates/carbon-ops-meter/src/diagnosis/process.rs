//! Who asks: user, groups and capabilities, as `/proc/self/status` tells them.
//!
//! Out of scope: changing any of them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use super::check::{Check, Remedy, Status};
use crate::host_root::HostRoot;

/// Numbers of `include/uapi/linux/capability.h`.
pub(super) const DAC_OVERRIDE: u32 = 1;
pub(super) const DAC_READ_SEARCH: u32 = 2;
pub(super) const SYS_RAWIO: u32 = 17;
pub(super) const SYS_ADMIN: u32 = 21;
pub(super) const PERFMON: u32 = 38;

/// The process that looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) uid: u32,
    /// The user's name, or the number where it has none.
    pub(super) user: String,
    /// Effective group and supplementary groups.
    pub(super) groups: Vec<u32>,
    effective: u64,
    bounding: u64,
    ambient: u64,
    /// All that this kernel knows.
    all: u64,
    /// Root of a user namespace has no power over files of the host.
    pub(super) in_user_namespace: bool,
}

impl Process {
    /// `None` where `/proc` does not tell.
    pub(super) fn read(host: &HostRoot) -> Option<Self> {
        let status = host.text("/proc/self/status").ok()?;
        let line = |key: &str| {
            status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
        };
        // Real, effective, saved and file-system id, in this order.
        let effective = |key| line(key)?.split_whitespace().nth(1)?.parse::<u32>().ok();
        let capabilities = |key| line(key).and_then(|text| u64::from_str_radix(text, 16).ok());
        let uid = effective("Uid")?;
        let mut groups = vec![effective("Gid")?];
        let listed = line("Groups").unwrap_or_default().split_whitespace();
        groups.extend(listed.filter_map(|group| group.parse::<u32>().ok()));
        let last = host.text("/proc/sys/kernel/cap_last_cap").ok().and_then(|t| t.parse().ok());
        let map = host.text("/proc/self/uid_map").unwrap_or_default();
        let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
        Some(Self {
            uid,
            user: user_name(host, uid).unwrap_or_else(|| uid.to_string()),
            groups,
            effective: capabilities("CapEff")?,
            bounding: capabilities("CapBnd")?,
            // Kernels before 4.3 have none to show.
            ambient: capabilities("CapAmb").unwrap_or(0),
            all: u64::MAX >> 63u32.saturating_sub(last.unwrap_or(40)),
            in_user_namespace: !map.is_empty() && !whole,
        })
    }

    /// Whether a capability is in force.
    pub(super) fn has(&self, capability: u32) -> bool {
        self.effective >> capability & 1 == 1
    }

    /// Whether the mode of a file lets this process do what `bits` (4 read, 2 write) say.
    pub(super) fn may(&self, file: &Metadata, bits: u32) -> bool {
        let reads = bits == 4 && self.has(DAC_READ_SEARCH);
        if reads || self.has(DAC_OVERRIDE) {
            return true;
        }
        let shift = if file.uid() == self.uid {
            6
        } else if self.groups.contains(&file.gid()) {
            3
        } else {
            0
        };
        file.mode() >> shift & bits == bits
    }
}

fn user_name(host: &HostRoot, uid: u32) -> Option<String> {
    name_of(&host.text("/etc/passwd").ok()?, uid)
}

/// The name that stands before a number in `passwd` or `group`.
fn name_of(table: &str, id: u32) -> Option<String> {
    let row = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut named = row.filter_map(|row| {
        let (name, number) = (row.first()?, row.get(2)?.parse::<u32>().ok()?);
        (number == id).then(|| (*name).to_owned())
    });
    named.next()
}

/// Owner and mode of a file, as `0400 root:root`.
pub(super) fn owned(host: &HostRoot, file: &Metadata) -> String {
    let table = |path, id: u32| {
        let table = host.text(path).unwrap_or_default();
        name_of(&table, id).unwrap_or_else(|| id.to_string())
    };
    let (user, group) = (table("/etc/passwd", file.uid()), table("/etc/group", file.gid()));
    format!("{:04o} {user}:{group}", file.mode() & 0o7777)
}

/// Capabilities, and the trap that a bounding set grants nothing.
pub(super) fn capabilities(who: Option<&Process>, needed: bool) -> Check {
    let name = "capabilities";
    let Some(who) = who else {
        return Check::new(name, Status::Problem, "/proc/self/status cannot be read")
            .remedy(Remedy::MountProc);
    };
    let bit = 1u64 << DAC_READ_SEARCH;
    let user = format!("user {} ({})", who.user, who.uid);
    if who.has(DAC_READ_SEARCH) || who.has(DAC_OVERRIDE) {
        let how = if who.uid == 0 { "root" } else { "a capability" };
        let space = if who.in_user_namespace {
            "; but of a user namespace, without power over the host's files"
        } else {
            ""
        };
        let status = if who.in_user_namespace && needed { Status::Problem } else { Status::Ok };
        return Check::new(name, status, format!("{user} may read every file, by {how}{space}"));
    }
    if !needed {
        return Check::new(name, Status::Ok, format!("{user}; none is needed"));
    }
    let reduced = who.bounding & who.all != who.all;
    if reduced && who.bounding & bit != 0 && who.ambient & bit == 0 {
        let detail = format!(
            "{user} has CAP_DAC_READ_SEARCH in the bounding set, which is a limit and grants \
             nothing: a process that is not root needs it as an ambient or a file capability"
        );
        return Check::new(name, Status::Problem, detail).remedy(Remedy::GrantCapability);
    }
    let detail = if who.bounding & bit == 0 {
        format!("{user}; the bounding set lacks CAP_DAC_READ_SEARCH, so that none can be had here")
    } else {
        format!("{user} without CAP_DAC_READ_SEARCH (the bounding set alone grants nothing)")
    };
    Check::new(name, Status::Denied, detail).remedy(Remedy::GrantCapability)
}
