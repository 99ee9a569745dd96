//! Ledgers that go on where others ended: nothing that stood is lost, sums count each record once, and a verifier
//! follows them from one to the next.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::home::{Done, Home, lines};

/// A home whose default ledger has so many records.
fn with_records(count: usize) -> Home {
    let home = Home::new();
    for number in 0..count {
        home.record(&["--label", &format!("n={number}"), "--", "true"]);
    }
    home
}

/// Where the default ledger went that another took the place of.
fn aside(home: &Home) -> PathBuf {
    let name =
        format!("ledger.{}", &home.lines()[0]["continues"]["ledger_id"].as_str().unwrap()[..8]);
    home.ledger().with_file_name(name)
}

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr))
}

/// How many records sums count in these ledgers.
fn counted(home: &Home, ledgers: &[&str]) -> u64 {
    let done = home.does(&[&["aggregate", "--json"], ledgers].concat());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    json(&done)["all"]["count"].as_u64().unwrap_or_else(|| panic!("{}", done.text()))
}

fn go_on(home: &Home, more: &[&str]) -> Value {
    let old = home.ledger().display().to_string();
    let done = home.does(&[&["ledger", "init", "--json", "--continues", &old], more].concat());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    json(&done)
}

fn change(home: &Home, line: usize, from: &str, to: &str) {
    let text = fs::read_to_string(home.ledger_file()).unwrap();
    let changed = text.lines().enumerate().map(|(number, text)| {
        let text = if number + 1 == line { text.replacen(from, to, 1) } else { text.to_owned() };
        text + "\n"
    });
    let changed: String = changed.collect();
    assert_ne!(text, changed);
    fs::write(home.ledger_file(), changed).unwrap();
}

#[test]
fn a_lost_key_is_said_with_the_way_on_and_the_next_run_goes_on() {
    let home = with_records(2);
    fs::remove_file(home.key()).unwrap();
    let run = home.does(&["run", "--", "true"]);
    assert_eq!(run.code(), 0);
    assert!(run.stderr.contains("ledger init --continues"), "{}", run.stderr);
    let begun = go_on(&home, &[]);
    // The record of the run without a key.
    assert_eq!((&begun["carried"], &begun["complete"]), (&1.into(), &false.into()));
    let pin = &home.lines()[0]["continues"];
    assert_eq!((&pin["reason"], &pin["verdict"]), (&"key_lost".into(), &"untrusted".into()));
    assert_eq!(pin["size"], 3);
    home.record(&["--", "true"]);
    let verified = home.does(&["ledger", "verify"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    assert!(verified.text().contains("that is still so, byte for byte"), "{}", verified.text());
    // Its owner still knows the first key, and trusts it by hand.
    let old = aside(&home);
    let key = lines(&old.join("ledger.ndjson"))[0]["signing_key"].as_str().unwrap().to_owned();
    assert_eq!(home.does(&["keys", "trust", &key]).code(), 0);
    let (old, new) = (old.display().to_string(), home.ledger().display().to_string());
    assert_eq!(counted(&home, &[&old, &new]), 4);
    // The old one takes no more.
    let closed = home.does(&["run", "--ledger", &old, "--", "true"]);
    assert_eq!(closed.code(), 125);
    assert!(closed.stderr.contains("is closed"), "{}", closed.stderr);
}

#[test]
fn what_stands_of_a_damaged_ledger_is_carried_over_with_its_corrections() {
    let home = with_records(4);
    assert_eq!(
        home.does(&["ledger", "correct", "1", "--retract", "--reason", "duplicate"]).code(),
        0
    );
    change(&home, 3, "\"tool\"", "\"t00l\"");
    assert_eq!(home.does(&["ledger", "verify"]).code(), 1);
    let begun = go_on(&home, &[]);
    assert_eq!(
        (&begun["carried"], &begun["left"], &begun["complete"]),
        (&2.into(), &0.into(), &true.into())
    );
    let pin = &begun["continues"];
    assert_eq!(
        (&pin["reason"], &pin["size"], &pin["verdict"]),
        (&"damaged".into(), &2.into(), &"tampered".into())
    );
    let verified = home.does(&["ledger", "verify", "--json"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    let report = json(&verified);
    assert_eq!(report["turn_back_count"], Value::Null);
    assert_eq!(report["before"][0]["holds"], true);
    assert_eq!(counted(&home, &[]), 2);
    // What stood behind the damage, and neither the retracted record nor the broken one.
    let labels: Vec<_> =
        home.records().iter().map(|record| record["labels"]["n"].clone()).collect();
    assert_eq!(labels, ["2", "3"]);
}

#[test]
fn a_chain_of_ledgers_is_followed_and_a_false_one_is_not_believed() {
    let home = with_records(1);
    for reason in ["superseded", "superseded"] {
        go_on(&home, &["--reason", reason]);
        home.record(&["--", "true"]);
    }
    let report = json(&home.does(&["ledger", "verify", "--json"]));
    let chain = report["before"].as_array().unwrap();
    assert_eq!(chain.len(), 2);
    assert!(
        chain.iter().all(|link| link["holds"] == true && link["trusted"] == true),
        "{chain:#?}"
    );
    let first = PathBuf::from(chain[1]["path"].as_str().unwrap());
    // Whoever writes behind the end of the old one breaks nothing.
    let mut text = fs::read_to_string(&first).unwrap();
    text.push_str("something else\n");
    fs::write(&first, &text).unwrap();
    let done = home.does(&["ledger", "verify"]);
    assert_eq!(done.code(), 0, "{}", done.text());
    assert!(done.text().contains("what stands behind them changed"), "{}", done.text());
    // A changed line of it does.
    fs::write(&first, text.replacen("\"tool\"", "\"t00l\"", 2)).unwrap();
    let done = home.does(&["ledger", "verify"]);
    assert_eq!(done.code(), 1, "{}", done.text());
    assert!(done.text().contains("IT IS NOT THAT LEDGER"), "{}", done.text());
    // So does another ledger that somebody names, and one without its lines.
    let other = with_records(1);
    let named = other.ledger().display().to_string();
    assert_eq!(home.does(&["ledger", "verify", "--continues", &named]).code(), 1);
    assert_eq!(home.does(&["ledger", "verify", "--continues", "nowhere"]).code(), 2);
    // A copy elsewhere has nothing beside it that is its own.
    let copy = home.ledger().join("copy.ndjson");
    fs::copy(other.ledger_file(), &copy).unwrap();
    let key =
        json(&other.does(&["keys", "show", "--json"]))["public_key"].as_str().unwrap().to_owned();
    let done = home.does(&["ledger", "verify", &copy.display().to_string(), "--trust", &key]);
    assert_eq!(done.code(), 0, "{}{}", done.text(), done.stderr);
    // What is not at hand says nothing, and is said.
    fs::remove_file(home.ledger().join("continues")).unwrap();
    let done = home.does(&["ledger", "verify"]);
    assert_eq!(done.code(), 0);
    assert!(done.text().contains("is not at hand"), "{}", done.text());
    assert_eq!(other.does(&["ledger", "verify", "--continues", &named]).code(), 2);
}

#[test]
fn what_a_thief_wrote_is_disowned_and_the_rest_goes_on() {
    let home = with_records(3);
    // The thief's record and rotation.
    home.record(&["--label", "n=thief", "--", "true"]);
    fs::copy(home.key(), home.path("stolen.pem")).unwrap();
    assert_eq!(home.does(&["keys", "rotate", "--destroy-old"]).code(), 0);
    fs::rename(home.path("stolen.pem"), home.key()).unwrap();
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    fs::remove_file(home.key()).unwrap();
    let first = home.lines()[0]["signing_key"].as_str().unwrap().to_owned();
    assert_eq!(home.does(&["keys", "trust", &first]).code(), 0);
    let old = home.ledger().display().to_string();
    let refused = home.does(&[
        "ledger",
        "init",
        "--continues",
        &old,
        "--reason",
        "key_compromise",
        "--size",
        "99",
    ]);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("only 6 lines"), "{}", refused.stderr);
    let begun = go_on(&home, &["--reason", "key_compromise", "--size", "4"]);
    assert_eq!((&begun["carried"], &begun["complete"]), (&3.into(), &true.into()));
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    assert_eq!(counted(&home, &[]), 3);
    // The thief goes on in the old one, and breaks nothing.
    let old = aside(&home).join("ledger.ndjson");
    fs::write(&old, fs::read_to_string(&old).unwrap() + "{}\n").unwrap();
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}

/// What a beginning has done when something stops it.
type Step = (&'static str, fn(&Home));

#[test]
fn a_beginning_that_was_interrupted_at_any_step_is_finished() {
    // As it stands after each step, by hand; what is at each place afterwards.
    let steps: [Step; 4] = [
        ("closed", |home| fs::write(home.ledger().join("continued"), "").unwrap()),
        ("made", |home| {
            let next = home.path("data/carbon-ops/ledger.next");
            let old = home.ledger().display().to_string();
            let done =
                home.does(&["ledger", "init", &next.display().to_string(), "--continues", &old]);
            assert_eq!(done.code(), 0, "{}", done.stderr);
        }),
        ("made in part", |home| {
            let next = home.path("data/carbon-ops/ledger.next");
            let old = home.ledger().display().to_string();
            let done =
                home.does(&["ledger", "init", &next.display().to_string(), "--continues", &old]);
            assert_eq!(done.code(), 0, "{}", done.stderr);
            let file = next.join("ledger.ndjson");
            let text = fs::read_to_string(&file).unwrap();
            let kept: String = text.split_inclusive('\n').take(2).collect();
            fs::write(&file, kept).unwrap();
            for name in ["checkpoint", "checkpoints.log", "signer.state"] {
                fs::remove_file(next.join(name)).unwrap();
            }
            fs::remove_dir_all(next.join("tile")).unwrap();
        }),
        ("moved away", |home| {
            go_on(home, &[]);
            fs::rename(home.ledger(), home.path("data/carbon-ops/ledger.next")).unwrap();
        }),
    ];
    for (step, stop) in steps {
        let home = with_records(3);
        change(&home, 2, "\"tool\"", "\"t00l\"");
        stop(&home);
        go_on(&home, &[]);
        let done = home.does(&["ledger", "verify"]);
        assert_eq!(done.code(), 0, "{step}: {}", done.text());
        assert!(done.text().contains("that is still so, byte for byte"), "{step}: {}", done.text());
        assert_eq!(counted(&home, &[]), 2, "{step}");
        // Nor does anybody who comes between find no ledger, and begin one of his own.
        if step == "moved away" {
            fs::rename(home.ledger(), home.path("data/carbon-ops/ledger.next")).unwrap();
            assert_eq!(home.does(&["run", "--", "true"]).code(), 0);
            assert_eq!(counted(&home, &[]), 3);
        }
    }
}
