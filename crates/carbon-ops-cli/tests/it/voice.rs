//! Every error in one voice: bad inputs to every command that takes them, and what none of them may say.
//!
//! Out of scope: which words are ours (`carbon-ops-words`, `voice`), and each error's own sense.

use std::fs;
use std::process::Stdio;

use crate::home::{Home, done};

/// What only a library, a system or a programmer says.
const NOT_OURS: [&str; 12] = [
    "os error",
    "EOF while",
    "parse error",
    "CSV error",
    " --> ",
    "sequence of",
    "entity not found",
    "byte index",
    "Error(",
    "Err(",
    "panicked",
    " at path ",
];

/// Files that are not what they should be, by their names.
const FILES: [(&str, &[u8]); 9] = [
    ("cut.json", b"{\"grams\":1"),
    ("list.json", b"[1, 2\n, }"),
    ("cut.yml", b"pue: [\n"),
    ("cut.toml", b"[region\ndefault"),
    ("type.toml", b"[pue]\ndefault = [[1]]\n"),
    ("utf16.json", b"\xff\xfe{\0}\0"),
    ("short.csv", b"start,end,energy_kwh\n2026-03-01\n"),
    ("words.ndjson", b"{\"start\":\"x\",\"end\":\"y\",\"energy_kwh\":\"z\"}\n"),
    ("empty", b""),
];

/// Commands, with FILE where a bad one goes.
const COMMANDS: [&str; 19] = [
    "--config FILE config show",
    "label FILE",
    "aggregate FILE",
    "anomaly FILE",
    "report FILE",
    "aggregate --market FILE",
    "estimate --recompute FILE",
    "estimate --energy 1kWh --from 2026-03-01 --to 2026-03-02 --zone DE --market FILE",
    "run --market FILE -- true",
    "run --trust FILE -- true",
    "ledger verify FILE",
    "ledger verify --trust FILE",
    "ledger verify --since FILE",
    "ledger verify-pack FILE",
    "ledger check-proof FILE",
    "ledger consistency FILE FILE",
    "ledger show FILE",
    "ledger append --profile 0.1 FILE",
    "keys trust FILE",
];

fn is_in_our_voice(said: &str) -> Result<(), String> {
    if let Some(theirs) = NOT_OURS.iter().find(|theirs| said.contains(*theirs)) {
        return Err(format!("says {theirs:?}"));
    }
    let place = |words: &str| words.starts_with(|letter: char| letter.is_ascii_digit());
    if said.split(" column ").skip(1).any(place) {
        return Err("counts columns".to_owned());
    }
    let hints = said.lines().filter(|line| line.starts_with("hint: ")).count();
    if hints > 1 {
        return Err(format!("{hints} hints"));
    }
    Ok(())
}

#[test]
fn no_bad_file_makes_a_library_speak() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let mut names: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (name, bytes) in FILES {
        fs::write(home.work(name), bytes).unwrap();
    }
    fs::create_dir(home.work("folder")).unwrap();
    names.extend(["folder", "not-there", "folder/not/there"].map(str::to_owned));
    let mut wrong = Vec::new();
    for command in COMMANDS {
        for name in &names {
            let words = command.replace("FILE", name);
            let words: Vec<&str> = words.split(' ').collect();
            let mut command = home.carbon_ops(&words);
            let done = done(command.stdin(Stdio::null()));
            let said = format!("{}{}", done.text(), done.stderr);
            if let Err(why) = is_in_our_voice(&said) {
                wrong.push(format!("{} {why}\n{said}", words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_bad_stream_and_no_bad_place_makes_a_library_speak() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let mut wrong = Vec::new();
    for (name, bytes) in FILES {
        fs::write(home.work(name), bytes).unwrap();
        for line in ["estimate", "estimate --format csv", "ledger append"] {
            let done = done(&mut home.bash(&format!("\"$CARBON_OPS\" {line} < {name}")));
            let said = format!("{}{}", done.text(), done.stderr);
            if let Err(why) = is_in_our_voice(&said) {
                wrong.push(format!("{line} < {name} {why}\n{said}"));
            }
        }
    }
    for line in [
        "run -- not-there",
        "run -- /etc",
        "run --json=/not/there -- true",
        "run --ledger /proc/not/there -- true",
        "report --html /not/there",
        "man /proc/not/there",
        "ledger init /proc/not/there",
        "keys generate /proc/not/there",
        "ledger audit-pack --out /not/there",
        "intensity --zone DE --plot=/not/there",
        "witness init --name w.example/w --dir /proc/not/there",
    ] {
        let done = done(&mut home.bash(&format!("\"$CARBON_OPS\" {line}")));
        let said = format!("{}{}", done.text(), done.stderr);
        if let Err(why) = is_in_our_voice(&said) {
            wrong.push(format!("{line} {why}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them\n\n{}", wrong.len(), wrong.join("\n"));
}
