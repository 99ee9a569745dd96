//! A user's surroundings, made for one test: a home, an environment with nothing else in it, and a
//! limit on how long anything may take.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const CARBON_OPS: &str = env!("CARGO_BIN_EXE_carbon-ops");

/// No command of these tests takes a tenth of this; a hang shall not cost more.
const LIMIT: Duration = Duration::from_secs(45);

/// A home with nothing in it.
pub(crate) struct Home(TempDir);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("work")).unwrap();
        home
    }

    /// Of a file below the home; the commands run in its folder `work`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    /// Directory of the default ledger.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.path("data/carbon-ops/ledger")
    }

    pub(crate) fn ledger_file(&self) -> PathBuf {
        self.ledger().join("ledger.ndjson")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path("data/carbon-ops/keys/default.pem")
    }

    /// Any program in these surroundings, in a process group of its own.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("CARBON_OPS", CARBON_OPS)
            .env("HOME", self.0.path())
            .env("TMPDIR", self.0.path())
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

    pub(crate) fn carbon_ops(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(CARBON_OPS);
        command.args(arguments);
        command
    }

    /// A shell line, in which `"$CARBON_OPS"` is the command.
    pub(crate) fn bash(&self, line: &str) -> Command {
        let mut command = self.program("bash");
        command.args(["-c", line]);
        command
    }

    /// `carbon-ops ARGUMENTS`, to its end.
    pub(crate) fn does(&self, arguments: &[&str]) -> Done {
        done(&mut self.carbon_ops(arguments))
    }

    /// `carbon-ops run ARGUMENTS`, which has to exit with 0; the record.
    pub(crate) fn record(&self, arguments: &[&str]) -> Value {
        recorded(self, &mut self.carbon_ops(&[&["run"], arguments].concat()))
    }

    /// Every line of the default ledger, parsed.
    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.ledger_file())
    }

    /// The carbon records of the default ledger; none when there is no ledger.
    pub(crate) fn records(&self) -> Vec<Value> {
        if !self.ledger_file().exists() {
            return Vec::new();
        }
        let is_record = |line: &Value| line["type"] == "carbon_estimate";
        self.lines().into_iter().filter(is_record).collect()
    }
}

/// Runs a command that has to succeed and to append one record; that record.
pub(crate) fn recorded(home: &Home, command: &mut Command) -> Value {
    let before = home.records().len();
    let done = done(command);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let mut records = home.records();
    assert_eq!(records.len(), before + 1, "{}", done.stderr);
    let record = records.pop().unwrap();
    conserves_energy(&record);
    record
}

pub(crate) fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every record keeps the sum, so that every test that makes one looks.
pub(crate) fn conserves_energy(record: &Value) {
    let part = |name: &str| record["energy"][name].as_u64().unwrap();
    let sum = part("workload_uj") + part("others_uj") + part("idle_uj");
    assert_eq!(part("host_uj"), sum, "{record:#}");
    let of = |domain: &Value| {
        domain["delta_uj"].as_i64().unwrap() + domain["adjust_uj"].as_i64().unwrap_or(0)
    };
    let domains: i64 = record["domains"].as_array().unwrap().iter().map(of).sum();
    assert_eq!(i64::try_from(part("host_uj")).unwrap(), domains, "{record:#}");
    // No more CPU time than there was: what runs on after the end is not counted. Ticks and the
    // moment of looking leave some slack.
    let existed = decimal(&record["elapsed_ns"]) * record["cpu"]["count"].as_u64().unwrap();
    assert!(decimal(&record["workload"]["cpu_time_ns"]) <= existed + 50_000_000, "{record:#}");
}

impl Done {
    /// The exit code, or 1000 and the signal that ended the command.
    pub(crate) fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        self.status.code().unwrap_or_else(|| 1000 + self.status.signal().unwrap_or(0))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a command to its end.
pub(crate) fn done(command: &mut Command) -> Done {
    let child = command.spawn().unwrap();
    finish(child)
}

/// Waits for a command; past the limit, its process group is killed and the test has failed.
pub(crate) fn finish(child: Child) -> Done {
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

/// Whether `found` is `expected` but for a share of it.
#[track_caller]
pub(crate) fn assert_near(found: f64, expected: f64, share: f64, what: &str) {
    let off = (found - expected).abs() / expected.abs();
    assert!(off <= share, "{what}: {found} is {:.3} % off {expected}", 100.0 * off);
}

/// A list of words in a record, such as its notes.
pub(crate) fn has(record: &Value, list: &str, word: &str) -> bool {
    record[list].as_array().unwrap().iter().any(|found| found == word)
}

/// A whole number that a record holds as a string.
pub(crate) fn decimal(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

/// An integer that is far below 2⁵³, as a double.
pub(crate) fn double(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
