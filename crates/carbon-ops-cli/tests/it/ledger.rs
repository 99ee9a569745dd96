//! The ledger under what life does to it: many writers, kills, torn writes, full and read-only
//! disks, foreign keys, and hands that change a byte.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::home::{Home, done, finish, lines};
use carbon_ops_testkit::skip::{can, is_root, namespaces, skip};

fn verify(home: &Home) -> i32 {
    home.does(&["ledger", "verify"]).code()
}

/// A home with so many records.
fn with_records(count: usize) -> Home {
    let home = Home::new();
    for number in 0..count {
        home.record(&["--label", &format!("n={number}"), "--", "true"]);
    }
    home
}

/// How often each label `n` occurs among the records.
fn labels(home: &Home) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for record in home.records() {
        let label = record["labels"]["n"].as_str().unwrap_or("none").to_owned();
        *found.entry(label).or_default() += 1;
    }
    found
}

fn files_beside(home: &Home) -> Vec<String> {
    let names = fs::read_dir(home.ledger()).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Starts so many first runs that wait for each other, lets them go at the same moment, and looks.
fn start_at_once(count: usize) {
    let home = Home::new();
    let (gate, opens) = std::io::pipe().unwrap();
    let children: Vec<_> = (0..count)
        .map(|n| {
            let line = format!(r#"read -r _; exec "$CARBON_OPS" run --label n={n} -- true"#);
            home.bash(&line).stdin(gate.try_clone().unwrap()).spawn().unwrap()
        })
        .collect();
    drop(opens);
    for run in children.into_iter().map(finish) {
        assert_eq!(run.code(), 0, "{}", run.stderr);
    }
    let report = home.does(&["ledger", "verify", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["status"], "valid", "{report:#}");
    assert_eq!(report["keys"].as_array().unwrap().len(), 1);
    assert_eq!((&report["entries"], &report["recoveries"]), (&(count + 1).into(), &0.into()));
    let labels = labels(&home);
    assert!(labels.len() == count && labels.values().all(|&times| times == 1), "{labels:?}");
    let keys = fs::read_dir(home.key().parent().unwrap()).unwrap();
    assert_eq!(keys.count(), 1, "left-overs beside the key");
}

#[test]
fn twenty_first_runs_at_once_share_one_ledger_and_one_key() {
    start_at_once(20);
    // The race for the key is over within a millisecond: a few more tries to meet it.
    for _ in 0..6 {
        start_at_once(4);
    }
}

#[test]
fn a_run_that_is_killed_in_the_middle_harms_nothing() {
    let home = with_records(1);
    let script = "echo $PPID > pid; sleep 0.3";
    let child = home.carbon_ops(&["run", "--", "sh", "-c", script]).spawn().unwrap();
    assert!(waits_for(&home.work("pid")));
    let mut child = child;
    child.kill().unwrap();
    assert_eq!(finish(child).code(), 1009);
    assert_eq!((verify(&home), home.records().len()), (0, 1));
    home.record(&["--", "true"]);
    assert_eq!((verify(&home), home.records().len()), (0, 2));
}

fn waits_for(file: &Path) -> bool {
    let start = Instant::now();
    while !file.exists() {
        if start.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Starts a run and kills it after a while; whether it had ended well by itself.
fn killed_after(home: &Home, label: &str, delay: Duration) -> bool {
    let label = format!("n={label}");
    let mut command = home.carbon_ops(&["run", "--label", &label, "--", "true"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

/// The time that an undisturbed run takes now, on this machine, under its load.
fn usual(home: &Home) -> Duration {
    let start = Instant::now();
    home.record(&["--label", "n=usual", "--", "true"]);
    start.elapsed()
}

/// Kills spread over the whole of a run, so that some of them hit the append.
#[test]
fn what_was_acknowledged_survives_forty_kills() {
    let home = with_records(1);
    let mut acknowledged = Vec::new();
    for n in 0..40u32 {
        if n % 10 == 0 {
            acknowledged.push("usual".to_owned());
        }
        let usual = if n % 10 == 0 { usual(&home) } else { Duration::from_millis(40) };
        let label = n.to_string();
        if killed_after(&home, &label, usual * (n % 20) / 15) {
            acknowledged.push(label);
        }
    }
    let after = verify(&home);
    assert!([0, 4].contains(&after), "verify exits with {after}");
    home.record(&["--label", "n=last", "--", "true"]);
    assert_eq!(verify(&home), 0);
    let found = labels(&home);
    for label in &acknowledged {
        assert!(found.contains_key(label), "{label} was acknowledged; {found:?}");
    }
    let once = |(label, count): (&String, &usize)| *count == 1 || label == "usual";
    assert!(found.iter().all(once), "{found:?}");
    assert_eq!(found["usual"], 4);
}

/// Before there is a key or a ledger, a kill may leave one, both or neither, and never half of one.
#[test]
fn a_first_run_that_is_killed_does_not_stop_the_second() {
    let usual = usual(&Home::new());
    for n in 0..16 {
        let home = Home::new();
        let acknowledged = killed_after(&home, "first", usual * n / 14);
        let second = home.does(&["run", "--label", "n=second", "--", "true"]);
        assert_eq!(second.code(), 0, "after {n}/14 of a run: {}", second.stderr);
        assert_eq!(verify(&home), 0, "after {n}/14 of a run");
        let found = labels(&home);
        assert!(found.contains_key("second"), "{found:?}");
        assert!(!acknowledged || found.contains_key("first"), "{found:?}");
    }
}

/// Cuts bytes off the end of the ledger.
fn cut(home: &Home, bytes: u64) -> Vec<u8> {
    let whole = fs::read(home.ledger_file()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(home.ledger_file()).unwrap();
    file.set_len(whole.len() as u64 - bytes).unwrap();
    whole
}

#[test]
fn a_torn_last_line_is_kept_as_evidence_and_recorded() {
    for bytes in [2, 100, 700] {
        let home = with_records(2);
        let whole = cut(&home, bytes);
        let torn = home.does(&["ledger", "verify"]);
        assert_eq!(torn.code(), 4, "{}", torn.text());
        let report = home.does(&["ledger", "verify", "--json"]);
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(
            (&report["status"], &report["torn_tail"]["line"]),
            (&"torn_tail".into(), &3.into())
        );

        let next = home.does(&["run", "--label", "n=next", "--", "true"]);
        assert_eq!(next.code(), 0, "{}", next.stderr);
        assert_eq!(verify(&home), 0);
        let lines = home.lines();
        // The genesis, the record that was whole, the recovery and the new record.
        assert_eq!(lines.len(), 4);
        let evidence = lines[2]["evidence"].as_str().unwrap();
        assert!(next.stderr.contains(evidence), "{evidence} is not in {}", next.stderr);
        let kept = fs::read(home.ledger().join(evidence)).unwrap();
        let start = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
        assert!(kept == whole[start..whole.len() - usize::try_from(bytes).unwrap()]);
        assert_eq!(lines[3]["labels"]["n"], "next");
        assert_eq!(home.does(&["run", "--json=r", "--", "true"]).stderr, "", "told twice");
    }
}

#[test]
fn a_last_line_that_lacks_only_its_newline_is_completed() {
    let home = with_records(2);
    cut(&home, 1);
    assert_eq!(verify(&home), 4);
    home.record(&["--label", "n=next", "--", "true"]);
    assert_eq!((verify(&home), home.lines().len()), (0, 4));
    assert_eq!(files_beside(&home), ["ledger.ndjson", "lock", "lock.queue"]);
}

/// Replaces a byte in the middle of a line (from 1) by another of its kind.
fn tamper(home: &Home, line: usize) {
    let mut lines: Vec<String> =
        fs::read_to_string(home.ledger_file()).unwrap().lines().map(str::to_owned).collect();
    let at = lines[line - 1].find("_ts\":\"20").unwrap() + 8;
    let other = if &lines[line - 1][at..=at] == "9" { "8" } else { "9" };
    lines[line - 1].replace_range(at..=at, other);
    fs::write(home.ledger_file(), lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_changed_byte_is_found_and_its_line_named() {
    for line in [1, 3, 5] {
        let home = with_records(4);
        tamper(&home, line);
        let text = home.does(&["ledger", "verify"]);
        assert_eq!(text.code(), 1, "line {line}: {}", text.text());
        assert!(text.text().contains(&format!("line {line}")), "{}", text.text());
        let report = home.does(&["ledger", "verify", "--json"]);
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(report["status"], "tampered");
        assert_eq!(report["first_fault"]["line"], line, "{report:#}");
    }
}

#[test]
fn lines_that_were_removed_swapped_or_added_are_found() {
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, Change); 4] = [
        ("removed", |lines| drop(lines.remove(2))),
        ("swapped", |lines| lines.swap(2, 3)),
        ("repeated", |lines| lines.push(lines[2].clone())),
        ("foreign", |lines| lines.insert(2, "{}".into())),
    ];
    let home = with_records(4);
    let whole = fs::read_to_string(home.ledger_file()).unwrap();
    for (name, change) in changes {
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(home.ledger_file(), lines.join("\n") + "\n").unwrap();
        assert_eq!(verify(&home), 1, "{name}");
    }
}

#[test]
fn on_a_damaged_ledger_the_command_runs_and_nothing_is_changed() {
    type Damage = fn(&Home);
    let damages: [(&str, Damage); 4] = [
        ("first line", |home| tamper(home, 1)),
        ("last line", |home| tamper(home, 3)),
        ("no byte", |home| fs::write(home.ledger_file(), "").unwrap()),
        ("something else", |home| fs::write(home.ledger_file(), "hello\n").unwrap()),
    ];
    for (name, damage) in damages {
        let home = with_records(2);
        damage(&home);
        let before = fs::read(home.ledger_file()).unwrap();
        let run = home.does(&["run", "--", "touch", "started"]);
        assert_eq!(run.code(), 0, "{name}: {}", run.stderr);
        assert!(run.stderr.contains("ledger.ndjson"), "{name}: {}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{name}: {}", run.stderr);
        assert!(home.work("started").exists(), "{name}");
        assert!(fs::read(home.ledger_file()).unwrap() == before, "{name} was changed");
    }
}

/// Runs shell lines in a mount namespace of their own.
fn in_namespace(home: &Home, script: &str) -> crate::home::Done {
    let mut command = home.program("unshare");
    done(command.args(["-m", "--propagation", "private", "bash", "-euc", script]))
}

#[test]
fn on_a_read_only_ledger_the_command_runs_and_the_reason_is_told() {
    let home = with_records(1);
    let run = if is_root() {
        if !namespaces() {
            return;
        }
        let script = r#"mount --bind "$XDG_DATA_HOME" "$XDG_DATA_HOME"
            mount -o remount,bind,ro "$XDG_DATA_HOME"
            "$CARBON_OPS" run -- touch started"#;
        in_namespace(&home, script)
    } else {
        for path in [home.ledger_file(), home.ledger().join("lock"), home.ledger()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o555)).unwrap();
        }
        let run = home.does(&["run", "--", "touch", "started"]);
        fs::set_permissions(home.ledger(), fs::Permissions::from_mode(0o755)).unwrap();
        run
    };
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let ledger = home.ledger().display().to_string();
    assert!(run.stderr.contains(&ledger), "{}", run.stderr);
    let reasons = ["read-only", "read only", "permission denied"];
    let said = run.stderr.to_lowercase();
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{}", run.stderr);
    assert!(home.work("started").exists());
    assert_eq!(home.records().len(), 1);
}

/// Nothing was made yet: not even the key can be.
#[test]
fn in_a_read_only_home_the_message_says_what_to_do() {
    let home = Home::new();
    let data = home.ledger().parent().unwrap().parent().unwrap().to_owned();
    fs::create_dir_all(&data).unwrap();
    let run = if is_root() {
        if !namespaces() {
            return;
        }
        let script = r#"mount --bind "$XDG_DATA_HOME" "$XDG_DATA_HOME"
            mount -o remount,bind,ro "$XDG_DATA_HOME"
            "$CARBON_OPS" run -- touch started"#;
        in_namespace(&home, script)
    } else {
        fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
        let run = home.does(&["run", "--", "touch", "started"]);
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        run
    };
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let hint = "\nhint: make it writable, or name another place with --ledger and CARBON_OPS_KEY";
    assert!(run.stderr.contains(hint), "{}", run.stderr);
    assert!(home.work("started").exists());
}

/// A home whose data lie on a disk of 64 KiB; the scripts fill it with a file `fill`.
const SMALL_DISK: &str = r#"
    mkdir -p "$XDG_DATA_HOME"
    mount -t tmpfs -o size=64k small "$XDG_DATA_HOME"
    fill() { dd if=/dev/zero of="$XDG_DATA_HOME/fill" bs=512 2>/dev/null || true; }
    export -f fill
    run() { code=0; "$CARBON_OPS" run "$@" >>../out 2>../err || code=$?; echo $code >>../codes; }
    keep() { cp "$XDG_DATA_HOME/carbon-ops/ledger/ledger.ndjson" ../"$1"; }
    check() { code=0; "$CARBON_OPS" ledger verify >>../out 2>&1 || code=$?; echo $code >>../codes; }
"#;

fn codes(home: &Home) -> Vec<i32> {
    let text = fs::read_to_string(home.path("codes")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The record that was told instead of stored.
fn told(home: &Home) -> Value {
    let said = fs::read_to_string(home.path("err")).unwrap();
    assert!(said.contains("not stored") && said.contains("hint: "), "{said}");
    let line = said.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no record in {said}"))).unwrap()
}

#[test]
fn on_a_disk_that_is_full_a_first_run_runs_and_makes_nothing() {
    if !namespaces() {
        return;
    }
    let home = Home::new();
    let script = format!(
        "{SMALL_DISK} fill; run -- touch started; rm \"$XDG_DATA_HOME/fill\"; run -- true; check"
    );
    let all = in_namespace(&home, &script);
    assert_eq!(all.code(), 0, "{}", all.stderr);
    assert_eq!(codes(&home), [0, 0, 0]);
    assert!(home.work("started").exists());
}

#[test]
fn on_a_disk_that_was_full_before_the_record_is_told_and_earlier_ones_stay() {
    if !namespaces() {
        return;
    }
    for (command, code) in [("true", 0), ("sh -c 'exit 3'", 3)] {
        let home = Home::new();
        let script = format!(
            "{SMALL_DISK} run -- true; run -- true; keep before; fill
             run --label n=lost -- {command}; keep after; cp ../err ../first; check
             rm \"$XDG_DATA_HOME/fill\"; cp ../err ../kept; run -- true; check; cp ../kept ../err"
        );
        let all = in_namespace(&home, &script);
        assert_eq!(all.code(), 0, "{}", all.stderr);
        let codes = codes(&home);
        assert_eq!(codes[..2], [0, 0]);
        assert_eq!(codes[2], code, "{command}");
        assert!([0, 4].contains(&codes[3]), "verify exits with {}", codes[3]);
        assert_eq!(codes[4..], [0, 0]);
        assert_eq!(told(&home)["labels"]["n"], "lost");
        unharmed(&home);
    }
}

/// What stood in the ledger before stands in it afterwards.
fn unharmed(home: &Home) {
    let (before, after) = (home.path("before"), home.path("after"));
    let before = fs::read(before).unwrap();
    assert!(fs::read(after).unwrap().starts_with(&before));
    assert_eq!(lines(&home.path("before")).len(), 3);
}

#[test]
fn on_a_disk_that_the_command_fills_the_record_is_told_and_earlier_ones_stay() {
    if !namespaces() {
        return;
    }
    for code in [0, 3] {
        let home = Home::new();
        let script = format!(
            "{SMALL_DISK} run -- true; run -- true; keep before
             run --label n=lost -- bash -c 'fill; exit {code}'; keep after; check
             rm \"$XDG_DATA_HOME/fill\"; cp ../err ../kept; run -- true; check; cp ../kept ../err"
        );
        let all = in_namespace(&home, &script);
        assert_eq!(all.code(), 0, "{}", all.stderr);
        let codes = codes(&home);
        assert_eq!(codes[..3], [0, 0, code]);
        assert!([0, 4].contains(&codes[3]), "verify exits with {}", codes[3]);
        assert_eq!(codes[4..], [0, 0]);
        let told = told(&home);
        assert_eq!(
            (&told["labels"]["n"], &told["measurement"]["workload"]["exit_code"]),
            (&"lost".into(), &code.into())
        );
        unharmed(&home);
    }
}

/// `--json` onto a disk that is full: the ledger has the record, and the exit code is the command's.
#[test]
fn json_that_cannot_be_written_is_told() {
    if !can("test -w /dev/full") {
        return skip("full", "no /dev/full");
    }
    let home = Home::new();
    for (script, code) in [("exit 0", 0), ("exit 3", 3)] {
        let run = home.does(&["run", "--json=/dev/full", "--", "sh", "-c", script]);
        assert_eq!(run.code(), code, "{}", run.stderr);
        assert!(run.stderr.contains("JSON"), "{}", run.stderr);
    }
    assert_eq!((home.records().len(), verify(&home)), (2, 0));
}

#[test]
fn a_ledger_of_a_stranger_is_not_checked_until_its_key_is_trusted() {
    let (writer, reader) = (with_records(2), Home::new());
    reader.record(&["--", "true"]);
    let ledger = writer.ledger().display().to_string();
    let key: Value =
        serde_json::from_slice(&writer.does(&["keys", "show", "--json"]).stdout).unwrap();
    let (hex, fingerprint) =
        (key["public_key"].as_str().unwrap(), key["fingerprint"].as_str().unwrap());

    let verify = reader.does(&["ledger", "verify", &ledger]);
    assert_eq!(verify.code(), 2, "{}", verify.text());
    assert!(verify.text().contains(fingerprint), "{}", verify.text());
    assert!(!verify.text().contains("VALID"), "{}", verify.text());

    fs::write(reader.work("trusted"), format!("# the writer\n{hex}\n")).unwrap();
    for trust in [hex, "trusted"] {
        let verify = reader.does(&["ledger", "verify", "--trust", trust, &ledger]);
        assert_eq!(verify.code(), 0, "{trust}: {}", verify.text());
    }
    let mut by_environment = reader.carbon_ops(&["ledger", "verify", &ledger]);
    assert_eq!(done(by_environment.env("CARBON_OPS_TRUST", hex)).code(), 0);
    fs::copy(reader.work("trusted"), reader.path("data/carbon-ops/trust")).unwrap();
    assert_eq!(reader.does(&["ledger", "verify", &ledger]).code(), 0);

    // Trust in somebody else is none in the writer, and the reader's own key may not write there.
    let own: Value =
        serde_json::from_slice(&reader.does(&["keys", "show", "--json"]).stdout).unwrap();
    let own = own["public_key"].as_str().unwrap();
    assert_eq!(reader.does(&["ledger", "verify", "--trust", own, &ledger]).code(), 2);
    let run = reader.does(&["run", "--ledger", &ledger, "--", "touch", "started"]);
    assert_eq!(run.code(), 125, "{}", run.stderr);
    assert!(!reader.work("started").exists());
    assert_eq!(writer.records().len(), 2);
}

#[test]
fn tampering_weighs_more_than_a_key_that_is_not_trusted() {
    let (writer, reader) = (with_records(3), Home::new());
    tamper(&writer, 3);
    let ledger = writer.ledger().display().to_string();
    assert_eq!(reader.does(&["ledger", "verify", &ledger]).code(), 1);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let home = with_records(1);
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(home.key(), fs::Permissions::from_mode(mode)).unwrap();
        let run = home.does(&["run", "--", "touch", "started"]);
        assert_eq!(run.code(), 0, "{mode:o}: {}", run.stderr);
        assert!(run.stderr.contains("chmod 600"), "{}", run.stderr);
        assert_eq!(home.does(&["keys", "show"]).code(), 2);
    }
    fs::set_permissions(home.key(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.does(&["run", "--", "true"]).code(), 0);
    // What ran meanwhile is in the ledger now.
    assert_eq!(home.records().len(), 5);
}

/// Without the key that began a ledger nothing can be appended; a new one would not help.
#[test]
fn a_lost_key_is_told_and_not_replaced_in_silence() {
    let home = with_records(1);
    fs::remove_file(home.key()).unwrap();
    let run = home.does(&["run", "--", "touch", "started"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains("is gone"), "{}", run.stderr);
    assert!(!home.key().exists(), "a key was made that can write nowhere: {}", run.stderr);
}

#[test]
fn without_a_home_the_error_names_the_way_out() {
    let home = Home::new();
    let without = |arguments: &[&str]| {
        let mut command = home.carbon_ops(arguments);
        command.env_remove("HOME").env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        done(&mut command)
    };
    let run = without(&["run", "--", "touch", "started"]);
    assert_eq!(run.code(), 0);
    assert!(run.stderr.contains("HOME") && run.stderr.contains("--ledger"), "{}", run.stderr);
    assert!(home.work("started").exists());
    assert_eq!(without(&["ledger", "verify"]).code(), 2);
    assert_eq!(without(&["run", "--no-ledger", "--", "true"]).code(), 0);
}

#[test]
fn no_ledger_is_2_for_whoever_asks_about_it() {
    let home = Home::new();
    for arguments in [
        &["ledger", "verify"][..],
        &["ledger", "show"],
        &["keys", "show"],
        &["ledger", "verify", "x"],
    ] {
        let asked = home.does(arguments);
        assert_eq!((asked.code(), asked.text().as_str()), (2, ""), "{arguments:?}");
        assert!(asked.stderr.contains("hint: "), "{}", asked.stderr);
    }
    assert!(!home.path("data").exists());
}

#[test]
fn the_summary_of_a_stored_record_is_the_one_that_the_run_showed() {
    let home = Home::new();
    let run = home.does(&["run", "--region", "DE", "--", "true"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let shown = home.does(&["ledger", "show", "--summary", "--last", "1"]);
    let (told, kept) = (run.stderr.find("carbon-ops: true took"), shown.text());
    assert_eq!(run.stderr[told.unwrap()..], kept);
    // What is no record has none, and stays one line.
    let all = home.does(&["ledger", "show", "--summary"]).text();
    assert!(all.lines().next().unwrap().ends_with("genesis"), "{all}");
}

#[test]
fn show_prints_the_last_stored_lines_newest_last() {
    let home = with_records(4);
    let file = fs::read_to_string(home.ledger_file()).unwrap();
    let stored: Vec<&str> = file.lines().collect();
    let shown = home.does(&["ledger", "show", "--last", "2", "--json"]);
    assert_eq!(shown.code(), 0, "{}", shown.stderr);
    assert_eq!(shown.text().lines().collect::<Vec<_>>(), stored[3..]);

    let shown = home.does(&["ledger", "show", "--last", "3"]).text();
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown.len(), 4);
    for (line, number) in shown[1..].iter().zip(2..) {
        assert!(line.contains(&format!("#{number}")) && line.contains("true"), "{line}");
    }
    let all = home.does(&["ledger", "show", "--last", "100", "--json"]).text();
    assert_eq!(all.lines().collect::<Vec<_>>(), stored);
    assert_eq!(home.does(&["ledger", "show", "--last", "0"]).text(), "");
}

#[test]
fn verify_takes_a_directory_or_a_file() {
    let home = with_records(1);
    let copy = home.work("copy.ndjson");
    fs::copy(home.ledger_file(), &copy).unwrap();
    for path in [home.ledger(), home.ledger_file(), copy] {
        let verify = home.does(&["ledger", "verify", path.to_str().unwrap()]);
        assert_eq!(verify.code(), 0, "{}", verify.text());
    }
}

#[test]
fn keys_are_made_once() {
    let home = Home::new();
    let made = home.does(&["keys", "generate"]);
    assert_eq!(made.code(), 0, "{}", made.stderr);
    let key = fs::read(home.key()).unwrap();
    let again = home.does(&["keys", "generate"]);
    assert_eq!(again.code(), 2);
    assert!(again.stderr.contains("hint: "), "{}", again.stderr);
    home.record(&["--", "true"]);
    assert!(fs::read(home.key()).unwrap() == key);
    let shown = home.does(&["keys", "show"]).text();
    assert!(made.text().lines().any(|line| line.len() > 40 && shown.contains(line)), "{shown}");
}
