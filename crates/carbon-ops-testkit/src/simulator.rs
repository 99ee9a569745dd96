//! The simulated RAPL host of `testdata/sim`, as a handle: mounted for one test, gone afterwards.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::skip::{can, is_root, skip};

/// Package, core, DRAM and platform, at 65, 40, 8 and 90 W.
pub const USUAL: [&str; 8] =
    ["-d", "0=package-0@65", "-d", "0:0=core@40", "-d", "0:1=dram@8", "-d", "1=psys@90"];

/// The simulator's program.
pub fn program() -> &'static Path {
    Path::new(concat!(env!("OUT_DIR"), "/raplsim"))
}

/// Whether the simulator can run here; says so if not.
pub fn may_run() -> bool {
    let obstacle = if !is_root() {
        "mounting takes root"
    } else if !Path::new("/dev/fuse").exists() {
        "there is no /dev/fuse"
    } else {
        return true;
    };
    skip("sim", obstacle);
    false
}

/// The script that puts the simulated host in the place of the real one, for `bash`. It takes the
/// simulator's program from `RAPLSIM`.
pub fn with_sim() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/sim/with-sim.sh")
}

/// A simulator at work.
#[derive(Debug)]
pub struct Simulator {
    process: Child,
    mount: TempDir,
}

impl Simulator {
    /// Mounts a simulator with the options at the head of `raplsim.rs`; nothing, said aloud, where it
    /// cannot run.
    pub fn start(options: &[&str]) -> Option<Self> {
        if !may_run() {
            return None;
        }
        let mount = tempfile::tempdir().unwrap();
        // Should the tests be killed, it goes with them.
        let dies_with_us = can("setpriv --pdeathsig TERM true");
        let mut command = Command::new(if dies_with_us { "setpriv".as_ref() } else { program() });
        if dies_with_us {
            command.args(["--pdeathsig", "TERM"]).arg(program());
        }
        let process = command.arg(mount.path()).args(options).stdin(Stdio::null()).spawn().unwrap();
        let mut simulator = Self { process, mount };
        let start = Instant::now();
        while !simulator.path("truth").exists() {
            let ended = simulator.process.try_wait().unwrap();
            if ended.is_some() || start.elapsed() > Duration::from_secs(10) {
                skip("sim", "the simulator did not start; it says why above");
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(simulator)
    }

    /// A file of the simulated host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    /// The argument that makes a command read it.
    pub fn powercap(&self) -> String {
        format!("--powercap-root={}", self.path("class/powercap").display())
    }

    /// Gives an order such as `fail dram eio`.
    pub fn order(&self, order: &str) {
        // Not truncated first: that is another request, which the simulator does not know.
        let mut ctl = fs::OpenOptions::new().write(true).open(self.path("ctl")).unwrap();
        ctl.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// What a zone has used up to an instant of Unix time, in µJ.
    pub fn truth_at(&self, zone: &str, unix_ns: u64) -> f64 {
        truth_at(self.mount.path(), zone, unix_ns)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        // It unmounts itself on this signal.
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.process.wait();
        if self.path("truth").exists() {
            can(&format!("umount -l '{}'", self.mount.path().display()));
        }
    }
}

/// What a zone has used up to now, in µJ, on the host that is mounted there.
pub fn truth(mount: &Path, zone: &str) -> f64 {
    energy_in(&mount.join("truth"), zone)
}

/// What a zone has used up to an instant of Unix time, in µJ, on the host that is mounted there.
pub fn truth_at(mount: &Path, zone: &str, unix_ns: u64) -> f64 {
    let (seconds, rest) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    energy_in(&mount.join(format!("at/{seconds}.{rest:09}")), zone)
}

/// Of a table of lines `intel-rapl:0:1 dram 12345.6`: the energy of the first zone of an id or a name.
fn energy_in(table: &Path, zone: &str) -> f64 {
    let table = fs::read_to_string(table).unwrap();
    let energy = table.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [id, name, energy, ..] if id == zone || name == zone => Some(energy),
        _ => None,
    });
    energy.unwrap().parse().unwrap()
}
