//! What the work is called by its owner, from outside: found, said, shown and summed by.

use std::fs;

use serde_json::{Value, json};

use crate::home::{Done, Home, done};

fn record(done: &Done) -> Value {
    let line = done.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    serde_json::from_str(line).unwrap()
}

fn run_with(home: &Home, variables: &[(&str, &str)], more: &[&str]) -> Done {
    let common = ["run", "--json"];
    let mut command = home.carbon_ops(&[&common[..], more, &["--", "true"]].concat());
    command.envs(variables.iter().copied());
    done(&mut command)
}

#[test]
fn a_record_of_run_has_the_name_that_its_owner_knows() {
    let home = Home::new();
    let job = [("GITHUB_REPOSITORY", "o/r"), ("GITHUB_RUN_ID", "42"), ("GITHUB_ACTOR", "somebody")];
    let found = run_with(&home, &job, &[]);
    assert_eq!(found.code(), 0, "{}", found.stderr);
    let ids = json!({ "repository": "o/r", "run": "42" });
    assert_eq!(record(&found)["unit"], json!({ "ids": ids, "kind": "github" }));
    // What is said by hand wins.
    let said = record(&run_with(&home, &job, &["--unit", "job=nightly", "--unit", "shard=3"]));
    let ids = json!({ "job": "nightly", "shard": "3" });
    assert_eq!(said["unit"], json!({ "ids": ids, "kind": "manual" }));
    let sums = home.does(&["aggregate", "--json", "--by", "unit"]);
    let sums: Value = serde_json::from_slice(&sums.stdout).unwrap();
    assert_eq!(sums["groups"]["github: repository=o/r, run=42"]["count"], 1, "{sums:#}");
    assert_eq!(sums["groups"]["manual: job=nightly, shard=3"]["count"], 1, "{sums:#}");
    let by_id =
        home.does(&["aggregate", "--json", "--by", "unit:run", "--where", "unit:kind=github"]);
    let by_id: Value = serde_json::from_slice(&by_id.stdout).unwrap();
    assert_eq!((&by_id["groups"]["42"]["count"], &by_id["all"]["count"]), (&json!(1), &json!(1)));
    let none = home.does(&["aggregate", "--where", "unit:job=daily"]);
    assert_eq!(none.code(), 1, "{}", none.stderr);
}

#[test]
fn what_is_no_id_is_refused_before_the_command_runs() {
    let home = Home::new();
    for wrong in [&["job"][..], &["=x"], &["job="], &["a=1", "a=2"]] {
        let options: Vec<&str> = wrong.iter().flat_map(|unit| ["--unit", *unit]).collect();
        let refused = home.does(&[&["run"][..], &options, &["--", "touch", "ran"]].concat());
        assert_eq!(refused.code(), 125, "{wrong:?}: {}", refused.stderr);
        assert!(!home.work("ran").exists(), "{wrong:?}");
    }
    let refused = home.does(&["aggregate", "--where", "job", "x.ndjson"]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
}

/// Spans and samples have it as records do.
#[test]
fn estimates_and_their_rows_are_summed_by_it() {
    let home = Home::new();
    fs::write(
        home.work("spans.csv"),
        "start,end,energy_kwh\n2026-03-01T00:00Z,2026-03-01T01:00Z,1\n",
    )
    .unwrap();
    let line = "\"$CARBON_OPS\" estimate --zone DE --unit team=a < spans.csv > rows.ndjson && \
                \"$CARBON_OPS\" estimate --zone DE --unit team=b --records < spans.csv >> rows.ndjson";
    let made = done(&mut home.bash(line));
    assert_eq!(made.code(), 0, "{}", made.stderr);
    let sums = home.does(&["aggregate", "--json", "--by", "unit:team", "rows.ndjson"]);
    let sums: Value = serde_json::from_slice(&sums.stdout).unwrap();
    for team in ["a", "b"] {
        assert_eq!(sums["groups"][team]["total_energy_kwh"], 1.0, "{sums:#}");
    }
}
