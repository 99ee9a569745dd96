//! The simulated RAPL host, as a handle: compiled once, mounted for one test, gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::home::double;
use crate::skip::{can, is_root, skip};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/sim");

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

    /// The argument that makes `run` read it.
    pub(crate) fn powercap(&self) -> String {
        format!("--powercap-root={}", self.path("class/powercap").display())
    }

    /// Gives an order such as `fail dram eio`.
    pub(crate) fn order(&self, order: &str) {
        // Not truncated first: that is another request, which the simulator does not know.
        use std::io::Write as _;
        let mut ctl = fs::OpenOptions::new().write(true).open(self.path("ctl")).unwrap();
        ctl.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// What the zones used in the window of a record, in µJ.
    pub(crate) fn truth(&self, zones: &[&str], record: &Value) -> f64 {
        truth(self.mount.path(), zones, record)
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

/// The same for a simulator mounted by somebody else.
pub(crate) fn truth(mount: &Path, zones: &[&str], record: &Value) -> f64 {
    let total = |member: &str| -> f64 {
        let time: jiff::Timestamp = record[member].as_str().unwrap().parse().unwrap();
        let microseconds = time.as_microsecond();
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let path = mount.join(format!("at/{seconds}.{rest:06}"));
        let table = fs::read_to_string(path).unwrap();
        let of = |zone: &&str| {
            let line = table.lines().find(|line| line.split(' ').nth(1) == Some(zone)).unwrap();
            line.split(' ').nth(2).unwrap().parse::<f64>().unwrap()
        };
        zones.iter().map(of).sum()
    };
    total("end_ts") - total("start_ts")
}

/// Energy of the host in a record, in µJ.
pub(crate) fn host(record: &Value) -> f64 {
    double(&record["energy"]["host_uj"])
}
