//! Programs read reports: every command of the ledger and of its keys takes `--json`, prints one JSON
//! object with a `schema_version`, and says in it what it says in words.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::Value;

use crate::home::Home;

/// What `carbon-ops ARGUMENTS --json` printed, which has to be one object and exit with `code`.
fn report(home: &Home, arguments: &[&str], code: i32) -> Value {
    let done = home.does(&[arguments, &["--json"]].concat());
    assert_eq!(done.code(), code, "{arguments:?}: {} {}", done.text(), done.stderr);
    let report: Value = serde_json::from_str(&done.text())
        .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", done.text()));
    assert_eq!(report["schema_version"], 1, "{arguments:?}: {report:#}");
    report
}

#[test]
fn commands_that_make_a_ledger_and_its_records_report_in_json() {
    let home = Home::new();
    let made = report(&home, &["ledger", "init"], 0);
    let shown = report(&home, &["keys", "show"], 0);
    assert_eq!((&made["public_key"], &made["durability"]), (&shown["public_key"], &"sync".into()));
    home.record(&["--", "true"]);
    let corrected = ["ledger", "correct", "1", "--reason", "factor", "--retract"];
    let corrected = report(&home, &corrected, 0);
    assert_eq!((&corrected["seq"], &corrected["corrects"]), (&2.into(), &1.into()));
    let restated = ["ledger", "restate", "--records", "1-1", "--reason", "factor_improvement"];
    let change = ["--change", "intensity", "owid-2023", "owid-2024"];
    let restated = report(&home, &[&restated[..], &change].concat(), 0);
    assert_eq!((&restated["seq"], &restated["restates"]["last"]), (&3.into(), &1.into()));
    let times = ["--from", "2026-11-23T09:00:00Z", "--to", "2026-11-23T09:30:00Z"];
    let gap = [&["ledger", "gap", "--reason", "host_off"][..], &times].concat();
    let gap = report(&home, &gap, 0);
    assert_eq!(gap["seq"], 4);
    assert!(gap["gap"]["to_ts"].as_str().unwrap().starts_with("2026-11-23T09:30:00"), "{gap:#}");
    let beat = report(&home, &["ledger", "heartbeat", "--interval", "5m"], 0);
    assert!(beat["next_by"].is_string() && beat["seq"] == 5, "{beat:#}");
    let last = report(&home, &["ledger", "heartbeat", "--interval", "0s"], 0);
    assert!(last["next_by"].is_null() && last["seq"] == 6, "{last:#}");
    // Its hash is what the verifier finds at the end.
    let verified = report(&home, &["ledger", "verify"], 0);
    assert_eq!((&verified["head_hash"], &verified["lines"]), (&last["hash"], &7.into()));
}

#[test]
fn commands_about_what_was_signed_for_report_in_json() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let signed = report(&home, &["ledger", "checkpoint"], 0);
    std::fs::write(home.work("kept"), signed["checkpoint"].as_str().unwrap()).unwrap();
    home.record(&["--", "true"]);
    let sealed = report(&home, &["ledger", "seal"], 0);
    let segment = sealed["segment"].as_str().unwrap();
    assert!(home.ledger().join(segment).exists(), "{sealed:#}");
    assert!(report(&home, &["ledger", "seal"], 0)["segment"].is_null());
    assert!(report(&home, &["ledger", "log-key"], 0)["verifier_keys"].is_array());
    let proof = report(&home, &["ledger", "prove", "1"], 0);
    std::fs::write(home.work("1.proof"), proof["proof"].as_str().unwrap()).unwrap();
    let checked = report(&home, &["ledger", "check-proof", "1.proof"], 0);
    assert_eq!((&checked["seq"], &checked["root"]), (&proof["seq"], &proof["root"]));
    let filed = report(&home, &["ledger", "prove", "1", "--out", "2.proof"], 0);
    assert!(filed["proof"].is_null() && filed["file"] == "2.proof", "{filed:#}");
    let grown = report(&home, &["ledger", "consistency", "kept", "3"], 0);
    assert_eq!((&grown["status"], &grown["old"]["size"]), (&"consistent".into(), &2.into()));
    assert_eq!(grown["new"]["root"], proof["root"]);
    let beyond = report(&home, &["ledger", "consistency", "2", "9"], 2);
    assert!(beyond["reason"].as_str().unwrap().contains("has 3 lines"), "{beyond:#}");
    let packed = report(&home, &["ledger", "audit-pack", "--out", "all.pack"], 0);
    assert_eq!(packed["entries"], 3);
    assert_eq!(report(&home, &["ledger", "verify-pack", "all.pack"], 0)["status"], "valid");
}

#[test]
fn commands_about_keys_report_in_json() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let first = report(&home, &["keys", "show"], 0);
    let other = report(&home, &["keys", "generate", "other.pem"], 0);
    assert_eq!(other["encrypted"], false);
    let key = other["public_key"].as_str().unwrap();
    let trusted = report(&home, &["keys", "trust", key, "--comment", "theirs"], 0);
    assert_eq!(trusted["keys"][0]["change"], "added");
    let again = report(&home, &["keys", "trust", key], 0);
    assert_eq!(again["keys"][0]["change"], "there_already");
    let list = report(&home, &["keys", "trust", "--list"], 0);
    assert_eq!(list["keys"][0]["public_key"], key);
    assert_eq!(list["keys"][1]["public_key"], first["public_key"]);
    let removed = report(&home, &["keys", "trust", "--remove", key], 0);
    assert_eq!(removed["keys"][0]["change"], "removed");
    let proof = report(&home, &["keys", "prove"], 0);
    assert_eq!(proof["after_seq"], 1);
    assert!(proof["add"].as_str().unwrap().starts_with(first["public_key"].as_str().unwrap()));
    let rotated = report(&home, &["keys", "rotate"], 0);
    let entry = &rotated["entries"][0];
    assert_eq!((&entry["seq"], &entry["retired"][0]), (&2.into(), &first["public_key"]));
    assert_eq!(entry["added"][0], rotated["default_key"]);
    assert_eq!(report(&home, &["keys", "show"], 0)["public_key"], rotated["default_key"]);
}

#[test]
fn each_acknowledged_line_and_a_witness_that_begins_tell_it_in_json() {
    let home = Home::new();
    report(&home, &["ledger", "init"], 0);
    let mut command = home.carbon_ops(&["ledger", "append", "--json"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
    let done = crate::home::finish(child);
    let lines: Vec<Value> =
        done.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["schema_version"] == 1), "{lines:?}");
    assert_eq!(lines.iter().map(|line| &line["seq"]).collect::<Vec<_>>(), [1, 2]);
    let witness = ["witness", "init", "--dir", "w", "--name", "witness.example/w1"];
    let made = report(&home, &witness, 0);
    let log = home.does(&["ledger", "log-key"]).text();
    let serve = ["witness", "serve", "--dir", "w", "--listen", "127.0.0.1:0", "--json", "--log"];
    let mut child = home.carbon_ops(&[&serve[..], &[log.trim()]].concat()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let served: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(served["verifier_key"], made["verifier_key"]);
    assert!(served["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{served:#}");
}

/// 23 records of 30 lines are changed: the first is named first, 20 are named with line, seq and reason,
/// the others counted; and what no checkpoint covers is told.
#[test]
fn a_report_in_words_names_faults_in_order_counts_the_rest_and_tells_the_uncovered_tail() {
    let home = Home::new();
    report(&home, &["ledger", "init"], 0);
    report(&home, &["ledger", "heartbeat", "--interval", "0s"], 0);
    assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
    let mut child = home.carbon_ops(&["ledger", "append"]).stdin(Stdio::piped()).spawn().unwrap();
    let input: Vec<String> = (0..28).map(|n| format!("{{\"a\":{}}}\n", 1000 + n)).collect();
    child.stdin.take().unwrap().write_all(input.concat().as_bytes()).unwrap();
    assert_eq!(crate::home::finish(child).code(), 0);
    // The writer has signed for all at its end: only the earlier checkpoint is left.
    for name in ["signer.state", "checkpoint"] {
        std::fs::remove_file(home.ledger().join(name)).unwrap();
    }
    let log = home.ledger().join("checkpoints.log");
    let text = std::fs::read_to_string(&log).unwrap();
    let second = text
        .match_indices("carbon-ops/ledger/")
        .find(|(at, _)| *at > 0 && text.as_bytes()[at - 1] == b'\n');
    std::fs::write(&log, &text[..second.unwrap().0]).unwrap();
    let whole = home.does(&["ledger", "verify"]).text();
    assert!(whole.contains("the last 28 lines, from seq 2 on"), "{whole}");
    let lines = std::fs::read_to_string(home.ledger_file()).unwrap();
    let changed = (1005..1030).fold(lines, |lines, n| {
        lines.replacen(&format!("{{\"a\":{n},"), &format!("{{\"a\":{},", n + 1000), 1)
    });
    std::fs::write(home.ledger_file(), changed).unwrap();
    let done = home.does(&["ledger", "verify"]);
    assert_eq!(done.code(), 1);
    let text = done.text();
    let named: Vec<&str> = text.lines().filter(|line| line.starts_with("  line ")).collect();
    assert_eq!(named.len(), 20, "{text}");
    for (at, line) in (8..).zip(&named) {
        assert!(line.starts_with(&format!("  line {at}, seq {}: signature: ", at - 1)), "{line}");
    }
    assert!(text.contains("and 3 more faults; --json lists up to a thousand"), "{text}");
}

/// What an agent, a witness and a monitor say, one object a line, also where they cannot start.
#[test]
fn a_log_is_json_from_its_first_line() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = format!("agent --no-records --listen {}", taken.local_addr().unwrap());
    for (line, logger, hint) in [
        (agent.as_str(), "carbon_ops.agent", false),
        ("monitor --unit nowhere --count 1", "carbon_ops.monitor", true),
        ("witness serve --dir nowhere", "carbon_ops.witness", false),
    ] {
        let line = format!("\"$CARBON_OPS\" {line} --log-format json");
        let done = crate::home::done(&mut home.bash(&line));
        assert_eq!(done.code(), 2, "{line}: {}", done.stderr);
        let log: Vec<Value> =
            done.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = log.last().unwrap_or_else(|| panic!("{line}: nothing"));
        assert_eq!((&last["level"], &last["logger"]), (&"ERROR".into(), &logger.into()), "{line}");
        let message = last["message"].as_str().unwrap();
        assert!(!message.starts_with("carbon-ops: ") && !message.contains("hint:"), "{message}");
        assert_eq!(last["hint"].is_string(), hint, "{last}");
        assert!(last["timestamp"].as_str().unwrap().ends_with('Z'), "{last}");
    }
}
