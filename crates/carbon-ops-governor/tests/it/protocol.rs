//! What the socket and the page say, and to whom.

use std::collections::BTreeSet;
use std::fs;
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use carbon_ops_meter::client::{ClientError, Governor as Client};
use carbon_ops_meter::snapshot::Snapshot;
use serde_json::Value;

use crate::as_user::{NOBODY, as_nobody};
use crate::governor::{Line, Place, number};
use carbon_ops_testkit::simulator::{Simulator, USUAL};
use carbon_ops_testkit::skip::root;

/// Nobody's group may connect.
const OPEN: [&str; 2] = ["--socket-group=65534", "--socket-mode=660"];

#[test]
fn a_request_ends_at_a_newline_or_with_the_clients_writing() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    for (request, status) in [
        ("", "ok"),
        ("{}", "ok"),
        ("{}\n", "ok"),
        (r#"{"request":"health"}"#, "ok"),
        ("x", "error"),
    ] {
        let mut line = governor.line();
        line.send(request.as_bytes()).unwrap();
        line.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(line.receive().unwrap()["status"], status, "{request}");
        assert!(line.is_closed(), "{request}");
    }
    // One byte at a time, and then a second request on the same connection.
    let mut line = governor.line();
    for byte in b"{\"request\":\"health\"}\n" {
        line.send(&[*byte]).unwrap();
    }
    assert!(line.receive().unwrap()["sampler"].is_object());
    assert!(line.ask("{}").unwrap()["totals_uj"].is_object());
}

#[test]
fn requests_sent_at_once_are_answered_in_their_order() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    let mut line = governor.line();
    for _ in 0..3 {
        line.send(b"{}\n{\"request\":\"topology\"}\n\n{\"request\":\"health\"}\n{").unwrap();
        assert!(line.receive().unwrap()["totals_uj"].is_object());
        assert!(line.receive().unwrap()["topology"].is_object());
        assert!(line.receive().unwrap()["totals_uj"].is_object());
        assert!(line.receive().unwrap()["sampler"].is_object());
        line.send(b"}\n").unwrap();
        assert!(line.receive().unwrap()["totals_uj"].is_object());
    }
    // More at once than the socket holds of answers.
    let many = 3000;
    line.send("{}\n".repeat(many).as_bytes()).unwrap();
    for answer in 0..many {
        assert_eq!(line.receive().unwrap()["status"], "ok", "{answer}");
    }
}

#[test]
fn a_subscriber_gets_as_many_new_samples_as_it_asked_for() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap(), "--poll-interval=50ms"]);
    let mut line = governor.line();
    let first = line.ask(r#"{"request":"subscribe","interval_ms":100,"count":4}"#).unwrap();
    let (begun, mut seq) = (Instant::now(), number(&first["seq"]));
    for _ in 0..3 {
        let next = number(&line.receive().unwrap()["seq"]);
        assert!(next > seq, "{next} after {seq}");
        seq = next;
    }
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    // Nothing comes after the last, and the connection is of use still.
    assert!(line.ask(r#"{"request":"topology"}"#).unwrap()["topology"].is_object());
    // A client that has done with writing may go on reading.
    let mut line = governor.line();
    line.send(b"{\"request\":\"subscribe\",\"interval_ms\":50,\"count\":5}").unwrap();
    line.stream().shutdown(Shutdown::Write).unwrap();
    for answer in 0..5 {
        assert_eq!(line.receive().unwrap()["status"], "ok", "{answer}");
    }
    assert!(line.is_closed());
}

#[test]
fn what_is_no_request_gets_a_reason_and_the_end() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    let long = "x".repeat(1024);
    for (request, reason) in [
        ("[]", "no JSON object"),
        ("{", "not a request"),
        ("{\"request\":\"reset\"}", "must be"),
        ("{\"request\":\"subscribe\",\"interval_ms\":0}", "interval_ms must lie"),
        ("{\"count\":1}", "takes no"),
        ("GET / HTTP/1.1\r", "no JSON object"),
        (long.as_str(), "at most 1024 bytes"),
    ] {
        let mut line = governor.line();
        line.send(format!("{request}\n").as_bytes()).unwrap();
        let answer = line.receive().unwrap();
        assert_eq!(answer["status"], "error", "{request}");
        assert!(answer["error"].as_str().unwrap().contains(reason), "{request}: {answer}");
        assert!(line.is_closed(), "{request}");
    }
    assert_eq!(number(&governor.health()["clients"]["bad_requests"]), 7);
}

#[test]
fn one_user_cannot_take_all_places() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&[simulator.powercap().as_str()], &OPEN[..]].concat());
    let lines: Vec<Line> = as_nobody(|| {
        let mut lines = Vec::new();
        for _ in 0..64 {
            let mut line = governor.line();
            line.ask("{}").unwrap();
            lines.push(line);
        }
        let refused = governor.line().receive().unwrap();
        assert!(refused["error"].as_str().unwrap().contains("of this user"), "{refused}");
        lines
    });
    assert_eq!(governor.snapshot()["status"], "ok");
    drop(lines);
    as_nobody(|| assert_eq!(governor.snapshot()["status"], "ok"));
}

/// What a subscriber at the shortest interval sees in 2 s.
fn watch(line: &mut Line) -> Vec<Value> {
    line.send(b"{\"request\":\"subscribe\",\"interval_ms\":1}\n").unwrap();
    let begun = Instant::now();
    let mut seen = Vec::new();
    while begun.elapsed() < Duration::from_secs(2) {
        seen.push(line.receive().unwrap());
    }
    seen
}

fn totals(snapshot: &Value) -> impl Iterator<Item = u64> {
    let maps = ["totals_uj", "deltas_uj", "counters_uj"];
    maps.into_iter().flat_map(|map| snapshot[map].as_object().unwrap().values().map(number))
}

#[test]
fn other_users_see_ten_coarse_totals_a_second_and_root_sees_all() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    let options = [&[powercap.as_str(), "--poll-interval=1ms"], &OPEN[..]].concat();
    let governor = place.start(&options);
    let coarse = as_nobody(|| watch(&mut governor.line()));
    assert!(coarse.iter().flat_map(totals).all(|total| total.is_multiple_of(10_000)));
    assert_eq!(coarse[0]["quantum_uj"], 10_000);
    let times: BTreeSet<u64> = coarse.iter().map(|seen| number(&seen["boottime_ns"])).collect();
    let steps: Vec<u64> = times.iter().zip(times.iter().skip(1)).map(|(a, b)| b - a).collect();
    assert!(steps.iter().all(|step| *step >= 99_800_000), "{steps:?}");
    assert!(times.len() >= 5, "{}", times.len());
    // However often it asks.
    let asked = as_nobody(|| {
        let begun = Instant::now();
        let mut line = governor.line();
        let mut seen = BTreeSet::new();
        while begun.elapsed() < Duration::from_secs(1) {
            seen.insert(totals(&line.ask("{}").unwrap()).collect::<Vec<_>>());
        }
        seen.len()
    });
    assert!((2..=12).contains(&asked), "{asked}");
    let exact = watch(&mut governor.line());
    assert_eq!(exact[0]["quantum_uj"], 1);
    assert!(exact.iter().flat_map(totals).any(|total| !total.is_multiple_of(10_000)));
    assert!(exact.len() > 100, "{}", exact.len());
}

#[test]
fn the_page_has_the_permissions_and_the_values_of_the_socket() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    let options = [&[powercap.as_str()], &OPEN[..]].concat();
    let governor = place.start(&options);
    let page = place.path("state/snapshot");
    assert_eq!(governor.snapshot()["page"], page.to_str().unwrap());
    let socket = fs::metadata(place.socket()).unwrap();
    let metadata = fs::metadata(&page).unwrap();
    assert_eq!((socket.mode() & 0o777, socket.gid()), (0o660, NOBODY));
    assert_eq!((metadata.mode() & 0o777, metadata.gid(), metadata.uid()), (0o640, NOBODY, 0));
    assert_eq!(fs::metadata(place.path("state/state")).unwrap().mode() & 0o777, 0o600);
    as_nobody(|| {
        let open = |name: &str, write: bool| {
            fs::File::options().read(true).write(write).open(place.path(name)).is_ok()
        };
        assert!(open("state/snapshot", false) && !open("state/snapshot", true));
        assert!(!open("state/state", false));
        let (mut client, _) = Client::connect(&place.socket(), Duration::from_secs(5)).unwrap();
        assert!(client.is_mapped());
        let mut mapped = Snapshot::default();
        // Until no publication came in between.
        let same = (0..50).any(|_| {
            client.read(&mut mapped, Duration::ZERO).unwrap();
            let line = client.ask(&carbon_ops_meter::protocol::Request::Snapshot).unwrap();
            // An object has its members by name, the page in the order of discovery.
            mapped.domains.sort_by_key(|domain| domain.key.to_string());
            carbon_ops_meter::protocol::parse_snapshot(&line).unwrap().0 == mapped
        });
        assert!(same, "{mapped:?}");
        let coarse = |total: u64| total.is_multiple_of(10_000);
        assert!(mapped.domains.iter().all(|domain| coarse(domain.total.as_microjoules())));
    });
}

#[test]
fn trusted_users_see_what_root_sees_and_others_may_not_connect() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    let trusts = [&[powercap.as_str(), "--trusted-uids=7,65534"], &OPEN[..]].concat();
    let mut governor = place.start(&trusts);
    as_nobody(|| assert_eq!(governor.snapshot()["quantum_uj"], 1));
    assert_eq!(governor.stop(), 0);
    let governor = place.start(&[&powercap, "--socket-group=0"]);
    as_nobody(|| {
        let error = Client::connect(&place.socket(), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, ClientError::Denied { .. }), "{error}");
        assert!(fs::File::open(place.path("state/snapshot")).is_err());
    });
    assert_eq!(governor.snapshot()["status"], "ok");
}

/// Both are what a record of the workload subtracts: they must be of this process's boot.
#[test]
fn without_ipc_there_is_neither_socket_nor_page_and_the_state_is_kept() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    if !root() {
        return;
    }
    let place = Place::new();
    let mut command = place.command(&[&simulator.powercap(), "--disable-ipc"]);
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while fs::metadata(place.path("state/state")).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", place.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(!place.socket().exists() && !place.path("state/snapshot").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let governor = place.start(&[&simulator.powercap()]);
    assert!(number(&governor.snapshot()["seq"]) > 2, "{}", governor.snapshot());
}
