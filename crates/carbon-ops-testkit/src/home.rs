//! A user's surroundings, made for one test: a home, an environment with nothing else in it, and a
//! limit on how long anything may take.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

/// No command of these tests takes a tenth of this; a hang shall not cost more.
pub(crate) const LIMIT: Duration = Duration::from_secs(45);

/// A home with nothing in it, for a command under test.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    binary: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Home {
    /// A home for the binary under test, `env!("CARGO_BIN_EXE_…")`.
    pub fn new(binary: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), binary: binary.into() };
        fs::create_dir(home.path("work")).unwrap();
        home
    }

    /// Of a file below the home; the commands run in its folder `work`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Of a file in the folder in which the commands run.
    pub fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    /// The home itself, which can be the root of a fake host too.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Any program in these surroundings, in a process group of its own.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .env("CARBON_OPS", &self.binary)
            .env("HOME", self.root())
            .env("TMPDIR", self.root())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .current_dir(self.path("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// The same with the default for each signal, whatever those who run the tests ignore, as `nohup` and shells do for
    /// what they start in the background: a shell could not trap it.
    pub fn at_default_signals(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.program("env");
        command.arg("--default-signal").arg(program);
        command
    }

    /// The binary under test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&self.binary);
        command.args(arguments);
        command
    }

    /// A shell line, in which `"$CARBON_OPS"` is the binary under test.
    pub fn bash(&self, line: &str) -> Command {
        let mut command = self.program("bash");
        command.args(["-c", line]);
        command
    }

    /// The binary under test, to its end.
    pub fn does(&self, arguments: &[&str]) -> Done {
        done(&mut self.command(arguments))
    }
}

impl Done {
    /// The exit code, or 1000 and the signal that ended the command.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 1000 + self.status.signal().unwrap_or(0))
    }

    /// What it wrote to standard output.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a command to its end.
pub fn done(command: &mut Command) -> Done {
    finish(command.spawn().unwrap())
}

/// Waits for a command; past the limit, its process group is killed and the test has failed.
pub fn finish(child: Child) -> Done {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (finished, watched) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = watched.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = killpg(group, Signal::SIGKILL);
        }
        late
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    drop(finished);
    assert!(!watchdog.join().unwrap(), "took longer than {LIMIT:?}");
    Done { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
}
