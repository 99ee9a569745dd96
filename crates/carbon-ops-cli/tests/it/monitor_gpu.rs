//! GPUs in `monitor`: a fake of NVIDIA's library beside a machine in a folder, so that the energy of
//! each GPU and the time of each process on it are known. Every sample adds up, GPUs included.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use carbon_ops_testkit::nvml;
use serde_json::Value;

use crate::fake_host::{class, zone};
use crate::gpu::{asking, governed, with_library};
use crate::home::{Home, assert_near, decimal, done, double, finish, has};
use crate::monitor::{adds_up, machine};

/// What the library answers: a GPU that has counted so many J, and who used it.
fn answers(joules: u64, of_processes: &str) -> String {
    format!("count 1\n0.uuid GPU-1\n0.energy {}\n{of_processes}\n", 5000 + 1000 * joules)
}

fn answer(home: &Home, text: &str) {
    nvml::answer(&home.path("sys/libnvidia-ml.so.1"), text);
}

/// Starts `monitor`, and waits until it has taken its first readings.
fn started(command: &mut Command) -> Child {
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let blocks = |text: &str| text.contains("SigBlk:\t0000000000004003");
    while !blocks(&fs::read_to_string(&status).unwrap()) {
        sleep(Duration::from_millis(5));
    }
    child
}

fn monitor(home: &Home, library: &Path, arguments: &[&str]) -> Command {
    // A counter that rests for 1.5 s is stuck.
    let all = [&["monitor", "--json", "--interval", "1s"][..], arguments].concat();
    let mut command = home.carbon_ops(&all);
    asking(&mut command, library);
    command
}

const NOBODY: &str = "0.samples -\n0.processes -";

/// Samples that were taken while nobody was late: on a busy machine the library's answer may come after the
/// sample, or the sample so long after it that the counter counts as stuck. Twenty times in a row is no chance.
fn in_time<const N: usize>(mut take: impl FnMut() -> [Value; N]) -> [Value; N] {
    let prompt = |sample: &Value| {
        adds_up(sample);
        sample["gpu"]["energy_uj"] != 0 && sample["gaps"].as_array().unwrap().is_empty()
    };
    let mut tries = std::iter::repeat_with(&mut take).take(20);
    tries.find(|samples| samples.iter().all(prompt)).unwrap()
}

/// One sample on the machine in a folder, while its GPU uses 30 J.
fn sample(target: &[&str], of_processes: &str) -> Value {
    let [sample] = in_time(|| [taken(target, of_processes)]);
    assert_eq!(sample["gpu"]["energy_uj"], 30_000_000, "{sample:#}");
    assert!(!has(&sample, "notes", "unseen_gpu"), "{sample:#}");
    sample
}

fn taken(target: &[&str], of_processes: &str) -> Value {
    let (home, library) = with_library(&answers(0, NOBODY));
    let machine = machine(&home);
    let arguments = [&["--count", "1", "--host-root", &machine][..], target].concat();
    let child = started(&mut monitor(&home, &library, &arguments));
    answer(&home, &answers(30, of_processes));
    let done = finish(child);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    serde_json::from_slice(&done.stdout).unwrap()
}

fn gpu_of(sample: &Value, name: &str) -> u64 {
    let mut rows = sample["rows"].as_array().unwrap().iter();
    let row = rows.find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {sample:#}"));
    let gpu = row["gpu_energy_uj"].as_u64().unwrap();
    assert!(row["energy_uj"].as_u64().unwrap() >= gpu, "{row}");
    gpu
}

fn residual(sample: &Value, name: &str) -> u64 {
    sample["residuals"][name].as_u64().unwrap()
}

/// Of 30 J, process 10 of the service has half, 20 a quarter, one that no row shows 12 %; the rest is
/// idle.
#[test]
fn energy_of_a_gpu_goes_to_the_rows_of_the_processes_that_used_it() {
    let used = "0.samples 10:1:50,20:1:25,99:1:12\n0.processes 10,20,99";
    for (target, rows, others) in [
        (&["--all"][..], &[("p10", 15), ("p1", 0)][..], 0),
        (&["--all", "--by", "unit"], &[("web.service", 15), ("user.slice", 7)], 0),
        (&["--all", "--by", "cgroup"], &[("/system.slice/web.service", 15), ("/user.slice", 7)], 0),
        (&["--all", "--limit", "1"], &[("p10", 15)], 7),
        (&["--unit", "web"], &[("web.service", 15)], 7),
        (&["--cgroup", "/user.slice"], &[("/user.slice", 7)], 15),
        (&["--pid", "10"], &[("p10", 15)], 7),
        (&["--pid", "1"], &[("p1", 22)], 0),
    ] {
        let sample = sample(target, used);
        for (name, joules) in rows {
            assert_eq!(gpu_of(&sample, name) / 1_000_000, *joules, "{target:?}: {sample:#}");
        }
        assert_eq!(residual(&sample, "gpu_unattributed_uj"), 3_600_000, "{target:?}: {sample:#}");
        assert!(residual(&sample, "others_uj") >= others * 1_000_000, "{target:?}: {sample:#}");
        assert!(residual(&sample, "idle_uj") >= 3_900_000, "{target:?}: {sample:#}");
        let domains = sample["host"]["domains"].as_array().unwrap();
        let of: Vec<_> = domains.iter().map(|domain| domain["source"].as_str().unwrap()).collect();
        assert_eq!(of, ["model", "model", "nvml"]);
    }
}

#[test]
fn the_proportional_policy_leaves_nothing_of_a_gpu_idle() {
    let used = "0.samples 10:1:50,20:1:25\n0.processes 10,20";
    let sample = sample(&["--all", "--idle-policy", "proportional"], used);
    assert_eq!((gpu_of(&sample, "p10"), gpu_of(&sample, "p20")), (20_000_000, 10_000_000));
    assert_eq!(residual(&sample, "gpu_unattributed_uj"), 0, "{sample:#}");
}

#[test]
fn without_gpu_time_all_is_of_the_only_process_there_or_else_of_nobody() {
    for (there, part) in [("10", 30_000_000), ("10,20", 0)] {
        let sample = sample(&["--all"], &format!("0.samples !3\n0.processes {there}"));
        assert_eq!(gpu_of(&sample, "p10"), part);
        assert_eq!(residual(&sample, "gpu_unattributed_uj"), 30_000_000 - part, "{sample:#}");
    }
}

#[test]
fn what_a_process_used_that_has_ended_is_told_as_ended() {
    let [first, second] = in_time(|| {
        let (home, library) = with_library(&answers(0, NOBODY));
        let machine = machine(&home);
        let arguments = ["--count", "2", "--all", "--host-root", &machine];
        let mut child = started(&mut monitor(&home, &library, &arguments));
        answer(&home, &answers(30, "0.samples 20:1:100\n0.processes 20"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let first = next();
        fs::remove_dir_all(home.path("machine/proc/20")).unwrap();
        answer(&home, &answers(40, "0.samples 20:2:100\n0.processes -"));
        let second = next();
        assert!(child.wait().unwrap().success());
        [first, second]
    });
    assert_eq!(gpu_of(&first, "p20"), 30_000_000);
    assert!(residual(&second, "ended_uj") >= 10_000_000, "{second:#}");
    assert_eq!(residual(&second, "gpu_unattributed_uj"), 0, "{second:#}");
}

#[test]
fn counters_of_a_folder_turn_the_gpus_of_this_machine_off() {
    let home = Home::new();
    zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let folder = class(&home);
    let arguments = ["--all", "--powercap-root", &folder, "--duration", "100ms"];
    for (library, reason) in [(None, None), (Some("/nowhere/lib.so"), Some("no NVIDIA driver"))] {
        let mut command = home.carbon_ops(&[&["monitor", "--json"][..], &arguments].concat());
        library.map(|library| command.env("CARBON_OPS_NVML", library));
        let done = done(&mut command);
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let sample: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert!(sample.get("gpu").is_none() && has(&sample, "notes", "unseen_gpu"), "{sample:#}");
        assert!(sample["rows"][0].get("gpu_energy_uj").is_none(), "{sample:#}");
        let told = sample["host"].get("gpu_reason").map(|told| told.as_str().unwrap());
        assert_eq!(told.is_some(), reason.is_some(), "{sample:#}");
        assert!(told.unwrap_or_default().contains(reason.unwrap_or_default()), "{sample:#}");
    }
}

#[test]
fn a_sample_says_how_busy_a_gpu_is_and_what_its_memory_holds() {
    let sample = sample(&["--all"], "0.samples -\n0.processes -\n0.load 85\n0.memory 1000:250");
    let device = &sample["gpu"]["devices"][0];
    assert_eq!((&device["name"], &device["utilisation_percent"]), (&"gpu-0".into(), &85.into()));
    assert_eq!(device["memory_used_bytes"], 250);
    assert_eq!(device["memory_total_bytes"], 1000);
    assert!(sample["cpu"].as_object().unwrap().contains_key("frequency_mhz"), "{sample:#}");
}

/// 10 J of a package and 30 J of a GPU; or a GPU that tells its power only, which is integrated.
#[test]
fn gpus_are_counted_beside_counters_and_integrated_where_they_have_none() {
    let counter = answers(0, NOBODY);
    let power = "count 1\n0.uuid GPU-1\n0.power 100000\n0.samples -\n0.processes -\n";
    for (text, quality) in [(counter.as_str(), "measured"), (power, "estimated")] {
        let [sample] = in_time(|| {
            let (home, library) = with_library(text);
            let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
            let folder = class(&home);
            let arguments = ["--all", "--count", "1", "--powercap-root", &folder];
            let child = started(&mut monitor(&home, &library, &arguments));
            if quality == "measured" {
                answer(&home, &answers(30, NOBODY));
            }
            fs::write(package.join("energy_uj"), "110000000\n").unwrap();
            let done = finish(child);
            assert_eq!(done.code(), 0, "{}", done.stderr);
            [serde_json::from_slice(&done.stdout).unwrap()]
        });
        assert_eq!(
            (&sample["quality"], &sample["attribution_mode"]),
            (&quality.into(), &"cpu_time".into())
        );
        let gpu = sample["gpu"]["energy_uj"].as_u64().unwrap();
        assert_eq!(sample["host"]["energy_uj"], gpu + 10_000_000, "{sample:#}");
        let seconds = Duration::from_nanos(decimal(&sample["elapsed_ns"])).as_secs_f64();
        let expected = if quality == "measured" { 30e6 } else { 100e6 * seconds };
        assert_near(double(&sample["gpu"]["energy_uj"]), expected, 0.02, "GPU");
    }
}

#[test]
fn the_governors_gpus_are_shared_by_what_the_library_tells() {
    let (home, library) = with_library(&answers(0, NOBODY));
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let mut package_uj = 100_000_000;
    let (_daemon, socket) = governed(&home, &library);
    let own = std::process::id();
    for direct in [true, false] {
        answer(&home, &answers(0, NOBODY));
        let nvml: &Path = if direct { &library } else { Path::new("off") };
        let arguments = ["--count", "1", "--all", "--limit", "100000"];
        let mut command = monitor(&home, nvml, &arguments);
        let child = started(command.env("CARBON_OPS_GOVERNOR_SOCKET", &socket));
        let used = format!("0.samples {own}:1:40\n0.processes {own}");
        // Steadily, since a governor's total that rests is stuck.
        for step in 1..=8 {
            answer(&home, &answers(step, &used));
            package_uj += 1_000_000;
            fs::write(package.join("energy_uj"), format!("{package_uj}\n")).unwrap();
            sleep(Duration::from_millis(150));
        }
        let done = finish(child);
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let sample: Value = serde_json::from_slice(&done.stdout).unwrap();
        adds_up(&sample);
        let domains = sample["host"]["domains"].as_array().unwrap();
        let gpu = domains.iter().find(|domain| domain["name"] == "gpu-0").unwrap();
        assert_eq!(gpu["source"], "governor", "{sample:#}");
        let energy = gpu["energy_uj"].as_u64().unwrap();
        assert!((3_000_000..10_000_000).contains(&energy), "{sample:#}");
        let mut rows = sample["rows"].as_array().unwrap().iter();
        let row = rows.find(|row| row["pid"] == own).unwrap();
        let of_row = row["gpu_energy_uj"].as_u64().unwrap();
        if direct {
            assert!(of_row.abs_diff(energy * 2 / 5) <= 1, "{of_row} of {energy}");
        } else {
            assert_eq!((of_row, residual(&sample, "gpu_unattributed_uj")), (0, energy));
        }
        assert!(!has(&sample, "notes", "unseen_gpu"), "{sample:#}");
    }
}

#[test]
fn the_table_has_a_column_of_gpus_and_still_fits() {
    let (home, library) = with_library(&answers(0, NOBODY));
    let machine = machine(&home);
    for target in [&["--all"][..], &["--unit", "web"]] {
        let options = ["monitor", "--interval", "300ms", "--count", "1", "--host-root", &machine];
        let mut command = home.carbon_ops(&[&options[..], target].concat());
        let child = started(asking(&mut command, &library));
        answer(&home, &answers(12, "0.samples 10:1:100\n0.processes 10"));
        let done = finish(child);
        answer(&home, &answers(0, NOBODY));
        let text = done.text();
        let rows: Vec<_> = text.lines().filter(|line| !line.contains("energy of")).collect();
        for line in &rows {
            assert!(line.chars().count() <= 80, "{line:?}");
        }
        let heading = rows.iter().find(|line| line.contains("ENERGY")).unwrap();
        let row = rows.iter().find(|line| line.contains("12.0 J")).unwrap();
        assert!(heading.contains("      GPU") && heading.len() == row.len(), "{text}");
        assert!(text.contains("from model, NVML gpu-0"), "{text}");
    }
}
