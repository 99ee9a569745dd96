//! The home of a user of carbon-ops, and what the tests look at in records.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use carbon_ops_testkit::home;
pub(crate) use carbon_ops_testkit::home::{Done, done, finish};
use serde_json::Value;

pub(crate) const CARBON_OPS: &str = env!("CARGO_BIN_EXE_carbon-ops");

/// A home with nothing in it.
pub(crate) struct Home(home::Home);

impl Deref for Home {
    type Target = home::Home;

    fn deref(&self) -> &home::Home {
        &self.0
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(home::Home::new(CARBON_OPS))
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

    /// Writes the configuration file.
    pub(crate) fn configure(&self, text: &str) {
        carbon_ops_testkit::host::file(self.root(), "config/carbon-ops/config.toml", text);
    }

    pub(crate) fn carbon_ops(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
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
    let part = |name: &str| record["measurement"]["energy"][name].as_u64().unwrap();
    let sum = part("workload_uj") + part("others_uj") + part("idle_uj");
    assert_eq!(part("host_uj"), sum, "{record:#}");
    let of = |domain: &Value| {
        domain["delta_uj"].as_i64().unwrap() + domain["adjust_uj"].as_i64().unwrap_or(0)
    };
    let domains: i64 = record["measurement"]["domains"].as_array().unwrap().iter().map(of).sum();
    assert_eq!(i64::try_from(part("host_uj")).unwrap(), domains, "{record:#}");
    // No more CPU time than there was: what runs on after the end is not counted. Ticks and the
    // moment of looking leave some slack.
    let existed = decimal(&record["measurement"]["elapsed_ns"])
        * record["measurement"]["cpu"]["count"].as_u64().unwrap();
    assert!(
        decimal(&record["measurement"]["workload"]["cpu_time_ns"]) <= existed + 50_000_000,
        "{record:#}"
    );
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

/// Coefficient of variation of an input that is a lognormal of mean 1: `ln(1, 0.05)`.
pub(crate) fn cv(input: &Value) -> f64 {
    let text = input["dist"].as_str().unwrap();
    text.strip_prefix("ln(1, ").unwrap().trim_end_matches(')').parse().unwrap()
}

/// An integer that is far below 2⁵³, as a double.
pub(crate) fn double(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Another program of this workspace, built beside the command.
pub(crate) fn built(package: &str, program: &str) -> PathBuf {
    let folder = Path::new(CARBON_OPS).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "-q", "-p", package]);
    command.args((folder.file_name().unwrap() == "release").then_some("--release"));
    command.arg("--target-dir").arg(folder.parent().unwrap());
    assert!(command.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    folder.join(program)
}
