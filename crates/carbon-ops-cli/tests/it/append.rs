//! Records of others, appended from standard input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::Value;

use crate::home::{Done, Home, done, finish, lines};

/// `ledger append` with these lines as input.
fn append(home: &Home, arguments: &str, input: &str) -> Done {
    let line = format!(r#"printf %s "$0" | "$CARBON_OPS" ledger append {arguments}"#);
    done(home.bash(&line).arg(input))
}

fn begun() -> Home {
    let home = Home::new();
    assert_eq!(home.does(&["ledger", "init"]).code(), 0);
    home
}

#[test]
fn lines_become_entries_and_each_is_acknowledged() {
    let home = begun();
    let numbered = (0..1500).map(|n| format!("{{\"kind\": \"x\",\t\"n\":{n}.0}}\n"));
    let input: String = numbered.collect::<Vec<_>>().concat();
    let appended = append(&home, "--json", &input);
    assert_eq!(appended.code(), 0, "{}", appended.stderr);
    let told: Vec<Value> =
        appended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 1500);
    let stored = lines(&home.ledger_file());
    for (number, ack) in told.iter().enumerate() {
        assert_eq!((&ack["line"], &ack["seq"]), (&(number + 1).into(), &(number + 1).into()));
        assert_eq!(stored[number + 1]["n"], number);
        if let Some(next) = stored.get(number + 2) {
            assert_eq!(next["prev_hash"], ack["hash"]);
        }
    }
    let verified = home.does(&["ledger", "verify"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    // Closing signed for all of it.
    assert!(verified.text().contains("1501"), "{}", verified.text());
    // Without a newline at the end, and in words.
    let appended = append(&home, "", r#"{"kind":"y"}"#);
    assert_eq!(appended.code(), 0, "{}", appended.stderr);
    assert!(appended.text().contains("appended 1 record to"), "{}", appended.text());
    assert!(appended.text().contains("seq 1501 to 1501"), "{}", appended.text());
}

#[test]
fn a_bad_line_is_named_and_the_others_go_on() {
    let home = begun();
    let input = [
        r#"{"n":1}"#,
        r#"{"n":2,"n":2}"#,
        "",
        "[3]",
        r#"{"seq":4}"#,
        r#"{"kind":"ledger"}"#,
        r#"{"n":9007199254740992}"#,
        r#"{"kind":"carbon_ops","schema_version":1}"#,
        r#"{"kind":"carbon_ops","schema_version":99}"#,
        r#"{"n":10}"#,
    ];
    let appended = append(&home, "--json", &input.join("\n"));
    assert_eq!(appended.code(), 2, "{}", appended.stderr);
    assert_eq!(appended.text().lines().count(), 2);
    for line in 2..=9 {
        let name = format!("line {line} was not appended: ");
        assert!(appended.stderr.contains(&name), "{line}: {}", appended.stderr);
    }
    let stored = lines(&home.ledger_file());
    assert_eq!(stored.len(), 3);
    assert_eq!((&stored[1]["n"], &stored[2]["n"]), (&1.into(), &10.into()));
}

#[test]
fn a_record_of_ours_that_adds_up_is_taken() {
    let home = begun();
    let mut record = home.record(&["--", "true"]);
    let members = record.as_object_mut().unwrap();
    for name in ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"]
    {
        members.remove(name);
    }
    let good = record.to_string();
    record["energy"]["host_uj"] = 1.into();
    let appended = append(&home, "", &format!("{good}\n{record}\n"));
    assert_eq!(appended.code(), 2);
    assert!(appended.stderr.contains("line 2 was not appended"), "{}", appended.stderr);
    assert_eq!(home.records().len(), 2);
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}

#[test]
fn whoever_waits_for_an_acknowledgement_before_the_next_line_gets_it() {
    let home = begun();
    let mut command = home.carbon_ops(&["ledger", "append", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for n in 1..=3 {
        writeln!(input, "{{\"n\":{n}}}").unwrap();
        let mut ack = String::new();
        output.read_line(&mut ack).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&ack).unwrap()["seq"], n);
    }
    drop(input);
    assert_eq!(finish(child).code(), 0);
}

#[test]
fn a_class_of_durability_is_in_the_genesis() {
    let home = Home::new();
    let init = home.does(&["ledger", "init", "--durability", "group:5"]);
    assert_eq!(init.code(), 0, "{}", init.stderr);
    assert_eq!(append(&home, "", "{\"n\":1}\n{\"n\":2}\n").code(), 0);
    let stored = lines(&home.ledger_file());
    assert_eq!(
        (&stored[0]["durability"], &stored[0]["schema_version"]),
        (&"group:5".into(), &3.into())
    );
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    let wrong = Home::new().does(&["ledger", "init", "--durability", "group"]);
    assert!(wrong.code() == 2 && wrong.stderr.contains("group:MS"), "{}", wrong.stderr);
}

#[test]
fn there_has_to_be_a_ledger_unless_it_is_the_default_one() {
    let home = Home::new();
    let elsewhere = append(&home, "nowhere", "{}");
    assert!(
        elsewhere.code() == 2 && elsewhere.stderr.contains("ledger init"),
        "{}",
        elsewhere.stderr
    );
    let default = append(&home, "", "{\"n\":1}");
    assert_eq!(default.code(), 0, "{}", default.stderr);
    assert!(default.stderr.contains("made the ledger"), "{}", default.stderr);
}
