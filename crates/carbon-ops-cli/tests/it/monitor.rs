//! `monitor`: every sample adds up, and a busy process gets what it used.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::{Done, Home, assert_near, decimal, done, double, finish, has};
use carbon_ops_testkit::simulator::Simulator;

/// Nanoseconds of a decimal string.
fn ns(value: &Value) -> f64 {
    Duration::from_nanos(decimal(value)).as_secs_f64() * 1e9
}

fn samples(done: &Done) -> Vec<Value> {
    let text = done.text();
    let samples: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    samples.iter().for_each(adds_up);
    samples
}

/// Rows and residuals are the host's energy, and so are its domains.
pub(crate) fn adds_up(sample: &Value) {
    let of = |list: &Value| -> u64 {
        list.as_array().unwrap().iter().map(|one| one["energy_uj"].as_u64().unwrap()).sum()
    };
    let residuals = sample["residuals"].as_object().unwrap().values();
    let residuals: u64 = residuals.map(|energy| energy.as_u64().unwrap()).sum();
    let host = sample["host"]["energy_uj"].as_u64().unwrap();
    assert!(host > 0, "{sample:#}");
    assert_eq!(of(&sample["rows"]) + residuals, host, "{sample:#}");
    assert_eq!(of(&sample["host"]["domains"]), host, "{sample:#}");
    assert_eq!(sample["schema_version"], 2);
    let ratios = sample["rows"].as_array().unwrap().iter();
    let ratios: f64 = ratios.map(|row| double(&row["allocation_ratio"])).sum();
    assert!((0.0..=1.000_001).contains(&ratios), "{sample:#}");
}

fn watched(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let done = home.does(&[&["monitor", "--json"], arguments].concat());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    samples(&done)
}

/// The rule: samples telescope, and a joule of theirs counts once: in copies, and in what a host's energy holds.
#[test]
fn samples_add_up_to_the_energy_of_their_host() {
    let home = Home::new();
    let options = ["--all", "--count", "3", "--interval", "50ms", "--limit", "2", "--region", "DE"];
    let samples = watched(&home, &options);
    for pair in samples.windows(2) {
        assert_eq!(pair[0]["timestamp"], pair[1]["start_ts"]);
    }
    let lines: Vec<String> = samples.iter().map(Value::to_string).collect();
    let lines = lines.join("\n") + "\n";
    fs::write(home.work("samples"), &lines).unwrap();
    fs::write(home.work("twice"), lines.clone() + &lines).unwrap();
    let sum = |more: &[&str]| -> Value {
        let done = home.does(&[&["aggregate", "--json"], more].concat());
        assert_eq!(done.code(), 0, "{}", done.stderr);
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let near = |value: &Value, expected: f64| assert_near(double(value), expected, 1e-8, "the sum");
    let of_hosts = |member: fn(&Value) -> &Value| -> f64 {
        samples.iter().map(|sample| double(member(&sample["host"]))).sum()
    };
    let (uj, grams) =
        (of_hosts(|host| &host["energy_uj"]), of_hosts(|host| &host["carbon"]["grams"]));
    for files in [&["samples"][..], &["samples", "samples"], &["twice"]] {
        let all = &sum(files)["all"];
        assert_eq!(all["count"], 3);
        near(&all["total_energy_kwh"], uj / 3.6e12);
        near(&all["total_grams"], grams);
        // One error of the grid, and not three.
        let u = double(&samples[0]["host"]["carbon"]["uncertainty_pct"]);
        assert!(double(&all["relative_uncertainty_pct"]) > 0.9 * u, "{all:#}");
        assert!(all.get("overlaps").is_none(), "{all:#}");
    }
    let by_name = sum(&["samples", "--by", "label:name"]);
    near(&by_name["all"]["total_energy_kwh"], uj / 3.6e12);
    near(&by_name["groups"]["(none)"]["total_energy_kwh"], uj / 3.6e12);
    let rows = samples.iter().flat_map(|sample| sample["rows"].as_array().unwrap());
    let mut names = std::collections::BTreeMap::<&str, f64>::new();
    for row in rows {
        *names.entry(row["name"].as_str().unwrap()).or_default() += double(&row["energy_uj"]);
    }
    for (name, uj) in names {
        let kwh = double(&by_name["groups"][name]["total_energy_kwh"]);
        assert!((kwh - uj / 3.6e12).abs() <= 1e-8 * kwh, "{name} {uj} {by_name:#}");
    }
}

/// Waits until a monitor has looked for the first time: it blocks its signals then.
fn watches(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    while !fs::read_to_string(&status).unwrap().contains("SigBlk:\t0000000000004003") {
        sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn a_busy_process_is_seen_to_use_its_cpu_and_its_share() {
    let home = Home::new();
    let mut busy = home.bash("while :; do :; done").spawn().unwrap();
    let samples =
        watched(&home, &["--pid", &busy.id().to_string(), "--interval", "500ms", "--count", "3"]);
    let everything = watched(&home, &["--all", "--interval", "500ms", "--count", "1"]);
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert_eq!(samples.len(), 3);
    for sample in &samples {
        let row = &sample["rows"][0];
        // Others share the machine, and may take as much of it as they like.
        let percent = double(&row["cpu_percent"]);
        assert!(percent > 0.0 && percent < 105.0, "{sample:#}");
        let ratio = ns(&row["cpu_time_ns"]) / ns(&sample["cpu"]["busy_ns"]);
        assert_near(double(&row["allocation_ratio"]), ratio, 1e-6, "share");
        assert!(row["energy_uj"].as_u64().unwrap() > 0, "{sample:#}");
    }
    // A sample may come late, never early.
    let elapsed: f64 = samples.iter().map(|sample| ns(&sample["elapsed_ns"])).sum();
    assert!(elapsed > 1.4e9, "{elapsed} ns");
    let rows = everything[0]["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["pid"] == busy.id()), "{everything:#?}");
}

#[test]
fn without_counters_the_energy_is_a_models_and_says_so() {
    let home = Home::new();
    let nowhere = home.path("nowhere").display().to_string();
    let samples = watched(&home, &["--all", "--powercap-root", &nowhere, "--duration", "100ms"]);
    assert_eq!(samples.len(), 1);
    let sample = &samples[0];
    assert_eq!(sample["attribution_mode"], "monitor_only");
    assert_eq!((&sample["host"]["source"], &sample["simulated"]), (&"model".into(), &true.into()));
    assert_ne!(sample["quality"], "measured");
    assert!(sample["host"]["reason"].as_str().unwrap().contains("nowhere"), "{sample:#}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let home = Home::new();
    for (arguments, said) in [
        (&["--pid", "2000000000"][..], "no process 2000000000"),
        (&["--pid", "0"], "--pid"),
        (&["--cgroup", "/no/such"], "/no/such"),
        (&["--cgroup", "/a/../.."], ".."),
        (&["--unit", "no-such"], "no-such"),
        (&[], "--pid"),
        (&["--all", "--pid", "1"], "--all"),
        (&["--all", "--interval", "0s"], "zero"),
        (&["--all", "--interval=-1s"], "not a duration"),
        (&["--all", "--interval", "9ms"], "10ms"),
        (&["--all", "--interval", "25h"], "24h"),
        (&["--all", "--interval", "0.001"], "10ms"),
        (&["--all", "--interval", "soon"], "not a duration"),
        (&["--all", "--count", "0"], "count"),
        (&["--all", "--count", "1", "--duration", "1s"], "--duration"),
    ] {
        let done = home.does(&[&["monitor"], arguments].concat());
        assert_eq!(done.code(), 2, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{arguments:?}: {}", done.stderr);
        assert!(done.stdout.is_empty());
    }
}

#[test]
fn it_ends_with_the_process_it_watches() {
    let home = Home::new();
    // It lives until its input ends.
    let mut short = home.program("cat").stdin(Stdio::piped()).spawn().unwrap();
    let arguments = ["monitor", "--json", "--interval", "1h", "--pid", &short.id().to_string()];
    let child = home.carbon_ops(&arguments).spawn().unwrap();
    watches(&child);
    drop(short.stdin.take());
    short.wait().unwrap();
    let done = finish(child);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let samples = samples(&done);
    assert_eq!(samples.len(), 1);
    assert!(has(&samples[0], "notes", "partial"), "{samples:#?}");
}

#[test]
fn a_signal_ends_it_with_a_last_sample() {
    for ending in [Signal::SIGINT, Signal::SIGTERM] {
        let home = Home::new();
        let child =
            home.carbon_ops(&["monitor", "--all", "--json", "--interval", "1h"]).spawn().unwrap();
        watches(&child);
        signal(&child, ending);
        let done = finish(child);
        assert_eq!((done.code(), samples(&done).len()), (0, 1), "{}", done.stderr);
    }
}

#[test]
fn a_reader_that_goes_is_success() {
    let home = Home::new();
    let line = r#""$CARBON_OPS" monitor --all --interval 10ms | head -1 > /dev/null
        echo "${PIPESTATUS[0]}""#;
    assert_eq!(done(&mut home.bash(line)).text(), "0\n");
}

#[test]
fn the_table_fits_eighty_columns_and_has_no_control_characters() {
    let home = Home::new();
    for target in [&["--all"][..], &["--cgroup", "/"]] {
        let options = ["monitor", "--interval", "50ms", "--count", "2"];
        let done = home.does(&[&options[..], target].concat());
        if target[0] == "--cgroup" && done.code() == 2 {
            carbon_ops_testkit::skip::skip("cgroup", "there is no cgroup filesystem");
            continue;
        }
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let text = done.text();
        assert!(!text.contains('\x1b') && text.contains("POWER"), "{text}");
        // The line on the source names what it is not, at any length.
        let rows = text.lines().filter(|line| !line.contains("energy of"));
        rows.for_each(|line| assert!(line.chars().count() <= 80, "{line:?}"));
    }
}

/// A machine in a folder: 2 CPUs, a service of two processes, another process.
pub(crate) fn machine(home: &Home) -> String {
    let write = |path: &str, text: &str| {
        carbon_ops_testkit::host::file(&home.path("machine"), path, text);
    };
    write("proc/stat", "cpu 1000 0 0 5000 0 10 0 0\ncpu0 1\ncpu1 1\n");
    write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 250 kB\n");
    for (pid, parent, cgroup) in
        [(1, 0, "/init.scope"), (10, 1, "/system.slice/web.service"), (20, 1, "/user.slice")]
    {
        let stat =
            format!("{pid} (p{pid}) S {parent} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 {pid} 0 2 0");
        write(&format!("proc/{pid}/stat"), &stat);
        write(&format!("proc/{pid}/cgroup"), &format!("0::{cgroup}\n"));
    }
    write("sys/fs/cgroup/system.slice/web.service/cpu.stat", "usage_usec 5000000\n");
    home.path("machine").display().to_string()
}

/// Never a zero that was unknown: nor for the memory's size, nor for its energy.
#[test]
fn memory_that_a_machine_does_not_tell_is_null_and_noted_and_draws_power() {
    let home = Home::new();
    let machine = machine(&home);
    let sample = || {
        let options = ["monitor", "--json", "--interval", "200ms", "--count", "1", "--all"];
        let done = done(&mut home.carbon_ops(&[&options[..], &["--host-root", &machine]].concat()));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        samples(&done).remove(0)
    };
    let told = sample();
    assert_eq!(told["memory"]["total_bytes"], 1000 * 1024);
    assert_eq!(told["memory"]["used_bytes"], 750 * 1024);
    assert!(!has(&told, "notes", "unseen_memory"));
    fs::remove_file(home.path("machine/proc/meminfo")).unwrap();
    let silent = sample();
    for member in ["total_bytes", "available_bytes", "used_bytes"] {
        assert!(silent["memory"][member].is_null(), "{}", silent["memory"]);
    }
    assert!(has(&silent, "notes", "unseen_memory"), "{}", silent["notes"]);
    assert_eq!(silent["quality"], "fallback");
    let memory = &silent["host"]["domains"][1];
    assert_eq!(memory["name"], "memory");
    // Of the two CPUs that /proc/stat tells of: 8 GiB, 2.15 W.
    let seconds = Duration::from_nanos(decimal(&silent["elapsed_ns"])).as_secs_f64();
    let watts = memory["energy_uj"].as_f64().unwrap() / 1e6 / seconds;
    assert!((watts - 2.1475).abs() < 0.01, "{watts} W");
}

/// The service uses 600 ms of CPU time, 100 ms of it by children that ended; the other process 300 ms;
/// interrupts 100 ms. All of 1.2 s is the machine's busy time.
#[test]
fn on_a_machine_of_known_times_shares_are_those_times() {
    let home = Home::new();
    let machine = machine(&home);
    for (target, expected, rest) in [
        (&["--unit", "web"][..], &[("web.service", 0.5)][..], "others_uj"),
        (&["--cgroup", "/system.slice"], &[("/system.slice", 0.0)], "others_uj"),
        (&["--pid", "10"], &[("p10", 0.5)], "others_uj"),
        (&["--all"], &[("p10", 0.5), ("p20", 0.25)], "unattributed_uj"),
        (
            &["--all", "--by", "unit"],
            &[("web.service", 0.5), ("user.slice", 0.25)],
            "unattributed_uj",
        ),
    ] {
        self::machine(&home);
        let options = ["monitor", "--json", "--interval", "1h"];
        let all = [&options[..], &["--host-root", &machine], target].concat();
        let child = home.carbon_ops(&all).stdout(Stdio::piped()).spawn().unwrap();
        watches(&child);
        let write = |path: &str, text: &str| {
            fs::write(home.path("machine").join(path), text).unwrap();
        };
        write("proc/stat", "cpu 1110 0 0 5000 0 20 0 0\ncpu0 1\ncpu1 1\n");
        write("proc/10/stat", "10 (p10) S 1 0 0 0 0 0 0 0 0 0 50 0 10 0 0 0 0 0 10 0 2 0");
        write("proc/20/stat", "20 (p20) S 1 0 0 0 0 0 0 0 0 0 20 10 0 0 0 0 0 0 20 0 2 0");
        write("sys/fs/cgroup/system.slice/web.service/cpu.stat", "usage_usec 5600000\n");
        // All files are as they will be when it looks again.
        signal(&child, Signal::SIGTERM);
        let done = finish(child);
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let sample = &samples(&done)[0];
        assert_eq!(decimal(&sample["cpu"]["busy_ns"]), 1_200_000_000);
        assert_eq!(sample["memory"]["used_bytes"], 750 * 1024);
        for (row, (name, ratio)) in sample["rows"].as_array().unwrap().iter().zip(expected) {
            if *ratio > 0.0 {
                assert_eq!(row["name"], *name, "{sample:#}");
                assert_near(double(&row["allocation_ratio"]), *ratio, 1e-9, name);
            }
        }
        let residuals = &sample["residuals"];
        let active = double(&sample["host"]["energy_uj"]) - double(&residuals["idle_uj"]);
        // A twelfth, to the uJ that it is rounded to, however short the window was.
        let kernel = double(&residuals["kernel_uj"]);
        assert!((kernel - active / 12.0).abs() <= 1.0, "{kernel} of {active}");
        assert!(residuals[rest].as_u64().unwrap() > 0, "{sample:#}");
    }
}

/// 65 W and 8 W, on counters that wrap about every second, seen through intervals of two seconds.
#[test]
fn counters_that_wrap_between_samples_are_counted_in_full() {
    // Five seconds to a wrap: a busy machine lets a reader look in between.
    let options = ["--max", "325000000", "-d", "0=package-0@65", "-d", "0:0=dram@8"];
    let Some(simulator) = Simulator::start(&options) else { return };
    let home = Home::new();
    let powercap = simulator.powercap();
    let samples = watched(&home, &["--all", &powercap, "--interval", "6s", "--count", "2"]);
    assert_eq!(samples.len(), 2);
    for sample in &samples {
        assert_eq!(sample["attribution_mode"], "cpu_time", "{sample:#}");
        assert_eq!(
            (&sample["host"]["source"], &sample["quality"]),
            (&"sysfs".into(), &"measured".into())
        );
        assert_near(double(&sample["host"]["power_w"]), 73.0, 0.01, "power");
    }
}

#[test]
fn a_counter_that_fails_is_a_gap_and_its_energy_comes_later() {
    let Some(simulator) = Simulator::start(&["-d", "0=package-0@50"]) else { return };
    let home = Home::new();
    let powercap = simulator.powercap();
    let arguments = ["monitor", "--json", "--all", &powercap, "--interval", "500ms"];
    let mut child = home.carbon_ops(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut samples = Vec::new();
    // A sample before, three while it fails, which is longer than a short failure, and two after.
    for (count, order) in [(1, "fail package-0 eio"), (3, "fail package-0 ok"), (2, "")] {
        for line in lines.by_ref().take(count) {
            samples.push(serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        }
        simulator.order(order);
    }
    signal(&child, Signal::SIGTERM);
    samples.extend(lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()));
    assert!(child.wait().unwrap().success());
    let gaps = samples.iter().filter(|sample| sample["gaps"] != serde_json::json!([]));
    let gaps: Vec<_> = gaps.collect();
    assert!(!gaps.is_empty() && gaps.len() < samples.len(), "{samples:#?}");
    assert!(gaps.iter().all(|sample| sample["quality"] == "estimated"), "{gaps:#?}");
    let sum = |member: fn(&Value) -> f64| samples.iter().map(member).sum::<f64>();
    let energy = sum(|sample| double(&sample["host"]["energy_uj"])) / 1e6;
    let seconds = sum(|sample| ns(&sample["elapsed_ns"])) / 1e9;
    assert_near(energy, 50.0 * seconds, 0.02, "energy over the gap");
}
