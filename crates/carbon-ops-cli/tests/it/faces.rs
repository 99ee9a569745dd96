//! What commands print at terminals of 40, 80 and 120 columns, with and without colours, and in ASCII.
//!
//! Rule: no line is wider than the terminal but for one word that is longer alone; a locale without other letters is shown
//! ASCII; what programs take (proofs, checkpoints, documents) is the same everywhere.
//!
//! Out of scope: help texts (`src/args/help.rs`) and the live view (`top`).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use carbon_ops_testkit::terminal::Terminal;

use crate::home::{CARBON_OPS, Home, done};

/// Commands whose figures are the machine's.
const OF_THE_MACHINE: [&str; 27] = [
    "run --region DE -- true",
    "run --max-energy 1GJ --embodied h100 -- true",
    "run -- not-there",
    "run -- 'make -j8'",
    "run --region Germny -- true",
    "compare -n 2 -- true --- true",
    "monitor --all --count 1 --interval 50ms",
    "monitor --pid $$ --count 1 --interval 50ms",
    "intensity --zone US-CA --provider static",
    "intensity --zone DE --from 2026-03-01 --to 2026-03-02 --provider gb --offline",
    "zones germany",
    "zones nowhere",
    "doctor",
    "config show",
    "ledger verify",
    "ledger verify nowhere",
    "ledger heartbeat --interval 1h",
    "ledger init other",
    "ledger seal",
    "ledger audit-pack --out p.pack",
    "ledger verify-pack p.pack --show",
    "keys show",
    "keys trust",
    "keys rotate",
    "keys generate k.pem",
    "power-analysis --sd 2 --difference 1",
    "calibrate --duration 1s",
];

/// Commands whose figures are those of a ledger that is kept as it was, or stated.
const OF_RECORDS: [&str; 13] = [
    "ledger verify run.ndjson --trust $KEY",
    "ledger verify torn.ndjson --trust $KEY",
    "ledger verify run.ndjson",
    "ledger show run.ndjson",
    "ledger show corrected.ndjson --summary",
    "aggregate run.ndjson --trust $KEY",
    "aggregate records.ndjson --trust $KEY --by region",
    "report run.ndjson --trust $KEY",
    "anomaly records.ndjson --trust $KEY",
    "label run.ndjson:1",
    "label --grams '57g ± 10%'",
    "estimate --energy '1.2kWh ± 2%' --intensity '400 ± 10%' --pue 'tn(1.2, 0.05, min=1)'",
    "estimate --energy '5 miles' --intensity 400",
];

const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// What commands print at a terminal of so many columns, each below a line with its own words; nothing, said aloud,
/// where there is no terminal.
fn shown(home: &Home, columns: usize, locale: &str, commands: &[&str]) -> Option<String> {
    let mut script = format!(
        "stty cols {columns} rows 50\nexport KEY={KEY} LC_ALL={locale} TERM=xterm\ncarbon-ops() {{ {CARBON_OPS} \"$@\"; }}\n"
    );
    for command in commands {
        let quoted = command.replace(['\'', '$'], "");
        writeln!(script, "echo '@@ {quoted}'\ncarbon-ops {command}").unwrap();
    }
    script += "echo '@@ end'\n";
    fs::write(home.work("faces.sh"), script).unwrap();
    let mut terminal = Terminal::start(home, "bash faces.sh")?;
    terminal.until("the last command", |shown| String::from_utf8_lossy(shown).contains("@@ end"));
    Some(terminal.finish().text().replace("\r\n", "\n"))
}

/// A home with a few records of its own and those that are kept.
fn home() -> Home {
    let home = Home::new();
    home.record(&["--region", "DE", "--label", "team=a", "--", "true"]);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledgers/v1");
    for name in ["run", "records", "corrected", "torn"] {
        let name = format!("{name}.ndjson");
        fs::copy(kept.join(&name), home.work(&name)).unwrap();
    }
    home
}

/// Lines that are wider than they may be, each with the command that it is of.
fn wider(text: &str, columns: usize) -> Vec<String> {
    let (mut of, mut found) = ("", Vec::new());
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("@@ ") {
            of = command;
            continue;
        }
        // What was written over before.
        let line = line.rsplit('\r').next().unwrap_or_default();
        let line = line.trim_start_matches("\x1b[2J\x1b[H").trim_end();
        if line.chars().count() > columns && line.trim().contains(' ') {
            found.push(format!("{of}: {line}"));
        }
    }
    found
}

#[test]
fn every_text_fits_the_terminal_and_has_no_colour() {
    for columns in [40, 80, 120] {
        let commands = [&OF_THE_MACHINE[..], &OF_RECORDS].concat();
        let Some(text) = shown(&home(), columns, "C.UTF-8", &commands) else { return };
        assert_eq!(wider(&text, columns), [""; 0], "{columns} columns");
        let text = text.replace("\x1b[2J\x1b[H", "");
        assert!(!text.contains('\x1b'), "{text}");
    }
}

#[test]
fn a_locale_without_other_letters_is_shown_ascii() {
    let commands = [&OF_THE_MACHINE[..], &OF_RECORDS].concat();
    let Some(text) = shown(&home(), 80, "C", &commands) else { return };
    let other: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("@@") && !line.is_ascii()).collect();
    assert_eq!(other, [""; 0]);
    assert_eq!(wider(&text, 80), [""; 0]);
    assert!(text.contains("+-") && text.contains("uJ"), "{text}");
}

#[test]
fn what_kept_records_are_told_as_stays() {
    for (columns, locale, name) in
        [(40, "C.UTF-8", "40"), (80, "C.UTF-8", "80"), (120, "C.UTF-8", "120"), (80, "C", "ascii")]
    {
        let Some(text) = shown(&home(), columns, locale, &OF_RECORDS) else { return };
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn without_a_terminal_too_the_locale_decides_and_what_programs_take_stays() {
    let home = home();
    let does = |locale: &str, line: &str| {
        let line = format!("\"$CARBON_OPS\" {line} 2>&1");
        done(home.bash(&line).env("LC_ALL", locale)).text()
    };
    let text = "estimate --energy '1 miles' --intensity 400";
    assert!(does("C.UTF-8", text).contains("1.2kWh ± 2%"), "{}", does("C.UTF-8", text));
    assert!(does("C", text).contains("1.2kWh +- 2%"), "{}", does("C", text));
    assert!(does("C", "label --help").is_ascii());
    let whole = "estimate --energy '1.2kWh ± 2%' --intensity 400 --label a=µ --json --from 2026-03-01 --to 2026-03-02";
    let of = |text: String| {
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["labels"]["a"].clone()
    };
    assert_eq!(of(does("C", whole)), "µ");
    assert_eq!(done(&mut home.carbon_ops(&["ledger", "checkpoint"])).code(), 0);
    for exact in ["ledger prove 1", "ledger show --json", "ledger log-key", "report --md"] {
        assert_eq!(does("C", exact), does("C.UTF-8", exact), "{exact}");
    }
}

#[test]
fn help_has_colours_where_they_are_wanted() {
    let home = Home::new();
    let help = |environment: &str| {
        let line = format!("env TERM=xterm {environment} {CARBON_OPS} label --help");
        Some(Terminal::start(&home, &line)?.finish().text())
    };
    let Some(coloured) = help("") else { return };
    assert!(coloured.contains('\x1b'), "{coloured}");
    let plain = help("NO_COLOR=1").unwrap();
    assert!(!plain.contains('\x1b') && plain.contains("Usage: carbon-ops label"), "{plain}");
}
