//! From every state that a crash, a user, a thief or a restore can leave a ledger in, the commands that `ledger doctor`
//! prints lead to a ledger that verifies, says what happened, and holds everything that was acknowledged.
//!
//! Each row makes a state by hand, lets `doctor` say what it is, does what it says (and nothing else), and counts.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use serde_json::Value;

use crate::home::{Done, Home, done, lines};
use carbon_ops_testkit::skip::is_long;

/// How often the doctor may be asked before all has to be in order: a trust, a repair and a new ledger.
const ROUNDS: usize = 4;

/// A way to break things.
struct Row {
    name: &'static str,
    make: fn(&Home),
    /// What the doctor calls it, first.
    state: &'static str,
    /// What the ledger says of it afterwards.
    says: Says,
    /// Which of the four records are not to be summed afterwards, as nobody acknowledged them or they were disowned.
    lost: &'static [usize],
}

/// What a verification of the ledger that goes on shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    /// Nothing: nothing happened to the lines.
    Nothing,
    /// A recovery record.
    Recovery,
    /// That it continues another, for this reason.
    Continues(&'static str),
    /// A rotation of keys.
    Rotation,
}

use Says::{Continues, Nothing, Recovery, Rotation};

const ALL: &[usize] = &[0, 1, 2, 3];

fn file(home: &Home) -> PathBuf {
    home.ledger_file()
}

fn text(home: &Home) -> String {
    fs::read_to_string(file(home)).unwrap()
}

/// Replaces the text of a line, counted from 1.
fn edit(home: &Home, line: usize, with: impl Fn(&str) -> String) {
    let text = text(home);
    let edited = text
        .lines()
        .enumerate()
        .map(|(at, text)| if at + 1 == line { with(text) } else { text.to_owned() + "\n" });
    fs::write(file(home), edited.collect::<String>()).unwrap();
}

fn break_line(home: &Home, line: usize) {
    edit(home, line, |text| text.replacen("\"tool\"", "\"t00l\"", 1) + "\n");
}

fn does(home: &Home, arguments: &[&str]) {
    let done = home.does(arguments);
    assert_eq!(done.code(), 0, "{arguments:?}: {}", done.stderr);
}

fn checkpoint(home: &Home) {
    does(home, &["ledger", "checkpoint"]);
}

fn beside(home: &Home, name: &str) -> PathBuf {
    home.ledger().join(name)
}

fn remove(home: &Home, names: &[&str]) {
    for name in names {
        let _ = fs::remove_file(beside(home, name));
    }
}

fn cut(home: &Home, bytes: usize) {
    let text = text(home);
    fs::write(file(home), &text[..text.len() - bytes]).unwrap();
}

fn lose_key(home: &Home) {
    let first = lines(&file(home))[0]["signing_key"].as_str().unwrap().to_owned();
    does(home, &["keys", "trust", &first]);
    fs::remove_file(home.key()).unwrap();
}

/// A line that a second writer wrote where locks exclude nobody: it has the number and the link of the last one.
fn second_writer(home: &Home) {
    let other = Home::new();
    let to = other.ledger();
    fs::create_dir_all(&to).unwrap();
    fs::create_dir_all(other.key().parent().unwrap()).unwrap();
    fs::copy(home.key(), other.key()).unwrap();
    let before: String = text(home).split_inclusive('\n').take(4).collect();
    fs::write(to.join("ledger.ndjson"), &before).unwrap();
    does(&other, &["run", "--label", "n=rival", "--", "true"]);
    let rival = fs::read_to_string(other.ledger_file()).unwrap();
    let rival = rival.lines().last().unwrap().to_owned();
    fs::write(file(home), text(home) + &rival + "\n").unwrap();
}

/// A thief who has the key, and changes it.
fn thief(home: &Home) {
    let first = lines(&file(home))[0]["signing_key"].as_str().unwrap().to_owned();
    does(home, &["keys", "trust", &first]);
    fs::copy(home.key(), home.path("mine.pem")).unwrap();
    does(home, &["keys", "rotate"]);
    let keys = home.key().parent().unwrap().to_owned();
    for entry in fs::read_dir(keys).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::rename(home.path("mine.pem"), home.key()).unwrap();
}

fn restored(home: &Home, with: &[&str]) {
    let old: String = text(home).split_inclusive('\n').take(3).collect();
    checkpoint(home);
    fs::write(file(home), old).unwrap();
    remove(home, with);
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    let row = |name, state, says, lost, make| Row { name, make, state, says, lost };
    vec![
        // Nothing happened.
        row("in order", "", Nothing, &[], |_| {}),
        row("in order, with a checkpoint", "", Nothing, &[], checkpoint),
        row("sealed", "", Nothing, &[], |home| does(home, &["ledger", "seal"])),
        // Crashes.
        row("a torn last line", "torn", Recovery, &[3], |home| cut(home, 100)),
        row("a last line without its newline", "torn", Nothing, &[], |home| cut(home, 1)),
        row("bytes of a write that never ended", "torn", Recovery, &[], |home| {
            fs::write(file(home), text(home) + "{\"half\":").unwrap();
        }),
        row("a hole of zeros at the end", "torn", Recovery, &[], |home| {
            let mut bytes = fs::read(file(home)).unwrap();
            bytes.extend([0; 700]);
            fs::write(file(home), bytes).unwrap();
        }),
        row("a killed run", "waiting", Nothing, &[], |home| {
            let kept = home.key().with_extension("kept");
            fs::rename(home.key(), &kept).unwrap();
            assert_eq!(home.does(&["run", "--label", "n=waits", "--", "true"]).code(), 0);
            fs::rename(kept, home.key()).unwrap();
        }),
        row("a rotation that was interrupted", "key_stranger", Rotation, &[], |home| {
            let keys = home.key().parent().unwrap().to_owned();
            fs::copy(home.key(), keys.join("older.pem")).unwrap();
            fs::remove_file(home.key()).unwrap();
            does(home, &["keys", "generate", &home.key().display().to_string()]);
        }),
        row(
            "a new ledger that was never finished",
            "closed",
            Continues("superseded"),
            &[],
            |home| {
                let next = home.path("data/carbon-ops/ledger.next").display().to_string();
                let old = home.ledger().display().to_string();
                does(
                    home,
                    &["ledger", "init", &next, "--continues", &old, "--reason", "superseded"],
                );
            },
        ),
        row(
            "a ledger that was closed and no more",
            "closed",
            Continues("superseded"),
            &[],
            |home| {
                fs::write(beside(home, "continued"), "").unwrap();
            },
        ),
        row("a new ledger between two names", "", Continues("superseded"), &[], |home| {
            let old = home.ledger().display().to_string();
            does(home, &["ledger", "init", "--continues", &old, "--reason", "superseded"]);
            fs::rename(home.ledger(), home.path("data/carbon-ops/ledger.next")).unwrap();
        }),
        row(
            "lines that were set aside, and not appended again yet",
            "returning",
            Nothing,
            &[],
            |home| {
                fs::create_dir(beside(home, "aside")).unwrap();
                let last = text(home).lines().last().unwrap().to_owned() + "\n";
                fs::write(beside(home, "aside/returning.ndjson"), last).unwrap();
            },
        ),
        // Disks.
        row("a damaged first line", "damaged", Continues("damaged"), &[], |home| {
            checkpoint(home);
            break_line(home, 1);
        }),
        row("a damaged record in the midst", "damaged_tail", Recovery, &[1], |home| {
            break_line(home, 3);
        }),
        row("a damaged record below a checkpoint", "damaged", Continues("damaged"), &[1], |home| {
            checkpoint(home);
            break_line(home, 3);
        }),
        row(
            "a damaged record in a sealed segment",
            "damaged",
            Continues("damaged"),
            &[1],
            |home| {
                does(home, &["ledger", "seal"]);
                let segment = beside(home, "seg/0000000000-0000000004.ndjson");
                fs::set_permissions(&segment, fs::Permissions::from_mode(0o644)).unwrap();
                let sealed = fs::read_to_string(&segment).unwrap();
                let third = sealed.lines().nth(2).unwrap();
                fs::write(
                    &segment,
                    sealed.replacen(third, &third.replacen("\"tool\"", "\"t00l\"", 1), 1),
                )
                .unwrap();
            },
        ),
        row("a damaged last line", "damaged_tail", Recovery, &[3], |home| break_line(home, 5)),
        row("a line that is gone", "damaged_tail", Recovery, &[1], |home| {
            edit(home, 3, |_| String::new());
        }),
        row("a line that is there twice", "damaged_tail", Recovery, &[], |home| {
            edit(home, 3, |text| format!("{text}\n{text}\n"));
        }),
        row("two lines in the wrong order", "damaged_tail", Recovery, &[], |home| {
            let text = text(home);
            let mut all: Vec<&str> = text.split_inclusive('\n').collect();
            all.swap(2, 3);
            fs::write(file(home), all.concat()).unwrap();
        }),
        row("something else between the lines", "damaged_tail", Recovery, &[], |home| {
            edit(home, 3, |text| format!("{text}\nsomebody was here\n"));
        }),
        row("the file is gone", "lines_gone", Continues("restored"), ALL, |home| {
            checkpoint(home);
            fs::remove_file(file(home)).unwrap();
        }),
        row("the file has another name", "renamed", Nothing, &[], |home| {
            checkpoint(home);
            fs::rename(file(home), beside(home, "ledger.ndjson.bak")).unwrap();
        }),
        row(
            "the file is empty, and a checkpoint tells",
            "empty",
            Continues("restored"),
            ALL,
            |home| {
                checkpoint(home);
                fs::write(file(home), "").unwrap();
            },
        ),
        row("a segment is gone", "damaged", Continues("damaged"), &[0, 1, 2], |home| {
            let last = text(home).lines().last().unwrap().to_owned() + "\n";
            fs::create_dir(beside(home, "seg")).unwrap();
            fs::write(file(home), last).unwrap();
        }),
        row("a checkpoint of zeros", "damaged_beside", Nothing, &[], |home| {
            checkpoint(home);
            fs::write(beside(home, "checkpoint"), [0; 300]).unwrap();
        }),
        row("an empty checkpoint (F1)", "damaged_beside", Nothing, &[], |home| {
            checkpoint(home);
            fs::write(beside(home, "checkpoint"), "").unwrap();
        }),
        row("the signer's state is garbage (F1)", "damaged_beside", Nothing, &[], |home| {
            checkpoint(home);
            fs::write(beside(home, "signer.state"), "x\n").unwrap();
        }),
        row("both are", "damaged_beside", Nothing, &[], |home| {
            checkpoint(home);
            fs::write(beside(home, "signer.state"), "x\n").unwrap();
            fs::write(beside(home, "checkpoint"), "x\n").unwrap();
        }),
        row("the roster's state is garbage", "", Nothing, &[], |home| {
            checkpoint(home);
            fs::write(beside(home, "roster.state"), "x\n").unwrap();
        }),
        row("the tiles are a file (F1)", "misplaced", Nothing, &[], |home| {
            fs::write(beside(home, "tile"), "").unwrap();
        }),
        row("a bit of a tile (F1)", "", Nothing, &[], |home| {
            checkpoint(home);
            let tile = beside(home, "tile/0/000.p/5");
            let mut bytes = fs::read(&tile).unwrap();
            bytes[7] ^= 1;
            fs::write(tile, bytes).unwrap();
        }),
        row("the log of checkpoints is a folder (F1)", "misplaced", Nothing, &[], |home| {
            fs::create_dir(beside(home, "checkpoints.log")).unwrap();
        }),
        row("a temporary file is a folder (F1)", "misplaced", Nothing, &[], |home| {
            fs::create_dir(beside(home, ".checkpoint.tmp")).unwrap();
        }),
        // Users.
        row("no ledger yet", "absent", Nothing, ALL, |home| {
            fs::remove_dir_all(home.ledger()).unwrap();
        }),
        row("an empty file, and nothing tells of lines", "empty", Nothing, ALL, |home| {
            fs::write(file(home), "").unwrap();
        }),
        row("the only key is lost (F4)", "key_gone", Continues("key_lost"), &[], lose_key),
        row(
            "the only key is lost, and who it was",
            "untrusted",
            Continues("key_lost"),
            &[],
            |home| {
                fs::remove_file(home.key()).unwrap();
            },
        ),
        row(
            "the only key is lost, and a new one was made (F4)",
            "key_stranger",
            Continues("key_lost"),
            &[],
            |home| {
                lose_key(home);
                does(home, &["keys", "generate", &home.key().display().to_string()]);
            },
        ),
        row("the key file is gone, and an older key may write", "key_gone", Nothing, &[], |home| {
            fs::rename(home.key(), home.key().with_file_name("older.pem")).unwrap();
        }),
        row("the key file is garbage", "key_unreadable", Continues("key_lost"), &[], |home| {
            lose_key(home);
            fs::write(home.key(), "x").unwrap();
            fs::set_permissions(home.key(), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        row("others can read the key", "key_exposed", Nothing, &[], |home| {
            fs::set_permissions(home.key(), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        row(
            "the keys of all ledgers were changed, and this one left out (F4)",
            "key_stranger",
            Rotation,
            &[],
            |home| {
                let other = home.path("other").display().to_string();
                does(home, &["ledger", "init", &other]);
                does(home, &["keys", "rotate", &other]);
            },
        ),
        row("a second writer without a lock (F6)", "damaged_tail", Recovery, &[], second_writer),
        row("the folder is everybody's", "exposed", Nothing, &[], |home| {
            fs::set_permissions(home.ledger(), fs::Permissions::from_mode(0o777)).unwrap();
        }),
        row("the lock is everybody's (F7)", "", Nothing, &[], |home| {
            fs::set_permissions(beside(home, "lock"), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        // Thieves.
        row("a link instead of the lock (F3)", "misplaced", Nothing, &[], |home| {
            fs::remove_file(beside(home, "lock")).unwrap();
            symlink(home.path("victim"), beside(home, "lock")).unwrap();
        }),
        row("a link instead of a checkpoint (F3)", "misplaced", Nothing, &[], |home| {
            symlink(home.path("victim"), beside(home, "checkpoint")).unwrap();
        }),
        row("a thief changed the keys (F4)", "key_stranger", Continues("key_lost"), &[], thief),
        // Restores.
        row(
            "an old copy under a later checkpoint (F9)",
            "rewritten",
            Continues("restored"),
            &[2, 3],
            |home| {
                restored(home, &[]);
            },
        ),
        row(
            "an old copy, and the signer's state knows (F9)",
            "rewritten",
            Continues("restored"),
            &[2, 3],
            |home| {
                restored(home, &["checkpoint", "checkpoints.log"]);
            },
        ),
        row(
            "an old copy that was written to before anybody looked (F9)",
            "rewritten",
            Continues("restored"),
            &[2, 3],
            |home| {
                checkpoint(home);
                let state = fs::read(beside(home, "signer.state")).unwrap();
                restored(home, &["checkpoint", "checkpoints.log", "signer.state"]);
                does(home, &["run", "--label", "n=later", "--", "true"]);
                // What the signer knew comes back, from another copy.
                fs::write(beside(home, "signer.state"), state).unwrap();
            },
        ),
        row(
            "a cut in the midst of a line below a checkpoint",
            "rewritten",
            Continues("restored"),
            &[3],
            |home| {
                checkpoint(home);
                cut(home, 200);
            },
        ),
    ]
}

fn with_records() -> Home {
    let home = Home::new();
    for number in 0..4 {
        home.record(&["--label", &format!("n={number}"), "--", "true"]);
    }
    home
}

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr))
}

fn is_blocked(state: &Value) -> bool {
    state["commands"].as_array().unwrap().is_empty()
}

/// Does what the doctor says until all is in order; the names of what it found, in turn.
fn heal(home: &Home, name: &str) -> Vec<String> {
    let mut met = Vec::new();
    for _ in 0..ROUNDS {
        let doctor = home.does(&["ledger", "doctor", "--json"]);
        let report = json(&doctor);
        let Some(state) = report["states"].as_array().unwrap().first().cloned() else {
            assert_eq!(doctor.code(), 0, "{name}");
            return met;
        };
        assert_eq!(doctor.code(), 1, "{name}: {report:#}");
        assert!(!is_blocked(&state), "{name}: {report:#}");
        met.push(state["state"].as_str().unwrap().to_owned());
        for command in state["commands"].as_array().unwrap() {
            let words: Vec<&str> =
                command.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            let done = match &words[..] {
                ["carbon-ops", rest @ ..] => home.does(rest),
                [program, rest @ ..] => done(home.program(program).args(rest)),
                [] => panic!("{name}: an empty command"),
            };
            assert_eq!(done.code(), 0, "{name}: {words:?}: {}{}", done.text(), done.stderr);
        }
    }
    panic!("{name}: not in order after {met:?}: {}", home.does(&["ledger", "doctor"]).text());
}

/// The labels of what sums count, in the ledger and those before it.
fn summed(home: &Home) -> BTreeSet<String> {
    let report = json(&home.does(&["ledger", "verify", "--json"]));
    let mut found = BTreeSet::new();
    let mut ledgers = vec![file(home)];
    for link in report["before"].as_array().into_iter().flatten() {
        ledgers.push(PathBuf::from(link["path"].as_str().unwrap()));
    }
    for ledger in ledgers.iter().filter(|ledger| ledger.exists()) {
        let ledger = ledger.display().to_string();
        // What is not valid is not summed.
        if home.does(&["aggregate", &ledger]).code() != 0 {
            continue;
        }
        let shown = home.does(&["ledger", "show", "--json", "--last", "99", &ledger]).text();
        let shown = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        found.extend(shown.filter_map(|line| Some(line["labels"]["n"].as_str()?.to_owned())));
    }
    found
}

fn check(row: &Row) {
    let name = row.name;
    let home = with_records();
    (row.make)(&home);
    let met = heal(&home, name);
    assert_eq!(met.first().map_or("", String::as_str), row.state, "{name}: {met:?}");
    // A job runs, and its record gets in.
    let run = home.does(&["run", "--label", "n=after", "--", "true"]);
    assert_eq!(run.code(), 0, "{name}: {}", run.stderr);
    let verified = home.does(&["ledger", "verify", "--json"]);
    assert_eq!(verified.code(), 0, "{name}: {}", verified.text());
    let report = json(&verified);
    let says = match (&report["continues"]["reason"], &report["recoveries"], &report["rotations"]) {
        (Value::String(reason), ..) => format!("{:?}", Continues(reason.clone().leak())),
        (_, _, Value::Number(_)) => format!("{Rotation:?}"),
        (_, Value::Number(count), _) if count.as_u64() != Some(0) => format!("{Recovery:?}"),
        _ => format!("{Nothing:?}"),
    };
    assert_eq!(says, format!("{:?}", row.says), "{name}: {report:#}");
    let found = summed(&home);
    assert!(found.contains("after"), "{name}: {found:?}");
    // What came beside the four, and was acknowledged.
    for more in [("a killed run", "waits"), ("a second writer without a lock (F6)", "rival")] {
        assert!(name != more.0 || found.contains(more.1), "{name}: {found:?}");
    }
    for number in ALL.iter().filter(|number| !row.lost.contains(number)) {
        assert!(found.contains(&number.to_string()), "{name}: record {number} is not in {found:?}");
    }
    // Nobody else wrote anything that nobody asked for.
    let doctor = home.does(&["ledger", "doctor"]);
    assert_eq!(doctor.code(), 0, "{name}: {}", doctor.text());
}

#[test]
fn a_ledger_in_the_place_of_another_is_no_state_that_a_command_leads_on_from() {
    let (home, other) = (with_records(), with_records());
    checkpoint(&home);
    fs::copy(other.ledger_file(), file(&home)).unwrap();
    let doctor = home.does(&["ledger", "doctor", "--json"]);
    assert_eq!(doctor.code(), 1);
    let state = &json(&doctor)["states"][0];
    assert_eq!((&state["state"], is_blocked(state)), (&"replaced".into(), true), "{state:#}");
    // Nor does a repair take the evidence away.
    home.does(&["ledger", "repair"]);
    assert!(beside(&home, "checkpoint").exists());
}

#[test]
fn from_every_state_the_printed_commands_lead_to_a_ledger_that_verifies_and_has_all() {
    let rows = rows();
    assert!(rows.len() >= 40, "{}", rows.len());
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    // Every third of them, and each state once, unless all are asked for.
    let mut states = BTreeSet::new();
    for (number, row) in rows.iter().enumerate() {
        if states.insert(row.state) || is_long() || number % 3 == 0 {
            check(row);
        }
    }
}
