//! The simulated RAPL host, as a handle: compiled once, mounted for one test, gone afterwards.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::skip::{can, is_root, skip};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/sim");

/// Package, core, DRAM and platform, at 65, 40, 8 and 90 W.
pub(crate) const USUAL: [&str; 8] =
    ["-d", "0=package-0@65", "-d", "0:0=core@40", "-d", "0:1=dram@8", "-d", "1=psys@90"];

/// A simulator at work.
pub(crate) struct Simulator {
    process: Child,
    mount: TempDir,
}

/// The compiled simulator; nothing, said aloud, where it cannot run.
pub(crate) fn binary() -> Option<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(compile) {
        Ok(path) => Some(path),
        Err(why) => {
            skip("sim", why);
            None
        }
    }
}

fn compile() -> Result<PathBuf, String> {
    if !is_root() {
        return Err("mounting takes root".into());
    }
    if !Path::new("/dev/fuse").exists() {
        return Err("there is no /dev/fuse".into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Under a name of its own first, so that two runs of the tests do not meet.
    let own = folder.join(format!("raplsim.{}", std::process::id()));
    let output = Command::new("rustc")
        .args(["--edition", "2021", "-O", "-o"])
        .arg(&own)
        .arg(format!("{FOLDER}/raplsim.rs"))
        .output();
    let output = output.map_err(|error| format!("rustc: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustc: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let path = folder.join("raplsim");
    fs::rename(&own, &path).map_err(|error| error.to_string())?;
    Ok(path)
}

/// The script that puts the simulated host in the place of the real one, for `bash`.
pub(crate) fn with_sim() -> String {
    format!("{FOLDER}/with-sim.sh")
}

impl Simulator {
    /// Mounts a simulator with the options at the head of `raplsim.rs`.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let binary = binary()?;
        let mount = tempfile::tempdir().unwrap();
        // Should the tests be killed, it goes with them.
        let dies_with_us = can("setpriv --pdeathsig TERM true");
        let mut command = Command::new(if dies_with_us { "setpriv".as_ref() } else { binary });
        if dies_with_us {
            command.args(["--pdeathsig", "TERM"]).arg(binary);
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    /// The argument that makes the governor read it.
    pub(crate) fn powercap(&self) -> String {
        format!("--powercap-root={}", self.path("class/powercap").display())
    }

    /// Gives an order such as `fail dram eio`.
    pub(crate) fn order(&self, order: &str) {
        // Not truncated first: that is another request, which the simulator does not know.
        let mut ctl = fs::OpenOptions::new().write(true).open(self.path("ctl")).unwrap();
        ctl.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// What a zone (`intel-rapl:0:1`) has used up to an instant of Unix time, in µJ.
    pub(crate) fn truth(&self, zone: &str, unix_ns: u64) -> f64 {
        let (seconds, rest) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
        let table = fs::read_to_string(self.path(&format!("at/{seconds}.{rest:09}"))).unwrap();
        let mut lines = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let line = lines.find(|line| line[0] == zone).unwrap();
        line[2].parse().unwrap()
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
