//! `run`: it stands between a shell and a command, and neither may notice.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::{CARBON_OPS, Home, decimal, done, finish, has};

#[test]
fn exit_codes_are_those_of_the_command() {
    let home = Home::new();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -KILL $$", 128 + 9),
        ("kill -TERM $$", 128 + 15),
        ("kill -SEGV $$", 128 + 11),
    ] {
        let run = home.does(&["run", "--", "sh", "-c", script]);
        assert_eq!(run.code(), code, "{script}: {}", run.stderr);
        let records = home.records();
        assert_eq!(
            records.last().unwrap()["measurement"]["workload"]["exit_code"],
            code,
            "{script}"
        );
    }
}

/// A budget speaks only where the command has nothing to say, and the record is written in every case.
#[test]
fn a_budget_gives_the_exit_code_of_a_command_that_succeeds() {
    let home = Home::new();
    let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
    let no_energy = ["--max-energy", "0J"];
    for (budget, script, code, says) in [
        (&["--max-energy", "1GJ"][..], busy, 0, "kept: 95 % between"),
        (&["--max-carbon", "1t"], busy, 0, "kept: 95 % between"),
        (&no_energy, busy, 123, "EXCEEDED: 95 % between"),
        (&["--max-energy", "1GJ", "--max-carbon", "0g"], busy, 123, "EXCEEDED"),
        (&no_energy, "exit 7", 7, "EXCEEDED"),
        (&no_energy, "kill -TERM $$", 128 + 15, "EXCEEDED"),
    ] {
        let run = home.does(&[&["run"], budget, &["--", "sh", "-c", script]].concat());
        assert_eq!(run.code(), code, "{budget:?}: {}", run.stderr);
        assert!(run.stderr.contains(says), "{budget:?}: {}", run.stderr);
    }
    assert_eq!(home.records().len(), 6);
    // A budget within the interval of what the same work used.
    let joules = home.records()[0]["energy_kwh"].as_f64().unwrap() * 3.6e6;
    let within = format!("{joules}J");
    let run = home.does(&["run", "--max-energy", &within, "--json", "--", "sh", "-c", busy]);
    assert!(matches!(run.code(), 0 | 122 | 123), "{}", run.stderr);
    let record: Value = serde_json::from_str(&run.stderr).expect("nothing else is said in JSON");
    assert_eq!(record["kind"], "carbon_ops");
    for (budget, words) in [
        (["--max-energy", "5"], "no unit"),
        (["--max-energy", "5kWh ± 1kWh"], "hint: give one amount"),
        (["--max-carbon", "much"], "cannot read"),
    ] {
        let run = home.does(&[&["run"][..], &budget, &["--", "touch", "ran"]].concat());
        assert_eq!(run.code(), 125, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(!home.work("ran").exists(), "what is typed wrong is refused before the command starts");
}

/// What uses three times as much is worse, what uses a third is not; what did not do its work is not compared.
#[test]
fn two_commands_are_compared_until_it_is_known_which_is_worse() {
    let home = Home::new();
    let work = |n: u32| format!("i=0; while [ $i -lt {n} ]; do i=$((i+1)); done");
    let (little, much) = (work(20_000), work(60_000));
    let compared = |a: &str, b: &str| {
        let run = home.does(&["compare", "--json", "--", "sh", "-c", a, "---", "sh", "-c", b]);
        let report: Value = serde_json::from_str(&run.text()).unwrap_or_default();
        (run.code(), report, run.stderr)
    };
    let (code, report, stderr) = compared(&little, &much);
    assert_eq!((code, report["verdict"].as_str()), (1, Some("worse")), "{report} {stderr}");
    assert!(report["ci_lower"].as_f64() > Some(1.0) && report["ratio"].as_f64() > Some(1.5));
    let (code, report, stderr) = compared(&much, &little);
    assert_eq!((code, report["verdict"].as_str()), (0, Some("not_worse")), "{report} {stderr}");
    let (code, _, stderr) = compared("exit 0", "echo words; exit 3");
    assert_eq!(code, 125);
    assert!(stderr.contains("exit status: 3") && !stderr.contains("words"), "{stderr}");
    for wrong in [&["true"][..], &["true", "---"], &["---", "true"], &[]] {
        let run = home.does(&[&["compare", "--"][..], wrong].concat());
        assert_eq!(run.code(), 125, "{wrong:?}: {}", run.stderr);
    }
    // Nothing is kept.
    assert!(!home.ledger_file().exists());
}

#[test]
fn a_command_that_cannot_start_is_126_or_127_and_leaves_no_record() {
    let home = Home::new();
    let plain = home.work("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, code) in [
        ("no-such-program-anywhere", 127),
        ("./missing/program", 127),
        ("", 127),
        ("./plain", 126),
        (".", 126),
    ] {
        // Not the caller's path: a folder in it that may not be read makes 126 of 127.
        let mut command = home.carbon_ops(&["run", "--", program]);
        let run = done(command.env("PATH", "/usr/bin:/bin"));
        assert_eq!(run.code(), code, "{program:?}: {}", run.stderr);
        assert!(run.stderr.contains("carbon-ops: "), "{}", run.stderr);
        assert!(run.stdout.is_empty());
    }
    assert_eq!(home.records().len(), 0);
}

/// Everything that can be wrong before the command starts: 125, a reason, and no start.
#[test]
fn what_fails_before_the_command_is_125_and_starts_nothing() {
    let long = format!("k={}", "x".repeat(5000));
    let home = Home::new();
    fs::write(home.work("bad.toml"), "[regoin]\ndefault = 'DE'\n").unwrap();
    fs::write(home.work("worse.json"), "{").unwrap();
    for (arguments, reason) in [
        (&["--config", "missing.toml"][..], "missing.toml"),
        (&["--config", "bad.toml"], "regoin"),
        (&["--config", "worse.json"], "worse.json"),
        (&["--region", "Atlantis"], "Atlantis"),
        (&["--region", "Germny"], "Germany"),
        (&["--region", ""], "region"),
        (&["--pue", "0.5"], "0.5"),
        (&["--pue", "cheap"], "cloud-hyperscale"),
        (&["--pue", "nan"], "pue"),
        (&["--pue", "inf"], "pue"),
        (&["--label", "novalue"], "KEY=VALUE"),
        (&["--label", "=x"], "KEY=VALUE"),
        (&["--label", "a=1", "--label", "a=2"], "twice"),
        (&["--label", &long], "label"),
        (&["--json=fd:77"], "fd:77"),
        (&["--json=fd:x"], "fd:x"),
        (&["--json=missing/record.json"], "missing/record.json"),
        (&["--ledger", "missing"], "missing"),
    ] {
        let started = [&["run"], arguments, &["--", "touch", "started"]].concat();
        let run = home.does(&started);
        assert_eq!(run.code(), 125, "{arguments:?}: {}", run.stderr);
        let said = run.stderr.to_lowercase();
        assert!(said.contains(&reason.to_lowercase()), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{arguments:?}");
        assert!(!home.work("started").exists(), "{arguments:?}");
    }
    assert_eq!(home.records().len(), 0);
}

#[test]
fn a_bad_environment_is_125_and_starts_nothing() {
    let home = Home::new();
    for (name, value) in [
        ("DCL_PUE_DEFAULT", "0.5"),
        ("DCL_DEFAULT_REGION", "Atlantis"),
        ("CPU_TDP_WATTS", "-1"),
        ("IDLE_BASELINE_WATTS", "many"),
        ("CARBON_CONFIG_PATH", "nowhere.toml"),
        ("CARBON_OPS_LEDGER", "nowhere"),
    ] {
        let run = done(home.carbon_ops(&["run", "--", "touch", "started"]).env(name, value));
        assert_eq!(run.code(), 125, "{name}: {}", run.stderr);
        let named = [name, "nowhere"].iter().any(|word| run.stderr.contains(word));
        assert!(named, "{name}: {}", run.stderr);
        assert!(!home.work("started").exists(), "{name}");
    }
}

#[test]
fn usage_errors_of_run_are_125() {
    let home = Home::new();
    for arguments in [
        &["run"][..],
        &["run", "--"],
        &["run", "--pue"],
        &["run", "--ledger", "x", "--no-ledger", "--", "touch", "started"],
    ] {
        let run = home.does(arguments);
        assert_eq!(run.code(), 125, "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
    }
    assert!(!home.work("started").exists());
}

/// A mistyped option must not become the name of the command, whose exit code would be 127.
#[test]
fn an_unknown_option_of_run_is_a_usage_error() {
    let home = Home::new();
    let run = home.does(&["run", "--regoin", "DE", "--", "touch", "started"]);
    assert_eq!(run.code(), 125, "{}", run.stderr);
    assert!(run.stderr.contains("--regoin"), "{}", run.stderr);
    assert!(!home.work("started").exists());
}

#[test]
fn usage_errors_of_run_are_125_behind_a_global_option_too() {
    let home = Home::new();
    fs::write(home.work("c.toml"), "").unwrap();
    let run = home.does(&["--config", "c.toml", "run", "--pue"]);
    assert_eq!(run.code(), 125, "{}", run.stderr);
}

/// Options behind the command's name are the command's.
#[test]
fn options_of_the_command_are_left_to_it() {
    let home = Home::new();
    for arguments in [
        &["run", "--no-ledger", "--", "printf", "%s,", "--region", "--", "-x"][..],
        &["run", "--no-ledger", "printf", "%s,", "--region", "--", "-x"],
    ] {
        let run = home.does(arguments);
        assert_eq!((run.code(), run.text().as_str()), (0, "--region,--,-x,"), "{arguments:?}");
    }
}

#[test]
fn other_usage_errors_are_2_and_help_is_0() {
    let home = Home::new();
    for arguments in [
        &[][..],
        &["nonsense"],
        &["ledger"],
        &["ledger", "verify", "--bogus"],
        &["ledger", "show", "--last", "x"],
        &["keys", "show", "a", "b"],
        &["config", "show", "--config"],
        &["schema", "x"],
    ] {
        let usage = home.does(arguments);
        assert_eq!(usage.code(), 2, "{arguments:?}: {}", usage.stderr);
        assert!(usage.stdout.is_empty() && !usage.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let help = home.does(arguments);
        assert_eq!((help.code(), help.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(help.text().contains("carbon-ops"), "{arguments:?}");
    }
}

/// Every byte value, more of them than a pipe holds, in an order that no line discipline likes.
fn noise() -> Vec<u8> {
    let mut state = 1u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(step).take(1 << 20).collect()
}

#[test]
fn pipes_through_run_stay_clean() {
    let home = Home::new();
    let bytes = noise();
    let mut command = home.carbon_ops(&["run", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let run = finish(child);
    writer.join().unwrap();
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stdout == bytes, "{} of {} bytes came back", run.stdout.len(), bytes.len());
    assert!(run.stderr.contains("CO2e"), "{}", run.stderr);
}

#[test]
fn the_summary_is_on_standard_error_alone_and_after_the_commands_own() {
    let home = Home::new();
    let run = home.does(&["run", "--", "sh", "-c", "echo data; echo said >&2"]);
    assert_eq!((run.code(), run.text().as_str()), (0, "data\n"));
    let (said, summary) = (run.stderr.find("said\n"), run.stderr.find("CO2e"));
    assert!(said.unwrap() < summary.unwrap(), "{}", run.stderr);
    assert!(run.stderr.contains(&home.ledger().display().to_string()), "{}", run.stderr);
}

#[test]
fn a_standard_error_that_nobody_reads_changes_neither_exit_code_nor_ledger() {
    let home = Home::new();
    for closed in ["2>&-", "2> >(:)", "2>/dev/full"] {
        let line = format!(r#""$CARBON_OPS" run -- sh -c 'sleep 0.1; exit 3' {closed}"#);
        assert_eq!(done(&mut home.bash(&line)).code(), 3, "{closed}");
    }
    assert_eq!(home.records().len(), 3);
}

/// The JSON is the stored line, byte for byte, wherever it was asked to go.
#[test]
fn json_goes_where_it_was_asked_to_go() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let stored = || {
        let file = fs::read_to_string(home.ledger_file()).unwrap();
        file.lines().next_back().unwrap().to_owned() + "\n"
    };

    let run = home.does(&["run", "--json", "--", "echo", "data"]);
    assert_eq!((run.code(), run.text().as_str()), (0, "data\n"));
    assert_eq!(run.stderr, stored());

    let run = home.does(&["run", "--json=record.json", "--", "echo", "data"]);
    assert_eq!((run.code(), run.text().as_str(), run.stderr.as_str()), (0, "data\n", ""));
    assert_eq!(fs::read_to_string(home.work("record.json")).unwrap(), stored());

    fs::write(home.work("third"), "before\n").unwrap();
    let run = done(&mut home.bash(r#""$CARBON_OPS" run --json=fd:3 -- echo data 3>>third"#));
    assert_eq!((run.code(), run.text().as_str(), run.stderr.as_str()), (0, "data\n", ""));
    let third = fs::read_to_string(home.work("third")).unwrap();
    assert_eq!(third, format!("before\n{}", stored()));

    let run = done(&mut home.bash(r#""$CARBON_OPS" run --json=fd:3 -- true 3>&1 | cat"#));
    assert_eq!((run.code(), run.text()), (0, stored()));
}

#[test]
fn json_without_a_ledger_is_the_unsigned_record() {
    let home = Home::new();
    let run = home.does(&["run", "--no-ledger", "--json", "--", "true"]);
    let record: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(record["type"], "carbon_estimate");
    assert!(record.get("signature").is_none() && record.get("seq").is_none());
}

/// Opened again by its path, a descriptor for reading would become one for writing.
#[test]
fn json_is_not_written_through_a_descriptor_for_reading() {
    let home = Home::new();
    fs::write(home.work("input"), "precious\n").unwrap();
    let run = done(&mut home.bash(r#""$CARBON_OPS" run --json=fd:3 -- true 3<input"#));
    assert_eq!(fs::read_to_string(home.work("input")).unwrap(), "precious\n");
    assert_eq!(run.code(), 125, "{}", run.stderr);
}

/// Service managers and some runtimes connect standard error to a socket, which has no path that
/// could be opened again.
#[test]
fn json_reaches_a_standard_error_that_is_a_socket() {
    let home = Home::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = home.carbon_ops(&["run", "--no-ledger", "--json", "--", "true"]);
    let child = command.stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs))).spawn().unwrap();
    drop(command);
    let run = finish(child);
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(run.code(), 0, "{said}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["type"], "carbon_estimate");
}

#[test]
fn no_ledger_writes_nothing() {
    let home = Home::new();
    let run = home.does(&["run", "--no-ledger", "--", "true"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    for name in ["data", "cache", "config"] {
        assert!(!home.path(name).exists(), "{name}");
    }
    assert_eq!(fs::read_dir(home.path("work")).unwrap().count(), 0);
}

#[test]
fn the_first_run_makes_key_and_ledger_and_tells_once() {
    let home = Home::new();
    let first = home.does(&["run", "--json=record.json", "--", "true"]);
    assert_eq!(first.code(), 0, "{}", first.stderr);
    let mode = fs::metadata(home.key()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let folder = fs::metadata(home.key().parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(folder & 0o7777, 0o700);

    let shown = home.does(&["keys", "show", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let fingerprint = shown["fingerprint"].as_str().unwrap();
    let ledger = home.ledger().display().to_string();
    assert!(fingerprint.starts_with("SHA256:"));
    for part in [fingerprint, &ledger, &home.key().display().to_string()] {
        assert_eq!(first.stderr.matches(part).count(), 1, "{part} in {}", first.stderr);
    }

    let second = home.does(&["run", "--json=record.json", "--", "true"]);
    assert_eq!((second.code(), second.stderr.as_str()), (0, ""));
    assert_eq!(home.records().len(), 2);
}

#[test]
fn a_ledger_that_was_named_is_not_made_in_passing() {
    let home = Home::new();
    let named = home.path("audit").display().to_string();
    let run = home.does(&["run", "--ledger", &named, "--", "touch", "started"]);
    assert_eq!(run.code(), 125);
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("carbon-ops ledger init {named}")), "{}", run.stderr);
    assert!(!home.path("audit").exists() && !home.work("started").exists());
    assert!(!home.key().exists(), "a key was made for a ledger that is not there");

    // The hint, followed, helps.
    assert_eq!(home.does(&["ledger", "init", &named]).code(), 0);
    let run = home.does(&["run", "--ledger", &named, "--", "true"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert_eq!(home.does(&["ledger", "verify", &named]).code(), 0);
    assert_eq!(home.does(&["ledger", "init", &named]).code(), 2);
}

/// Starts `run` with a shell that answers a signal; sends the signal to `run` alone.
fn send(signal: Signal, trapped: &str) -> i32 {
    let home = Home::new();
    // It ends by itself after ten seconds, should the signal never come.
    let script = format!(
        "trap 'exit 9' {trapped}; echo ready; i=0; \
         while [ $i -lt 500 ]; do sleep 0.02; i=$((i+1)); done; exit 1"
    );
    let mut command = home.at_default_signals(CARBON_OPS);
    let mut child = command.args(["run", "--", "sh", "-c", &script]).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    let code = finish(child).code();
    assert_eq!(home.records()[0]["measurement"]["workload"]["exit_code"], code);
    code
}

#[test]
fn signals_sent_to_run_reach_the_command() {
    let signals = [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGUSR2, "USR2"),
    ];
    std::thread::scope(|scope| {
        for (signal, name) in signals {
            scope.spawn(move || assert_eq!(send(signal, name), 9, "{name}"));
        }
    });
}

/// A command that does not trap the signal dies of it, and `run` tells so and still records.
#[test]
fn a_signal_that_the_command_does_not_catch_is_128_and_its_number() {
    assert_eq!(send(Signal::SIGTERM, "USR1"), 128 + 15);
}

fn blocked(command: &mut Command) -> u64 {
    let run = done(command);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let mask = run.text();
    let mask = mask.strip_prefix("SigBlk:").unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap()
}

#[test]
fn the_command_gets_the_callers_signal_mask() {
    let home = Home::new();
    let run = ["run", "--no-ledger", "--", "grep", "SigBlk", "/proc/self/status"];
    assert_eq!(blocked(&mut home.carbon_ops(&run)), 0);
    if carbon_ops_testkit::skip::can("env --block-signal=USR2 true") {
        let mut command = home.program("env");
        command.args(["--block-signal=USR2", CARBON_OPS]).args(run);
        assert_eq!(blocked(&mut command), 1 << (Signal::SIGUSR2 as u64 - 1));
    } else {
        carbon_ops_testkit::skip::skip("env", "no env(1) that blocks signals (coreutils 8.31)");
    }
}

/// A parent that ignores `SIGCHLD` makes the kernel reap its children, unless told otherwise.
#[test]
fn an_ignored_sigchld_is_not_inherited() {
    let home = Home::new();
    let burn = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7";
    let line = format!(r#"trap "" CHLD; exec "$CARBON_OPS" run -- sh -c '{burn}'"#);
    let run = done(&mut home.bash(&line));
    assert_eq!(run.code(), 7, "{}", run.stderr);
    let workload = &home.records()[0]["measurement"]["workload"];
    assert_eq!(workload["exit_code"], 7);
    assert!(decimal(&workload["cpu_time_ns"]) > 1_000_000, "{workload}");
}

/// A daemon has left the command's session and lost its parent, and is still the command's work.
#[test]
fn a_daemon_is_counted_while_it_lives() {
    let home = Home::new();
    let daemon = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; times > burnt.new; \
                  mv burnt.new burnt; i=0; \
                  while [ ! -e enough ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done";
    let script = format!(
        "(setsid bash -c '{daemon}' </dev/null >/dev/null 2>&1 &)
         while [ ! -e burnt ]; do sleep 0.05; done"
    );
    let record = home.record(&["--", "bash", "-c", &script]);
    fs::write(home.work("enough"), "").unwrap();
    assert!(record["measurement"]["workload"]["running"].as_u64().unwrap() >= 1, "{record:#}");
    assert!(has(&record, "notes", "descendants_running"), "{record:#}");
    let burnt = crate::accounting::own_seconds(&fs::read_to_string(home.work("burnt")).unwrap());
    let counted =
        std::time::Duration::from_nanos(decimal(&record["measurement"]["workload"]["cpu_time_ns"]));
    assert!(counted.as_secs_f64() >= burnt, "{counted:?} of at least {burnt} s");
    let absent = home.record(&["--", "true"]);
    assert!(
        absent["measurement"]["workload"].get("running").is_none()
            && !has(&absent, "notes", "descendants_running")
    );
}

/// A reader that has seen enough is no failure.
#[test]
fn a_broken_pipe_is_success() {
    let home = Home::new();
    home.record(&["--", "true"]);
    for arguments in [&["schema"][..], &["ledger", "show"], &["config", "show"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = home.carbon_ops(arguments);
        let run = done(command.stdout(writer));
        assert_eq!((run.code(), run.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

/// A run in a run in a run: each names the one around it, whatever else the environment holds.
#[test]
fn a_nested_run_knows_what_it_is_a_part_of() {
    let home = Home::new();
    let inner = r#""$CARBON_OPS" run --region DE -- sh -c 'echo "$CARBON_OPS_PARENT $ODD"'"#;
    let line = format!(
        r#"ODD=$'a=\xff b' "$CARBON_OPS" run --region DE -- "$CARBON_OPS" run --region DE -- {inner}"#
    );
    let told = done(&mut home.bash(&line));
    assert_eq!(told.code(), 0, "{}", told.stderr);
    let records = home.records();
    let of = |record: &Value, member: &str| record[member].as_str().map(str::to_owned);
    // The innermost ends first.
    let [inner, middle, outer] = &records[..] else { panic!("{} records", records.len()) };
    assert_eq!(of(outer, "parent"), None);
    assert_eq!(of(middle, "parent"), of(outer, "record_id"));
    assert_eq!(of(inner, "parent"), of(middle, "record_id"));
    let mut expected = of(inner, "record_id").unwrap().into_bytes();
    expected.extend(b" a=\xff b\n");
    assert_eq!(told.stdout, expected);
}

#[test]
fn a_parent_that_is_none_is_told_and_the_command_runs() {
    let home = Home::new();
    let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "true"]);
    let told = done(command.env("CARBON_OPS_PARENT", "job 7"));
    assert_eq!(told.code(), 0, "{}", told.stderr);
    assert!(
        told.stderr.contains("CARBON_OPS_PARENT: \"job 7\" names no record"),
        "{}",
        told.stderr
    );
    assert!(home.records()[0]["parent"].is_null());
}

/// The score is per unit of the work that the command says it did; without a number there is no score, and all else.
#[test]
fn a_score_is_per_unit_that_the_command_counts() {
    let home = Home::new();
    let unit = format!("--functional-unit=@{}:token", home.work("tokens").display());
    let script =
        ["--", "sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo 250 > tokens"];
    let run = home.does(&[&["run", "--region=DE", &unit][..], &script].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains(" per token, "), "{}", run.stderr);
    let record = home.records().pop().unwrap();
    assert_eq!(record["functional_unit"], serde_json::json!({ "count": 250, "name": "token" }));
    let (grams, score) =
        (record["grams"].as_f64().unwrap(), record["sci"]["g_per_unit"].as_f64().unwrap());
    assert!((score * 250.0 / grams - 1.0).abs() < 1e-8, "{score} of {grams}");
    fs::remove_file(home.work("tokens")).unwrap();
    let run = home.does(&["run", "--region=DE", &unit, "--", "sh", "-c", "exit 3"]);
    assert_eq!(run.code(), 3);
    assert!(run.stderr.contains("the record has no score: how many token: "), "{}", run.stderr);
    let record = home.records().pop().unwrap();
    assert!(record["sci"].is_null() && record["functional_unit"].is_null(), "{record}");
    assert_eq!(home.does(&["run", "--functional-unit=@x", "--", "true"]).code(), 125);
}
