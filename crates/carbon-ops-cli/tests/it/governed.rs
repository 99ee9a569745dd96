//! Runs that are measured with the totals of a governor, on simulated counters whose truth is known.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use carbon_ops_testkit::simulator::{Simulator, USUAL};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{ended, records, until, value};
use crate::home::{Home, decimal, done, double, recorded};
use crate::simulator::{host, truth};

/// The governor, built once beside the binary under test.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let ours = Path::new(env!("CARGO_BIN_EXE_carbon-ops"));
        let profile = ours.parent().unwrap();
        let target = profile.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "carbon-ops-governor", "--target-dir"]);
        build.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        profile.join("carbon-governor")
    })
}

/// A governor at work in a folder of its own.
struct Governor {
    process: Child,
    folder: TempDir,
    powercap: String,
}

impl Governor {
    fn start(simulator: &Simulator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let powercap = simulator.powercap();
        let process = Self::spawn(folder.path(), &powercap);
        let governor = Self { process, folder, powercap };
        governor.wait();
        governor
    }

    fn spawn(folder: &Path, powercap: &str) -> Child {
        let at = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(binary());
        command.args([powercap, "--no-nvml", "--log-level", "error"]);
        command.args(["--socket-path", &at("socket"), "--state-dir", &at("state")]);
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    fn wait(&self) {
        wait_for(&self.socket());
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Dies without a word, and another one takes its place.
    fn replace(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = Self::spawn(self.folder.path(), &self.powercap);
    }

    fn run(&self, home: &Home, script: &str) -> Value {
        let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c", script]);
        recorded(home, command.env("CARBON_OPS_GOVERNOR_SOCKET", self.socket()))
    }
}

impl Drop for Governor {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// Waits for a file.
fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "there is no {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn notes(record: &Value) -> Vec<&str> {
    record["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect()
}

#[test]
fn a_run_takes_the_governors_totals_and_they_are_the_truth() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    for (script, quality) in [("sleep 3", "measured"), ("exit 0", "estimated")] {
        let record = governor.run(&home, script);
        assert_eq!(record["measurement"]["attribution_mode"], "governor_cpu_time");
        assert_eq!(record["quality_flag"], quality, "{script}");
        assert_eq!(record["simulated"], true);
        assert_eq!(record["measurement"]["sensors"][0]["name"], "governor");
        assert_eq!(record["measurement"]["sensors"][0]["status"], "used");
        assert!(!notes(&record).contains(&"governor_absent"));
        let names: Vec<_> = record["measurement"]["domains"]
            .as_array()
            .unwrap()
            .iter()
            .map(|domain| &domain["name"])
            .collect();
        assert_eq!(names, ["dram-0", "package-0"]);
        // Between two samples the power is constant here, so that the straight line is the truth.
        let truth = truth(&simulator.path(""), &["package-0", "dram"], &record);
        let error = (host(&record) - truth).abs();
        // The wall clock and the monotonic one are read a moment apart; one quantum per domain.
        assert!(error <= 73.0 * 3000.0 + 20_000.0, "{script}: {} {truth}", host(&record));
    }
}

#[test]
fn a_governor_that_is_killed_and_replaced_during_a_run_loses_nothing() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let mut governor = Governor::start(&simulator);
    let home = Home::new();
    let script = ": > started; sleep 3";
    let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c", script]);
    command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket());
    let running = command.stderr(Stdio::null()).spawn().unwrap();
    wait_for(&home.work("started"));
    governor.replace();
    assert!(running.wait_with_output().unwrap().status.success());
    let shown = done(&mut home.carbon_ops(&["ledger", "show", "--json", "--last", "1"]));
    let record: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(record["measurement"]["attribution_mode"], "governor_cpu_time");
    let truth = truth(&simulator.path(""), &["package-0", "dram"], &record);
    assert!((host(&record) - truth).abs() <= 73.0 * 3000.0 + 20_000.0, "{}", host(&record));
    assert_eq!(record["measurement"]["gaps"].as_array().unwrap().len(), 0);
}

#[test]
fn monitor_shares_the_governors_totals() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    let arguments = ["monitor", "--all", "--interval", "500ms", "--count", "4", "--json"];
    let mut command = home.carbon_ops(&arguments);
    let watched = done(command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket()));
    assert_eq!(watched.code(), 0, "{}", watched.text());
    let (mut energy, mut window) = (0.0, None);
    for line in watched.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let sample: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(sample["attribution_mode"], "governor_cpu_time");
        assert_eq!(sample["quality"], "measured");
        assert_eq!(sample["simulated"], true);
        energy += double(&sample["host"]["energy_uj"]);
        let end: jiff::Timestamp = sample["timestamp"].as_str().unwrap().parse().unwrap();
        let start = end - Duration::from_nanos(decimal(&sample["elapsed_ns"]));
        window = Some((window.map_or(start, |(start, _)| start), end));
    }
    let (start, end) = window.unwrap();
    let window = serde_json::json!({ "start_ts": start, "end_ts": end });
    let truth = truth(&simulator.path(""), &["package-0", "dram"], &window);
    // The clocks are read a moment apart, the power is constant, and a quantum is lost per domain.
    assert!((energy - truth).abs() <= 73.0 * 3000.0 + 20_000.0, "{energy} for {truth}");
}

#[test]
fn totals_of_two_runs_telescope() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    let [first, second] = ["sleep 0.5", "sleep 0.5"].map(|script| governor.run(&home, script));
    let of = |record: &Value, member: &str| decimal(&record["measurement"]["domains"][1][member]);
    assert_eq!(of(&first, "epoch"), of(&second, "epoch"));
    assert!(of(&first, "end_uj") <= of(&second, "start_uj"));
}

#[test]
fn a_governor_that_dies_during_a_run_leaves_an_estimate_with_the_reason() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    // The command runs once its window is open, and ends when what the governor said last is stale.
    let script = ": > started; while [ ! -e gone ]; do sleep 0.05; done; sleep 2";
    let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c", script]);
    command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket());
    let running = command.stderr(Stdio::null()).spawn().unwrap();
    wait_for(&home.work("started"));
    drop(governor);
    std::fs::write(home.work("gone"), "").unwrap();
    assert!(running.wait_with_output().unwrap().status.success());
    let shown = done(&mut home.carbon_ops(&["ledger", "show", "--json", "--last", "1"]));
    let record: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(record["measurement"]["attribution_mode"], "monitor_only");
    assert_eq!(record["measurement"]["sensors"][0]["status"], "failed");
    let reason = record["measurement"]["sensors"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("governor"), "{reason}");
}

/// Of each domain that a record has totals of: from where to where, in uJ.
fn totals(record: &Value) -> Vec<(String, u64, u64)> {
    let domains = record["measurement"]["domains"].as_array().unwrap().iter();
    let of = |domain: &Value| {
        let name = domain["name"].as_str().unwrap().to_owned();
        (name, decimal(&domain["start_uj"]), decimal(&domain["end_uj"]))
    };
    domains.map(of).collect()
}

#[test]
fn the_energy_of_a_run_whose_record_is_missing_is_named_between_the_two_beside_it() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    let before = governor.run(&home, "sleep 1");
    let complete = home.does(&["ledger", "verify", "--complete"]);
    assert_eq!(complete.code(), 0, "{}", complete.text());
    let dropped = home.path("dropped.json");
    let json = format!("--json={}", dropped.display());
    let mut command = home.carbon_ops(&["run", "--no-ledger", &json, "--", "sleep", "2"]);
    let ran = done(command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket()));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let after = governor.run(&home, "sleep 1");
    assert_eq!(before["measurement"]["boot_id"], after["measurement"]["boot_id"]);

    let verified = home.does(&["ledger", "verify", "--complete", "--json"]);
    assert_eq!(verified.code(), 1, "{}", verified.text());
    let report: Value = serde_json::from_str(&verified.text()).unwrap();
    assert_eq!(report["status"], "valid", "what is there is in order");
    let holes = report["continuity"]["holes"].as_array().unwrap();
    let missing: Value = serde_json::from_slice(&std::fs::read(dropped).unwrap()).unwrap();
    let (before, after, missing) = (totals(&before), totals(&after), totals(&missing));
    assert_eq!((before.len(), holes.len(), missing.len()), (2, 2, 2), "{holes:?}");
    for (((name, _, from), (_, to, _)), (_, start, end)) in before.iter().zip(&after).zip(&missing)
    {
        let hole = holes.iter().find(|hole| hole["domain"] == **name).unwrap();
        assert_eq!(hole["after_seq"], 1);
        let uncovered = hole["uncovered_uj"].as_u64().unwrap();
        assert!(uncovered.abs_diff(to - from) <= 2, "{name}: {uncovered} of {}", to - from);
        assert!(from <= start && end <= to && uncovered >= end - start, "{name}: {missing:?}");
    }
    let told = home.does(&["ledger", "verify", "--complete"]);
    assert!(told.text().contains("NOT COMPLETE") && told.code() == 1, "{}", told.text());
    // Nobody has to ask for it.
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}

#[test]
fn runs_that_overlap_leave_no_energy_between_them() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    let line = r#""$CARBON_OPS" run -- sleep 3 & sleep 1; "$CARBON_OPS" run -- sleep 4; wait"#;
    let mut command = home.bash(line);
    let ran = done(command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket()));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert_eq!(home.records().len(), 2);
    let complete = home.does(&["ledger", "verify", "--complete"]);
    assert_eq!(complete.code(), 0, "{}", complete.text());
}

/// The energy between two agents is counted by the governor, and nobody knows whose it was.
#[test]
fn an_agent_that_is_killed_loses_nothing_that_the_governor_counts() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let governor = Governor::start(&simulator);
    let home = Home::new();
    let file = home.work("c.prom");
    let start = || {
        let options = ["agent", "--interval", "1h", "--tick", "200ms", "--listen", "off"];
        let mut command = home.carbon_ops(&[&options[..], &["--textfile", "c.prom"]].concat());
        command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket());
        command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let looks = |more: f64| {
        until(&file, |text| value(text, "carbon_ops_looks_total") >= more);
    };
    // Until the governor has counted something.
    let unwatched = || {
        let json = home.work("between.json");
        let told = format!("--json={}", json.display());
        loop {
            let mut command = home.carbon_ops(&["run", "--no-ledger", &told, "--", "sleep", "0.2"]);
            command.env("CARBON_OPS_GOVERNOR_SOCKET", governor.socket());
            assert_eq!(done(&mut command).code(), 0);
            let record: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
            if record["measurement"]["energy"]["host_uj"].as_u64().unwrap() > 0 {
                return;
            }
        }
    };
    for kills in 1..4 {
        let mut agent = start();
        looks(3.0 * f64::from(kills));
        agent.kill().unwrap();
        agent.wait().unwrap();
        unwatched();
    }
    let agent = start();
    looks(12.0);
    ended(agent);
    let all = records(&home);
    let of = |record: &Value, member: &str| -> u64 {
        let domains = record["measurement"]["domains"].as_array().unwrap().iter();
        domains.map(|domain| decimal(&domain[member])).sum()
    };
    // One interval, however often it was taken up again, or two where an hour ended meanwhile.
    let mut ends: Vec<_> = all.iter().map(|it| (of(it, "start_uj"), of(it, "end_uj"))).collect();
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ends:?}");
    let part = |record: &Value| {
        let part = record["measurement"]["part"].as_str().unwrap();
        record["measurement"]["energy"][format!("{part}_uj")].as_u64().unwrap()
    };
    let adjust = |record: &Value| -> i64 {
        let domains = record["measurement"]["domains"].as_array().unwrap().iter();
        domains.map(|domain| domain["adjust_uj"].as_i64().unwrap_or(0)).sum()
    };
    let idle = |record: &&Value| record["measurement"]["part"] == "idle";
    let adjusted: i64 = all.iter().filter(idle).map(adjust).sum();
    let counted = ends.last().unwrap().1 - ends[0].0;
    let sum: u64 = all.iter().map(part).sum();
    assert_eq!(sum, counted.checked_add_signed(adjusted).unwrap());
    assert!(all.iter().any(|record| notes(record).contains(&"unwatched")));
    assert!(!all.iter().any(|record| notes(record).contains(&"gap_before")));
}
