//! GPUs of a fake of NVIDIA's library, beside the counters of a folder: the command under test moves
//! both, so that what each part used is known.
//!
//! How energy is given to those who used a GPU is tested in the meter, with a clock of the test's own;
//! here it is what reaches the record, and whose processes are told to be the command's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use carbon_ops_testkit::nvml;
use serde_json::Value;

use crate::fake_host::{class, moving, sensor, zone};
use crate::home::{Home, built, cv, done, double, has, recorded};

/// Steps of the counters and what one is: 20 in a second, of 15 J.
const STEPS: u64 = 20;
const STEP_MJ: u64 = 15_000;
const GPU_UJ: u64 = STEPS * STEP_MJ * 1000;

/// A home with the fake library, whose answers are `text` at first.
pub(crate) fn with_library(text: &str) -> (Home, PathBuf) {
    let home = Home::new();
    // Below the folder of the counters, which is what a governor may still read when it runs.
    let library = nvml::library(&home.path("sys"), text);
    (home, library)
}

/// A command that asks this library, and waits for it however busy the machine is.
pub(crate) fn asking<'c>(command: &'c mut Command, library: &Path) -> &'c mut Command {
    command.env("CARBON_OPS_NVML", library).env("CARBON_OPS_NVML_WAIT", "60s")
}

/// What the library answers at step `$i`, in the shell's words.
fn answers(of_processes: &str) -> String {
    format!(
        "count 1\n0.uuid GPU-1\n0.limit 700000\n0.energy $((5000 + i * {STEP_MJ}))\n{of_processes}"
    )
}

/// The same before the command has started: none of its processes is there.
fn first(text: &str) -> String {
    let text = text.replace(&format!("$((5000 + i * {STEP_MJ}))"), "5000");
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some((key, value)) if value.contains("$$") => format!("{key} -\n"),
        _ => format!("{}\n", line.replace("$i", "0")),
    });
    lines.collect()
}

/// A shell line that answers so for a second.
fn playing(home: &Home, text: &str) -> String {
    let file = home.path("sys/libnvidia-ml.so.1.txt");
    let file = file.display();
    // Renamed, since half a file is another answer.
    format!(
        "for i in $(seq {STEPS}); do printf '%s\\n' \"{}\" > {file}.new; mv {file}.new {file}
         sleep 0.05; done",
        text.trim_end()
    )
}

/// Runs a shell line with the library and the folder's counters.
fn run(home: &Home, library: &Path, script: &str) -> Value {
    let folder = class(home);
    let mut command = home.carbon_ops(&["run", "--region", "DE", "--powercap-root", &folder, "--"]);
    let record = recorded(home, asking(command.args(["sh", "-c", script]), library));
    let verified = home.does(&["ledger", "verify", "--recompute"]);
    assert_eq!(verified.code(), 0, "{}{}", verified.text(), verified.stderr);
    record
}

/// A job that moves the package by 10 J meanwhile, and the GPU as told.
fn job(of_processes: &str) -> Value {
    let text = answers(of_processes);
    let (home, library) = with_library(&first(&text));
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let script = format!(
        "({}) & {}; wait",
        moving(&[(&package, 100_000_000, 1_000_000)]),
        playing(&home, &text)
    );
    run(&home, &library, &script)
}

fn domain<'r>(record: &'r Value, name: &str) -> &'r Value {
    record["measurement"]["domains"]
        .as_array()
        .unwrap()
        .iter()
        .find(|domain| domain["name"] == name)
        .unwrap()
}

fn energy_of(domain: &Value) -> u64 {
    let adjusted = domain["adjust_uj"].as_i64().unwrap_or(0);
    domain["delta_uj"].as_u64().unwrap().checked_add_signed(adjusted).unwrap()
}

fn inputs<'r>(record: &'r Value, name: &str) -> Vec<&'r Value> {
    record["inputs"].as_array().unwrap().iter().filter(|input| input["name"] == name).collect()
}

/// The workload's part of the GPU in percent, as the record tells where the share comes from.
fn percent(record: &Value) -> f64 {
    let [input] = inputs(record, "gpu_attribution")[..] else { return 0.0 };
    let source = input["source"].as_str().unwrap();
    let numbers: Vec<f64> = source.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [part, whole] = numbers[..] else { panic!("{source}") };
    100.0 * part / whole
}

#[track_caller]
fn assert_percent(record: &Value, expected: f64) {
    assert!((percent(record) - expected).abs() < 1e-4, "{}: {record:#}", percent(record));
}

/// A second's work is a GPU's energy but for what scaling to the window takes or adds.
#[track_caller]
fn assert_a_second_of_work(gpu: &Value) {
    let off = energy_of(gpu).abs_diff(GPU_UJ);
    assert!(off < GPU_UJ / 20, "{off} uJ off: {gpu}");
}

#[test]
fn a_job_alone_on_a_gpu_has_all_of_its_energy() {
    let record = job("0.samples $$:$i:100\n0.processes $$\n");
    let gpu = domain(&record, "gpu-0");
    assert_eq!((&gpu["backend"], &gpu["delta_uj"]), (&"nvml".into(), &GPU_UJ.into()));
    assert_eq!(gpu["start_uj"], "5000000");
    assert_a_second_of_work(gpu);
    assert_percent(&record, 100.0);
    let host = record["measurement"]["energy"]["host_uj"].as_u64().unwrap();
    assert_eq!(host, energy_of(gpu) + energy_of(domain(&record, "package-0")));
    assert!(record["measurement"]["energy"]["workload_uj"].as_u64().unwrap() >= energy_of(gpu));
    for (note, expected) in [
        ("gpu_by_time", true),
        ("gpu_by_process", false),
        ("gpu_unattributed", false),
        ("unseen_gpu", false),
    ] {
        assert_eq!(has(&record, "notes", note), expected, "{note}: {record:#}");
    }
    let id = record["host_id"].as_str().unwrap();
    let meters = inputs(&record, "meter");
    let of = |domain: &str| {
        let key = format!("meter:{id}:{domain}");
        *meters.iter().find(|meter| meter["shared"] == key).unwrap()
    };
    let meter = of("nvml:gpu-0");
    // Nearly all of the workload's energy is the GPU's, and so nearly all of the meter's 5 % count.
    assert!((0.045..=0.05).contains(&cv(meter)), "{meter}");
    assert!(cv(of("sysfs:package-0")) < 0.005, "{record:#}");
    assert_eq!(inputs(&record, "gpu_ends").len(), 1);
    assert_eq!(
        (&sensor(&record, "nvml")["status"], &record["simulated"]),
        (&"used".into(), &true.into())
    );
    // The package is shared as ever, next to a GPU that has no part in it.
    assert_eq!(record["measurement"]["attribution_mode"], "cpu_time");
}

#[test]
fn a_process_that_is_not_the_commands_keeps_its_part() {
    let other = std::process::id();
    let record = job(&format!("0.samples $$:$i:25,{other}:$i:50\n0.processes $$,{other}\n"));
    assert_percent(&record, 25.0);
    let gpu = energy_of(domain(&record, "gpu-0"));
    assert!(record["measurement"]["energy"]["others_uj"].as_u64().unwrap() >= gpu / 2 - 1);
    assert!(record["measurement"]["energy"]["idle_uj"].as_u64().unwrap() >= gpu / 4 - 1);
    assert!(has(&record, "notes", "gpu_by_time") && !has(&record, "notes", "gpu_unattributed"));
}

#[test]
fn children_of_the_command_are_the_commands() {
    let text = answers("0.samples $$:$i:100\n0.processes $$\n");
    let (home, library) = with_library(&first(&text));
    let inner = home.path("inner.sh");
    fs::write(&inner, playing(&home, &text)).unwrap();
    // A daemon: its parent has gone, and it is ours for that.
    let script = format!("(sh {} &); sleep 1.2", inner.display());
    let record = run(&home, &library, &script);
    assert_percent(&record, 100.0);
}

#[test]
fn a_gpu_that_nobody_used_is_idle_and_not_the_workloads() {
    let record = job("0.samples -\n0.processes -\n");
    let gpu = energy_of(domain(&record, "gpu-0"));
    assert!(record["measurement"]["energy"]["idle_uj"].as_u64().unwrap() >= gpu, "{record:#}");
    assert!(inputs(&record, "gpu_attribution").is_empty());
}

#[test]
fn without_times_the_only_ones_there_have_all_and_it_is_said() {
    let record = job("0.samples !3\n0.processes $$\n");
    assert_percent(&record, 100.0);
    assert!(has(&record, "notes", "gpu_by_process") && !has(&record, "notes", "gpu_by_time"));
    let [input] = inputs(&record, "gpu_attribution")[..] else { panic!("{record:#}") };
    assert!(cv(input) > 0.4, "{input}");

    let other = std::process::id();
    let record = job(&format!("0.samples !3\n0.processes $$,{other}\n"));
    let gpu = energy_of(domain(&record, "gpu-0"));
    assert!(record["measurement"]["energy"]["others_uj"].as_u64().unwrap() >= gpu, "{record:#}");
    assert!(has(&record, "notes", "gpu_unattributed") && !has(&record, "notes", "gpu_by_time"));
}

#[test]
fn a_counter_that_fails_midway_is_a_gap_and_flagged() {
    let text = answers("0.samples $$:$i:100\n0.processes $$\n");
    let (home, library) = with_library(&first(&text));
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let file = home.path("sys/libnvidia-ml.so.1.txt");
    let script = format!(
        "{}; sed 's/^0.energy .*/0.energy !15/' {1} > {1}.new; mv {1}.new {1}; {2}",
        playing(&home, &text),
        file.display(),
        moving(&[(&package, 100_000_000, 1_000_000)])
    );
    let record = run(&home, &library, &script);
    // A busy machine may keep the driver's answers waiting, too.
    let gaps = record["measurement"]["gaps"].as_array().unwrap();
    assert!(gaps.iter().all(|gap| gap["domain"] == "gpu-0"), "{record:#}");
    assert!(gaps.iter().any(|gap| gap["reason"] == "vanished"), "{record:#}");
    assert_eq!(record["quality_flag"], "estimated");
    assert!(domain(&record, "gpu-0")["adjust_uj"].as_i64().unwrap() > 0, "{record:#}");
    assert!(double(&record["coverage_pct"]) < 90.0, "{record:#}");
}

/// On this machine or any: two GPUs, beside whatever its processor can be measured or modelled by.
#[test]
fn two_gpus_add_up_beside_a_model() {
    let other = std::process::id();
    let text = format!(
        "count 2\n0.uuid GPU-1\n0.energy $((5000 + i * {STEP_MJ}))\n0.samples $$:$i:100\n1.uuid \
         GPU-2\n1.energy $((5000 + i * {STEP_MJ}))\n1.samples {other}:$i:100\n"
    );
    let (home, library) = with_library(&first(&text));
    // A folder without zones: no counters.
    fs::create_dir_all(home.path("sys/class/powercap")).unwrap();
    let script = playing(&home, &text);
    let record = run(&home, &library, &script);
    assert!(
        record["measurement"]["model"].is_object()
            && record["measurement"]["attribution_mode"] == "monitor_only"
    );
    let names: Vec<_> =
        record["measurement"]["domains"].as_array().unwrap().iter().map(|d| &d["name"]).collect();
    assert_eq!(names, ["cpu", "memory", "gpu-0", "gpu-1"]);
    assert_percent(&record, 100.0);
    let (ours, theirs) = (domain(&record, "gpu-0"), domain(&record, "gpu-1"));
    assert!(
        record["measurement"]["energy"]["workload_uj"].as_u64().unwrap() >= energy_of(ours),
        "{record:#}"
    );
    assert!(
        record["measurement"]["energy"]["others_uj"].as_u64().unwrap() >= energy_of(theirs),
        "{record:#}"
    );
}

#[test]
fn the_summary_names_the_gpu_and_what_of_it_was_used() {
    let text = answers("0.samples $$:$i:50\n0.processes $$\n");
    let (home, library) = with_library(&first(&text));
    let script = playing(&home, &text);
    let mut command = home.carbon_ops(&["run", "--no-ledger", "--", "sh", "-c", &script]);
    let run = done(asking(&mut command, &library));
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let line = run.stderr.lines().find(|line| line.trim_start().starts_with("GPU")).unwrap();
    assert!(line.contains("gpu-0 ") && line.contains(": sh 1"), "{line}");
    assert!(line.contains("others 0 J, idle 1"), "{line}");
    assert!(run.stderr.contains(", NVML gpu-0"), "{}", run.stderr);
}

#[test]
fn a_library_that_is_named_and_missing_is_said_and_stops_nothing() {
    let home = Home::new();
    let mut command = home.carbon_ops(&["run", "--", "true"]);
    let run = done(command.env("CARBON_OPS_NVML", "/nowhere/libnvidia-ml.so.1"));
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains("no GPU: no NVIDIA driver"), "{}", run.stderr);
    let record = &home.records()[0];
    assert_eq!(sensor(record, "nvml")["status"], "absent");
    assert!(has(record, "notes", "unseen_gpu"));
    let mut command = home.carbon_ops(&["run", "--", "true"]);
    assert_eq!(done(command.env("CARBON_OPS_NVML", "off")).code(), 0);
    let record = &home.records()[1];
    let sensors = record["measurement"]["sensors"].as_array().unwrap();
    assert!(!sensors.iter().any(|sensor| sensor["name"] == "nvml"), "{record:#}");
    assert!(has(record, "notes", "unseen_gpu"));
    let shown = done(home.carbon_ops(&["config", "show"]).env("CARBON_OPS_NVML", "off"));
    assert!(shown.text().contains("power.nvml_library"), "{}", shown.text());
}

/// The governor, built beside the command.
fn governor() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("carbon-ops-governor", "carbon-governor")).clone()
}

pub(crate) struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a governor over the folder's counters and the fake library.
pub(crate) fn governed(home: &Home, library: &Path) -> (Daemon, PathBuf) {
    let socket = home.path("governor.sock");
    let mut command = home.program(governor());
    command
        .args(["--powercap-root", &class(home), "--nvml-library", &library.display().to_string()])
        .arg("--socket-path")
        .arg(&socket)
        .arg("--state-dir")
        .arg(home.path("state"))
        .args(["--poll-interval", "50ms", "--client-interval", "50ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let daemon = Daemon(command.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        assert!(Instant::now() < deadline, "the governor did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    (daemon, socket)
}

#[test]
fn the_governors_gpus_are_shared_by_gpu_time_and_not_by_cpu_time() {
    let other = std::process::id();
    let text = answers(&format!("0.samples $$:$i:25,{other}:$i:75\n0.processes $$,{other}\n"));
    for (direct, expected) in [(true, 25.0), (false, 0.0)] {
        let (home, library) = with_library(&first(&text));
        let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
        let (_daemon, socket) = governed(&home, &library);
        let script = format!(
            "({}) & {}; wait; sleep 0.2",
            moving(&[(&package, 100_000_000, 1_000_000)]),
            playing(&home, &text)
        );
        let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c", &script]);
        command.env("CARBON_OPS_GOVERNOR_SOCKET", &socket);
        let nvml: &Path = if direct { &library } else { Path::new("off") };
        let record = recorded(&home, asking(&mut command, nvml));
        assert_eq!(record["measurement"]["attribution_mode"], "governor_cpu_time", "{record:#}");
        let gpu = domain(&record, "gpu-0");
        assert_eq!(gpu["backend"], "nvml");
        assert_a_second_of_work(gpu);
        assert_percent(&record, expected);
        assert_eq!(has(&record, "notes", "gpu_unattributed"), !direct, "{record:#}");
        assert!(!has(&record, "notes", "unseen_gpu"), "{record:#}");
        let verified = home.does(&["ledger", "verify", "--recompute"]);
        assert_eq!(verified.code(), 0, "{}{}", verified.text(), verified.stderr);
    }
}

/// It is not nothing, but not known.
#[test]
fn a_gpu_that_the_governor_cannot_read_any_more_is_left_out_and_said() {
    let text = answers("0.samples -\n0.processes -\n");
    let (home, library) = with_library(&first(&text));
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let (_daemon, socket) = governed(&home, &library);
    let broken = first(&text).replace("0.energy 5000", "0.energy !15");
    fs::write(home.path("sys/libnvidia-ml.so.1.txt"), broken).unwrap();
    // The governor waits for a second before it calls a domain stale.
    std::thread::sleep(Duration::from_millis(1500));
    let script = moving(&[(&package, 100_000_000, 1_000_000)]);
    let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c", &script]);
    command.env("CARBON_OPS_GOVERNOR_SOCKET", &socket).env("CARBON_OPS_NVML", "off");
    let record = recorded(&home, &mut command);
    let excluded = &record["measurement"]["excluded"][0];
    assert_eq!((&excluded["name"], &excluded["reason"]), (&"gpu-0".into(), &"unreadable".into()));
    assert!(has(&record, "notes", "unseen_gpu") && has(&record, "notes", "zone_unreadable"));
    assert_eq!(record["quality_flag"], "estimated");
}
