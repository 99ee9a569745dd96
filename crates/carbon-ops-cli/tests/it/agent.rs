//! The agent from outside: what it accounts for, tells and writes, and what a signal, a kill and a mistake make of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::{Home, done, finish};
use crate::monitor::machine;

/// Waits until a file says so, which the agent replaces at each look.
pub(crate) fn until(path: &Path, such: impl Fn(&str) -> bool) -> String {
    loop {
        match fs::read_to_string(path) {
            Ok(text) if such(&text) => return text,
            _ => sleep(Duration::from_millis(5)),
        }
    }
}

/// The value of a series.
pub(crate) fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Ends an agent; its exit code and what it said.
pub(crate) fn ended(child: Child) -> String {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let done = finish(child);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    done.stderr
}

/// All records of the default ledger.
pub(crate) fn records(home: &Home) -> Vec<Value> {
    let verdict = home.does(&["ledger", "verify"]);
    assert_eq!(verdict.code(), 0, "{}", verdict.text());
    let text = fs::read_to_string(home.ledger_file()).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|line| line["type"] == "carbon_estimate").collect()
}

fn energy(record: &Value) -> u64 {
    let measured = &record["measurement"];
    let part = measured["part"].as_str().unwrap();
    measured["energy"][format!("{part}_uj")].as_u64().unwrap()
}

/// Of each interval: its records sum to the host.
fn add_up(records: &[Value]) {
    let mut intervals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for record in records {
        let host = record["measurement"]["energy"]["host_uj"].as_u64().unwrap();
        let of = intervals.entry(record["start_ts"].to_string()).or_insert((host, 0));
        assert_eq!(of.0, host);
        of.1 += energy(record);
    }
    assert!(!intervals.is_empty());
    assert!(intervals.values().all(|(host, sum)| host == sum), "{intervals:?}");
}

fn agent(home: &Home, machine: &str, more: &[&str]) -> Child {
    let common = ["agent", "--interval", "1h", "--tick", "100ms", "--host-root", machine];
    let mut command = home.carbon_ops(&[&common[..], &["--textfile", "c.prom"], more].concat());
    command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn each_unit_has_a_record_and_all_of_them_sum_to_the_host() {
    let home = Home::new();
    let machine = machine(&home);
    let agent = agent(&home, &machine, &["--listen", "off"]);
    let file = home.work("c.prom");
    until(&file, |text| value(text, "carbon_ops_looks_total") >= 1.0);
    // A second one is refused.
    let second = ["agent", "--host-root", &machine, "--listen", "off"];
    let second = done(&mut home.carbon_ops(&second));
    assert_eq!(second.code(), 2, "{}", second.stderr);
    assert!(second.stderr.contains("another agent"), "{}", second.stderr);
    let write = |path: &str, text: &str| {
        fs::write(home.path("machine").join(path), text).unwrap();
    };
    write("proc/10/stat", "10 (p10) S 1 0 0 0 0 0 0 0 0 0 50 0 10 0 0 0 0 0 10 0 2 0");
    write("proc/20/stat", "20 (p20) S 1 0 0 0 0 0 0 0 0 0 20 10 0 0 0 0 0 0 20 0 2 0");
    write("proc/stat", "cpu 1110 0 0 5000 0 20 0 0\ncpu0 1\ncpu1 1\n");
    let web = "carbon_ops_unit_energy_joules_total{kind=\"systemd\",unit=\"web.service\",slice=\"system.slice\"}";
    let text = until(&file, |text| value(text, web) > 0.0);
    let host: f64 = ["cpu", "memory"]
        .map(|domain| {
            value(&text, &format!("carbon_ops_host_energy_joules_total{{domain=\"{domain}\"}}"))
        })
        .iter()
        .sum();
    let parts =
        text.lines().filter(|line| line.starts_with("carbon_ops_unit_energy_joules_total{"));
    let parts: f64 =
        parts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert!((host - parts).abs() < 1e-6, "{text}");
    ended(agent);
    let records = records(&home);
    add_up(&records);
    let names: Vec<_> =
        records.iter().map(|record| record["unit"]["ids"]["unit"].as_str()).collect();
    assert!(names.contains(&Some("web.service")), "{names:?}");
    let show = home.does(&["ledger", "show"]).text();
    assert!(show.contains("web.service") && show.contains("(idle)"), "{show}");
    let sums = home.does(&["aggregate", "--by", "unit:unit", "--json", "--include-simulated"]);
    let sums: Value = serde_json::from_slice(&sums.stdout).unwrap();
    assert_eq!(sums["groups"]["web.service"]["count"], 1, "{sums:#}");
}

/// Totals go on where the process before was killed, and so do records.
#[test]
fn a_kill_takes_nothing_that_was_counted() {
    let home = Home::new();
    let machine = machine(&home);
    let file = home.work("c.prom");
    let idle = "carbon_ops_unit_energy_joules_total{kind=\"idle\",unit=\"\"}";
    let mut told = 0.0;
    for _ in 0..3 {
        let mut agent = agent(&home, &machine, &["--listen", "off"]);
        let text = until(&file, |text| value(text, idle) > told);
        told = value(&text, idle);
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    let last = agent(&home, &machine, &["--listen", "off"]);
    until(&file, |text| value(text, idle) > told);
    ended(last);
    let all = records(&home);
    add_up(&all);
    // A model has no totals: what was between is told as not known.
    let gaps = all.iter().filter(|record| record["notes"].to_string().contains("gap_before"));
    assert!(gaps.count() >= 3);
    let idle_uj: u64 =
        all.iter().filter(|it| it["measurement"]["part"] == "idle").map(energy).sum();
    let told = value(&fs::read_to_string(&file).unwrap(), idle);
    let idle = carbon_ops::Microjoules::new(idle_uj).as_joules();
    assert!((told - idle).abs() < 1e-5, "{told} {idle}");
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_are_served_to_whoever_asks_rightly() {
    let home = Home::new();
    let machine = machine(&home);
    let mut agent = agent(&home, &machine, &["--listen", "127.0.0.1:0", "--no-records"]);
    let mut err = BufReader::new(agent.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0);
    }
    let address = line.trim().split("http://").nth(1).unwrap().trim_end_matches("/metrics");
    until(&home.work("c.prom"), |text| value(text, "carbon_ops_looks_total") >= 1.0);
    // Who says nothing keeps nobody waiting.
    let silent: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    let get = |path: &str| {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    };
    let metrics = get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("version=0.0.4"), "{metrics}");
    assert!(metrics.contains("carbon_ops_host_energy_joules_total{domain=\"cpu\"}"), "{metrics}");
    assert!(get("/health").ends_with("ok\n"));
    assert!(get("/").starts_with("HTTP/1.1 404 "));
    let post =
        "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(ask(address, post).starts_with("HTTP/1.1 405 "));
    assert!(ask(address, "what?\r\n\r\n").starts_with("HTTP/1.1 400 "));
    drop(silent);
    ended(agent);
    assert!(!home.ledger_file().exists());
}

#[test]
fn what_is_typed_wrongly_is_refused() {
    let home = Home::new();
    for wrong in [
        &["--listen", "9464"][..],
        &["--interval", "10ms"],
        &["--tick", "1h"],
        &["--min-share", "101"],
        &["--region", "Atlantis"],
        &["--ledger", "none"],
        &["--ledger", "l", "--no-records"],
    ] {
        let refused = home.does(&[&["agent"], wrong].concat());
        assert_eq!(refused.code(), 2, "{wrong:?}: {}", refused.stderr);
    }
}

/// What `run` measured while an agent looked on is a part of the agent's records, and no more energy; unless one of
/// these is missing.
#[test]
fn what_an_agent_has_accounted_for_is_counted_once() {
    let home = Home::new();
    let common = ["agent", "--interval", "1h", "--tick", "100ms", "--listen", "off"];
    let mut command = home.carbon_ops(&[&common[..], &["--textfile", "c.prom"]].concat());
    let agent = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let file = home.work("c.prom");
    until(&file, |text| value(text, "carbon_ops_looks_total") >= 1.0);
    let own = home.record(&["--", "sleep", "0.2"]);
    ended(agent);
    let records = records(&home);
    let (of_run, of_agent): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record["record_id"] == own["record_id"]);
    assert_eq!(of_run.len(), 1);
    let kwh = |records: &[&Value]| -> f64 {
        records.iter().map(|record| record["energy_kwh"].as_f64().unwrap()).sum()
    };
    let sums = |text: &str| -> Value {
        fs::write(home.work("all.ndjson"), text).unwrap();
        serde_json::from_slice(&home.does(&["aggregate", "all.ndjson", "--json"]).stdout).unwrap()
    };
    let lines = |records: &[Value]| -> String {
        records.iter().flat_map(|record| [record.to_string(), "\n".to_owned()]).collect()
    };
    // An interval ends with each hour.
    let ends: Vec<_> = of_agent.iter().map(|record| record["end_ts"].as_str().unwrap()).collect();
    assert!(ends.iter().max().unwrap() >= &own["end_ts"].as_str().unwrap(), "{ends:?}");
    let whole = &sums(&lines(&records))["all"];
    assert_eq!(whole["left_out"]["nested"]["records"], 1, "{whole:#}");
    assert!(whole["overlaps"].is_null(), "{whole:#}");
    let total = whole["total_energy_kwh"].as_f64().unwrap();
    assert!((total - kwh(&of_agent)).abs() <= 1e-8 * total, "{total} {}", kwh(&of_agent));
    let idle = |record: &&Value| record["measurement"]["part"] != "idle";
    let cut: Vec<Value> = records.iter().filter(idle).cloned().collect();
    let cut_sums = &sums(&lines(&cut))["all"];
    assert!(cut_sums["left_out"].is_null(), "{cut_sums:#}");
    assert_eq!(cut_sums["count"], cut.len(), "{cut_sums:#}");
}
