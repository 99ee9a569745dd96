//! What the figures depend on and are quoted with: the machine and how busy it is.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The machine at an instant.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    /// Load averages over 1, 5 and 15 minutes.
    load: [f64; 3],
}

impl Machine {
    pub(crate) fn look() -> Result<Self> {
        let load = std::fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
        let mut averages = load.split_whitespace().map_while(|word| word.parse().ok());
        let mut next = || averages.next().context("/proc/loadavg holds no three numbers");
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            cpu: cpu_name(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: release.trim().to_owned(),
            load: [next()?, next()?, next()?],
        })
    }

    pub(crate) fn text(&self) -> String {
        format!("{} x {}, Linux {}", self.cpus, self.cpu, self.kernel)
    }

    pub(crate) fn load(&self) -> String {
        let [one, five, fifteen] = self.load;
        format!("{one:.2} {five:.2} {fifteen:.2}")
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "cpu": self.cpu, "cpus": self.cpus, "kernel": self.kernel })
    }

    pub(crate) fn load_json(&self) -> Value {
        json!(self.load)
    }
}

fn cpu_name(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| "unknown CPU".to_owned())
}

/// Type of the file system that a folder is on: what making a write durable costs depends on it.
pub(crate) fn file_system(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    kind_of(&mounts, &folder).unwrap_or("unknown file system").to_owned()
}

fn kind_of<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (Path::new(words.next()?), words.next()?);
        folder.starts_with(point).then(|| (point.components().count(), kind))
    });
    // The last of equals: a later mount hides an earlier one at the same place.
    holding.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_holds_a_folder() {
        let mounts = "a / ext4 rw 0 0\nb /tmp tmpfs rw 0 0\nc /tm xfs rw 0 0\nd /v ext4 rw 0 0\n\
                      e /v btrfs rw 0 0\n";
        for (folder, kind) in [("/tmp/x", "tmpfs"), ("/home", "ext4"), ("/v", "btrfs")] {
            assert_eq!(kind_of(mounts, Path::new(folder)), Some(kind), "{folder}");
        }
    }

    #[test]
    fn the_cpu_has_a_name() {
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: A B\nmodel name\t: C\n"), "A B");
        assert_eq!(cpu_name(""), "unknown CPU");
    }
}
