//! A meter never stops the metered, and never loses it: whatever fails beside the command, the command runs and
//! its exit code stays; a measurement that is killed leaves what it had.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use carbon_ops_testkit::skip::{can, skip};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::home::{CARBON_OPS, Home, done};

fn spooled(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.ledger().join("spool"));
    let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Ends with `carbon-ops run` dead, and CMD alive until then.
const KILL: &str = "until ls \"$XDG_DATA_HOME\"/carbon-ops/ledger/spool/*.json; do sleep 0.02; done \
    >/dev/null 2>&1; kill -9 $PPID";

#[test]
fn a_killed_run_leaves_what_it_had_and_the_next_command_appends_it() {
    type Next<'a> = &'a [&'a str];
    let nexts: [Next<'_>; 4] = [
        &["run", "--", "true"],
        &["ledger", "append"],
        &["ledger", "checkpoint"],
        &[
            "estimate",
            "--energy",
            "1kWh",
            "--zone",
            "DE",
            "--from",
            "2026-03-01",
            "--to",
            "2026-03-02",
        ],
    ];
    for next in nexts {
        let home = Home::new();
        home.record(&["--", "true"]);
        fs::write(home.work("old.json"), "old").unwrap();
        let mut run = home.carbon_ops(&["run", "--label", "job=long", "--json=old.json", "--"]);
        run.args(["sh", "-c", KILL]).env("CARBON_OPS_SAVE_EVERY", "100ms");
        let killed = run.status().unwrap();
        assert_eq!(killed.code(), None, "{killed}");
        assert_eq!(fs::read_to_string(home.work("old.json")).unwrap(), "old");
        assert_eq!(fs::read_dir(home.work("")).unwrap().count(), 1, "litter");
        assert_eq!(spooled(&home).len(), 2);

        let mut command = home.carbon_ops(next);
        if next[0] == "estimate" {
            let ledger = home.ledger();
            command.arg("--ledger").arg(ledger);
        }
        let next = done(&mut command);
        assert_eq!(next.code(), 0, "{}", next.stderr);
        assert!(next.stderr.contains("appended the record of sh of "), "{}", next.stderr);
        assert_eq!(spooled(&home), [""; 0]);
        let records = home.records();
        let of_long = |record: &&Value| record["labels"]["job"] == "long";
        let long: Vec<_> = records.iter().filter(of_long).collect();
        let [long] = long[..] else { panic!("{records:?}") };
        assert_eq!(long["interrupted"], true);
        assert_eq!(long["measurement"]["workload"]["program"], "sh");
        assert!(long["measurement"]["workload"].get("exit_code").is_none());
        assert!(long["energy_kwh"].as_f64().unwrap() > 0.0);
        assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
        let shown = home.does(&["ledger", "show", "--summary", "--last", "1"]);
        assert_eq!(shown.code(), 0, "{}", shown.stderr);
    }
}

/// What may be wrong around a command, and whether its record is kept beside the ledger or told.
struct Trouble {
    name: &'static str,
    make: fn(&Home, &mut Command),
    /// Ends the trouble.
    mend: fn(&Home),
    is_kept: bool,
}

fn troubles() -> [Trouble; 6] {
    let nothing: fn(&Home) = |_| {};
    [
        Trouble {
            name: "no home",
            make: |_, run| {
                for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    run.env_remove(name);
                }
            },
            mend: nothing,
            is_kept: false,
        },
        Trouble {
            name: "a home that cannot be made",
            make: |_, run| {
                run.env("XDG_DATA_HOME", "/dev/null/home");
            },
            mend: nothing,
            is_kept: false,
        },
        Trouble {
            name: "a key that others can read",
            make: |home, _| fs::set_permissions(home.key(), Permissions::from_mode(0o644)).unwrap(),
            mend: |home| fs::set_permissions(home.key(), Permissions::from_mode(0o600)).unwrap(),
            is_kept: true,
        },
        Trouble {
            name: "a key that is gone",
            make: |home, _| fs::rename(home.key(), home.work("key")).unwrap(),
            mend: |home| fs::rename(home.work("key"), home.key()).unwrap(),
            is_kept: true,
        },
        Trouble {
            name: "a damaged ledger",
            make: |home, _| {
                fs::copy(home.ledger_file(), home.work("whole")).unwrap();
                let text = fs::read_to_string(home.ledger_file()).unwrap();
                fs::write(home.ledger_file(), text.replace("\"true\"", "\"trve\"")).unwrap();
            },
            mend: |home| {
                fs::copy(home.work("whole"), home.ledger_file()).unwrap();
            },
            is_kept: true,
        },
        Trouble {
            name: "a file where the records are kept",
            make: |home, _| {
                fs::set_permissions(home.key(), Permissions::from_mode(0o644)).unwrap();
                fs::write(home.ledger().join("spool"), "").unwrap();
            },
            mend: |home| fs::set_permissions(home.key(), Permissions::from_mode(0o600)).unwrap(),
            is_kept: false,
        },
    ]
}

#[test]
fn whatever_fails_around_a_command_does_not_stop_it() {
    for trouble in troubles() {
        for code in [0, 3] {
            let home = Home::new();
            home.record(&["--", "true"]);
            let script = format!("echo >> ran; exit {code}");
            let mut run = home.carbon_ops(&["run", "--label", "n=x", "--", "sh", "-c", &script]);
            (trouble.make)(&home, &mut run);
            let run = done(&mut run);
            let ran = fs::read_to_string(home.work("ran")).unwrap();
            assert_eq!((run.code(), &*ran), (code, "\n"), "{}: {}", trouble.name, run.stderr);
            let told = run.stderr.lines().find(|line| line.starts_with('{'));
            assert_eq!(told.is_none(), trouble.is_kept, "{}: {}", trouble.name, run.stderr);
            if let Some(told) = told {
                let told: Value = serde_json::from_str(told).unwrap();
                assert_eq!(told["measurement"]["workload"]["exit_code"], code);
            }
            (trouble.mend)(&home);
            home.does(&["run", "--", "true"]);
            let is_x = |record: &&Value| record["labels"]["n"] == "x";
            let records = home.records();
            assert_eq!(records.iter().filter(is_x).count(), usize::from(trouble.is_kept));
            assert_eq!(home.does(&["ledger", "verify"]).code(), 0, "{}", trouble.name);
        }
        let home = Home::new();
        home.record(&["--", "true"]);
        let mut run = home.carbon_ops(&["run", "--strict", "--", "touch", "ran"]);
        (trouble.make)(&home, &mut run);
        let run = done(&mut run);
        assert_eq!(run.code(), 125, "{}: {}", trouble.name, run.stderr);
        assert!(!home.work("ran").exists(), "{}", trouble.name);
    }
}

/// A ledger that is in use for long: the command does not wait for it, nor is its record lost.
#[test]
fn a_ledger_that_somebody_holds_gets_the_record_later() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let lock = File::options().write(true).open(home.ledger().join("lock")).unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let run = home.does(&["run", "--", "true"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains("it is kept in "), "{}", run.stderr);
    drop(lock);
    home.does(&["run", "--", "true"]);
    assert_eq!(home.records().len(), 3);
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}

#[test]
fn what_the_user_names_wrong_is_told_before_the_command_starts() {
    let home = Home::new();
    for wrong in [
        &["--ledger", "nowhere"][..],
        &["--region", "XX"],
        &["--pue", "0.5"],
        &["--provider", "mars"],
        &["--json=nowhere/x.json"],
        &["--json=."],
    ] {
        let run = home.does(&[&["run"], wrong, &["--", "touch", "ran"]].concat());
        assert_eq!(run.code(), 125, "{wrong:?}: {}", run.stderr);
    }
    let mut run = home.carbon_ops(&["run", "--", "touch", "ran"]);
    assert_eq!(done(run.env("CARBON_OPS_KEY", "nowhere.pem")).code(), 125);
    assert!(!home.work("ran").exists());
}

/// The limit of a job's files is not its meter's end.
#[test]
fn a_limit_of_file_sizes_takes_neither_record_nor_exit_code() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let script = format!("ulimit -f 0; exec {CARBON_OPS} run -- sh -c 'exit 3'");
    let run = done(home.program("bash").args(["-c", &script]));
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert!(run.stderr.lines().any(|line| line.starts_with('{')), "{}", run.stderr);
    // The command has its own: the signal ends it.
    let script = format!(
        "ulimit -f 1; exec {CARBON_OPS} run --no-ledger -- sh -c 'head -c 9999 /dev/zero > big'"
    );
    let run = done(home.program("bash").args(["-c", &script]));
    assert_eq!(run.code(), 128 + 25, "{}", run.stderr);
    home.does(&["run", "--", "true"]);
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}

/// Calls that a filter of system calls may refuse are gone without.
#[test]
fn a_kernel_that_refuses_calls_does_not_stop_the_command() {
    if !cfg!(target_arch = "x86_64") || !can("perl -e 1") {
        return skip("seccomp", "no perl(1), or numbers of another architecture");
    }
    // prctl(PR_SET_NO_NEW_PRIVS), then a filter: load the number of the system call; if it is the one,
    // return EPERM; else allow.
    let perl = "my ($number, @command) = @ARGV; \
        my @filter = ([0x20, 0, 0, 0], [0x15, 0, 1, $number], [6, 0, 0, 0x50001], \
                      [6, 0, 0, 0x7fff0000]); \
        my $code = join '', map { pack 'SCCL', @$_ } @filter; \
        my $program = pack 'S x![P] P', 4, $code; \
        syscall(157, 38, 1, 0, 0, 0) == 0 or exit 77; \
        syscall(157, 22, 2, $program, 0, 0) == 0 or exit 77; \
        exec @command";
    // prctl, rt_sigtimedwait, signalfd4, clone3, flock, fsync, getrusage.
    for number in ["157", "128", "289", "435", "73", "74", "98"] {
        let home = Home::new();
        let mut run = home.program("perl");
        run.args(["-e", perl, number, CARBON_OPS, "run", "--", "sh", "-c", "touch ran; exit 4"]);
        let run = done(&mut run);
        if run.code() == 77 {
            return skip("seccomp", "no filter of system calls may be set");
        }
        assert_eq!(run.code(), 4, "{number}: {}", run.stderr);
        assert!(home.work("ran").exists(), "{number}");
    }
}
