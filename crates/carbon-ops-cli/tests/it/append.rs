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
        r#"{"kind":"carbon_ops","schema_version":2}"#,
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
    record["measurement"]["energy"]["host_uj"] = 1.into();
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

/// A pipeline of the command, told and heard line by line.
struct Talk {
    child: std::process::Child,
    input: std::process::ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Talk {
    fn with(command: &mut std::process::Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Hands over records and reads as many acknowledgements; the numbers of the entries.
    fn tell(&mut self, records: std::ops::Range<u64>) -> Vec<u64> {
        for n in records.clone() {
            writeln!(self.input, "{{\"n\":{n}}}").unwrap();
        }
        let ack = |_| {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            serde_json::from_str::<Value>(&line).unwrap()["seq"].as_u64().unwrap()
        };
        records.map(ack).collect()
    }
}

#[test]
fn a_pipeline_goes_on_when_keys_rotate_with_the_key_that_took_the_place_of_its_own() {
    let home = begun();
    let mut pipeline = Talk::with(&mut home.carbon_ops(&["ledger", "append", "--json"]));
    assert_eq!(pipeline.tell(0..100), (1..=100).collect::<Vec<_>>());
    let rotated = home.does(&["keys", "rotate"]);
    assert_eq!(rotated.code(), 0, "{}", rotated.stderr);
    assert_eq!(pipeline.tell(100..200), (102..=201).collect::<Vec<_>>());
    // And while records are under way, with the old key destroyed.
    let mut other = Talk::with(&mut home.carbon_ops(&["ledger", "append", "--json"]));
    std::thread::scope(|scope| {
        let one = scope.spawn(|| (0..40).map(|n| pipeline.tell(n * 50..n * 50 + 50).len()).sum());
        for _ in 0..3 {
            assert_eq!(other.tell(0..20).len(), 20);
            let rotated = home.does(&["keys", "rotate", "--destroy-old"]);
            assert_eq!(rotated.code(), 0, "{}", rotated.stderr);
        }
        let told: usize = one.join().unwrap();
        assert_eq!(told, 2000);
    });
    for Talk { child, input, output } in [pipeline, other] {
        drop((input, output));
        let ended = finish(child);
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
    }
    let verified = home.does(&["ledger", "verify", "--json"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    let report: Value = serde_json::from_str(&verified.text()).unwrap();
    assert_eq!((&report["rotations"], &report["fault_count"]), (&4.into(), &0.into()));
    // Genesis, four changes, and all that was acknowledged.
    assert_eq!(report["entries"], 1 + 4 + 200 + 2000 + 60);
    let lines = home.lines();
    let key = |seq: usize| lines[seq]["signing_key"].clone();
    assert_eq!(key(1), key(101));
    assert_ne!(key(101), key(102));
}

#[test]
fn a_pipeline_whose_key_is_retired_and_not_replaced_ends_and_says_why() {
    let home = begun();
    let (own, kept) = (home.key(), home.path("kept.pem"));
    std::fs::copy(&own, &kept).unwrap();
    let mut command = home.carbon_ops(&["ledger", "append", "--json"]);
    let mut pipeline = Talk::with(command.env("CARBON_OPS_KEY", &kept));
    assert_eq!(pipeline.tell(0..10).len(), 10);
    assert_eq!(home.does(&["keys", "rotate"]).code(), 0);
    let before = home.lines().len();
    writeln!(pipeline.input, "{{\"n\":10}}").unwrap();
    let Talk { child, input: _input, mut output } = pipeline;
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    let ended = finish(child);
    assert_eq!((ended.code(), rest.as_str()), (2, ""), "{}", ended.stderr);
    for part in
        ["line 11", "may not write to", "hint: use a key that may", "it is not in the ledger"]
    {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert_eq!(home.lines().len(), before);
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}
