//! The simulated RAPL host (`testdata/sim`): energy counters on a machine that has none.
//!
//! Its tree is given to carbon-ops by `--powercap-root`. A read through FUSE costs more than one of
//! sysfs, so that what is measured with it is an upper bound.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::process;
use crate::subject::{Room, Subject, root};

/// Time to mount; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no simulated host here, if so.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !geteuid().is_root() {
        return Some("not root");
    }
    (!Path::new("/dev/fuse").exists()).then_some("no /dev/fuse")
}

/// An error where there is none, for what cannot be measured without.
pub(crate) fn demand() -> Result<()> {
    match obstacle() {
        Some(why) => {
            bail!("there is no simulated RAPL host here: {why}\nhint: run it as root on Linux")
        }
        None => Ok(()),
    }
}

/// A simulated host that is mounted.
#[derive(Debug)]
pub(crate) struct Sim {
    child: Child,
    mount: PathBuf,
}

impl Sim {
    /// Mounts a host with these options of `raplsim.rs`, and makes sure that carbon-ops reads it.
    pub(crate) fn start(
        subject: &Subject,
        room: &Room,
        name: &str,
        options: &[&str],
    ) -> Result<Self> {
        let sim = Self::mount(room, name, options)?;
        let sensor = subject.sensor(room, &[&sim.option()])?;
        ensure!(
            sensor == "sysfs",
            "carbon-ops takes its energy from the {sensor}, not from raplsim"
        );
        Ok(sim)
    }

    /// Mounts a host with these options of `raplsim.rs`.
    pub(crate) fn mount(room: &Room, name: &str, options: &[&str]) -> Result<Self> {
        let program = compiled("raplsim")?;
        let mount = room.folder(name)?;
        let mut command = Command::new(&program);
        command.arg(&mount).args(options).stdin(Stdio::null()).stdout(Stdio::null());
        // It stays in our process group, so that Ctrl-C reaches it too and it unmounts.
        let child = command.spawn().context("cannot start raplsim")?;
        let mut sim = Self { child, mount };
        let start = Instant::now();
        while !sim.mount.join("truth").exists() {
            if let Some(status) = sim.child.try_wait().context("waiting for raplsim")? {
                bail!("raplsim ended: {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "raplsim mounts nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(sim)
    }

    /// A command in a mount namespace of its own, where this host's counters stand at their usual
    /// places. The process that is started becomes the program, so that its id is the program's.
    pub(crate) fn inside(&self, program: &Path, home: &Path) -> Result<Command> {
        let script = root().join("testdata/sim/with-sim.sh");
        let mut command = process::command(script, home);
        command.env("SIM_DIR", &self.mount).env("RAPLSIM", compiled("raplsim")?).arg(program);
        Ok(command)
    }

    /// The option that makes carbon-ops read it.
    pub(crate) fn option(&self) -> String {
        format!("--powercap-root={}", self.mount.join("class/powercap").display())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // It unmounts on SIGTERM.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

/// A program of `testdata/sim` beside this one, compiled anew when its source is newer.
pub(crate) fn compiled(name: &str) -> Result<PathBuf> {
    let source = root().join("testdata/sim").join(name).with_extension("rs");
    let program = std::env::current_exe().context("where is this program")?;
    let program = program.with_file_name(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed(&program).is_none_or(|built| changed(&source).is_some_and(|new| new > built)) {
        let mut command = Command::new("rustc");
        command.args(["--edition", "2021", "-O", "-o"]).args([&program, &source]);
        let status = command.status().context("cannot run rustc")?;
        ensure!(status.success(), "rustc {} failed", source.display());
    }
    Ok(program)
}
