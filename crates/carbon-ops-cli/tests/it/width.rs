//! What people read fits a terminal of 80 columns.
//!
//! Out of scope: where lines break (`src/layout.rs`).

use std::fs;

use crate::home::Home;

const COLUMNS: usize = 80;

/// Lines that are longer, but for a path that stands alone.
fn longer(text: &str) -> Vec<&str> {
    let is_path = |line: &str| line.trim_start().starts_with('/') && !line.trim().contains(' ');
    let lines = text.lines().filter(|line| !line.starts_with("carbon-ops: made the ledger"));
    lines.filter(|line| line.chars().count() > COLUMNS && !is_path(line)).collect()
}

#[test]
fn summaries_tables_and_diagnoses_fit_80_columns() {
    let home = Home::new();
    let hours = ["--from", "2026-03-01", "--to", "2026-03-02T05:30:10.5Z"];
    for arguments in [
        &["run", "--", "sleep", "0.1"][..],
        &["run", "--region", "us-east-1", "--embodied", "h100", "--", "true"],
        &["run", "--region", "DE", "--pue", "enterprise", "--no-ledger", "--", "true"],
        &[&["estimate", "--energy", "1.2kWh ± 2%", "--zone", "US-CA", "--buckets"][..], &hours]
            .concat(),
        &[&["estimate", "--power", "50W", "--zone", "FR", "--embodied", "8*h100"][..], &hours]
            .concat(),
        &["run", "--max-energy", "1GJ", "--max-carbon", "1t", "--", "true"],
        &["compare", "-n", "2", "--", "true", "---", "true"],
        &["ledger", "show"],
        &["ledger", "show", "--summary"],
        &["label", "1"],
        &["doctor"],
        &["zones", "germany"],
    ] {
        let done = home.does(arguments);
        let text = done.text() + &done.stderr;
        assert!(text.lines().count() > 1, "{arguments:?}: {text}");
        assert_eq!(longer(&text), [""; 0], "{arguments:?}");
    }
}

#[test]
fn a_long_path_stands_on_a_line_of_its_own_and_whole() {
    let home = Home::new();
    let folder = home.path(&format!("work/{}", "a-long-name/".repeat(7)));
    fs::create_dir_all(&folder).unwrap();
    let ledger = folder.join("ledger");
    let ledger = ledger.to_str().unwrap();
    assert_eq!(home.does(&["ledger", "init", ledger]).code(), 0);
    let done = home.does(&["run", "--ledger", ledger, "--", "true"]);
    assert!(done.stderr.lines().any(|line| line.trim() == ledger), "{}", done.stderr);
    assert_eq!(longer(&done.stderr), [""; 0]);
}
