//! Expressions on planted series: two hours of a host of 100 W, of which each part is known.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::*;
use crate::prometheus::{About, text};

/// Series of a minute's steps, by hand. The host: 6,000 J a minute are 100 W and 0.1 kWh an hour. Idle 30 W, a pod of
/// `shop` 50 W, one of `batch` 10 W, a job 5 W, rest 5 W. 400 g/kWh at the mean, from half of it to twice.
const SERIES: &str = r#"
      - series: 'carbon_ops_host_energy_joules_total{instance="a",domain="package-0"}'
        values: '0+4500x120'
      - series: 'carbon_ops_host_energy_joules_total{instance="a",domain="dram-0"}'
        values: '0+1500x120'
      - series: 'carbon_ops_unit_energy_joules_total{instance="a",kind="idle",unit=""}'
        values: '0+1800x120'
      - series: 'carbon_ops_unit_energy_joules_total{instance="a",kind="rest",unit=""}'
        values: '0+300x120'
      - series: 'carbon_ops_unit_energy_joules_total{instance="a",kind="kubernetes",unit="shop/web-0/app",namespace="shop",pod="web-0"}'
        values: '0+3000x120'
      - series: 'carbon_ops_unit_energy_joules_total{instance="a",kind="kubernetes",unit="batch/x/y",namespace="batch",pod="x"}'
        values: '0+600x120'
      - series: 'carbon_ops_unit_energy_joules_total{instance="a",kind="slurm",unit="4711/0",job="4711",step="0"}'
        values: '0+300x120'
      - series: 'carbon_ops_unit_carbon_grams_total{instance="a",kind="kubernetes",unit="shop/web-0/app"}'
        values: '0+0.666666666666666x120'
      - series: 'carbon_ops_unit_carbon_lower_grams_total{instance="a",kind="kubernetes",unit="shop/web-0/app"}'
        values: '0+0.333333333333333x120'
      - series: 'carbon_ops_unit_carbon_upper_grams_total{instance="a",kind="kubernetes",unit="shop/web-0/app"}'
        values: '0+1.333333333333333x120'
      - series: 'carbon_ops_quality{instance="a",flag="measured"}'
        values: '1x120'
      - series: 'carbon_ops_quality{instance="a",flag="estimated"}'
        values: '0x120'
      - series: 'carbon_ops_coverage_ratio{instance="a"}'
        values: '1x60 0.5x59'
      - series: 'carbon_ops_last_look_timestamp_seconds{instance="a"}'
        values: '0+60x60 3600x59'
      - series: 'carbon_ops_intervals_waiting{instance="a"}'
        values: '0x60 9x59'
      - series: 'carbon_ops_gaps_total{instance="a"}'
        values: '0x60 1x59'
      - series: 'carbon_ops_unit_unnamed_cpu_seconds_total{instance="a"}'
        values: '0+12x120'
"#;

/// What each query of each panel comes to at two hours, over an hour, in the order of the table.
const EXPECTED: [&[(&str, f64)]; 13] = [
    &[(r#"{instance="a"}"#, 100.0)],
    &[
        (r#"{kind="idle"}"#, 30.0),
        (r#"{kind="rest"}"#, 5.0),
        (r#"{kind="kubernetes"}"#, 60.0),
        (r#"{kind="slurm"}"#, 5.0),
    ],
    &[("{}", 0.1)],
    &[("{}", 20.0)],
    &[("{}", 40.0)],
    &[("{}", 80.0)],
    &[("{}", 0.3)],
    &[(r#"{namespace="shop"}"#, 0.05), (r#"{namespace="batch"}"#, 0.01)],
    &[(r#"{job="4711"}"#, 0.005)],
    &[
        (r#"{kind="kubernetes",unit="shop/web-0/app"}"#, 50.0),
        (r#"{kind="kubernetes",unit="batch/x/y"}"#, 10.0),
        (r#"{kind="slurm",unit="4711/0"}"#, 5.0),
    ],
    &[(r#"{instance="a"}"#, 400.0)],
    &[(r#"{flag="measured"}"#, 1.0)],
    &[("{}", 0.5)],
];

fn expressions() -> Vec<&'static str> {
    PANELS.iter().flat_map(|panel| panel.queries.iter().map(|(expr, _)| *expr)).collect()
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("carbon_ops_")).collect()
}

#[test]
fn no_expression_names_a_metric_that_the_agent_does_not_tell() {
    let told = text(&carbon_ops::agent::Totals::default(), &About::default()).unwrap();
    let told = names(&told);
    let asked = expressions().into_iter().chain(ALERTS.iter().map(|alert| alert.when));
    let asked: Vec<&str> = asked.collect();
    for expr in &asked {
        assert!(names(expr).is_subset(&told), "{expr}");
        assert!(!names(expr).is_empty(), "{expr}");
    }
    // And what is planted below is told, too.
    assert!(names(SERIES).is_subset(&told));
    assert!(names("carbon_ops_other_total").is_disjoint(&told));
}

#[test]
fn what_is_in_the_packaging_is_what_the_table_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("grafana/carbon-ops.json"), dashboard(), "cargo xtask dashboards");
    assert_eq!(read("prometheus/carbon-ops.rules.yml"), rules(), "cargo xtask dashboards");
    let board: Value = serde_json::from_str(&dashboard()).unwrap();
    for panel in board["panels"].as_array().unwrap() {
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24 && place("w") > 0, "{panel}");
    }
}

/// `promtool` of Prometheus' own makers finds each rule well-formed, each expression what was planted, and each alert
/// when it is due and not before.
#[test]
fn each_expression_comes_to_what_was_planted() {
    let full = std::env::var_os("CARBON_OPS_FULL").is_some();
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(!full, "promtool is not installed");
        eprintln!("SKIPPED: promtool is not installed");
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("rules.yml"), rules()).unwrap();
    let mut tests = format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:{SERIES}    promql_expr_test:\n"
    );
    let expressions = expressions();
    assert_eq!(expressions.len(), EXPECTED.len());
    for (expr, expected) in expressions.iter().zip(EXPECTED) {
        let expr = expr.replace("$instance", ".*");
        let expr = expr.replace("$__rate_interval", "5m").replace("$__range", "1h");
        // In whole parts of 10^9, which are exact.
        let expr = format!("round(1e9 * ({expr}))");
        let _ =
            write!(tests, "      - expr: '{expr}'\n        eval_time: 2h\n        exp_samples:\n");
        for (labels, value) in expected {
            let value = (1e9 * value).round();
            let _ = write!(tests, "          - labels: '{labels}'\n            value: {value}\n");
        }
    }
    tests.push_str("    alert_rule_test:\n");
    for alert in &ALERTS {
        // In the first hour nothing is wrong for long, and in the second all is.
        for (time, fires) in [("50m", false), ("118m", true)] {
            let _ = write!(tests, "      - eval_time: {time}\n        alertname: {}\n", alert.name);
            if fires {
                let _ = write!(
                    tests,
                    "        exp_alerts:\n          - exp_labels: {{instance: a, severity: {}}}\n            \
                     exp_annotations: {{summary: {:?}}}\n",
                    alert.severity,
                    said(alert)
                );
            }
        }
    }
    fs::write(folder.path().join("tests.yml"), &tests).unwrap();
    for words in [["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]] {
        let done =
            Command::new("promtool").args(words).current_dir(folder.path()).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(done.status.success(), "{said}\n{tests}");
    }
}

/// What an alert says at 118 minutes.
fn said(alert: &Alert) -> String {
    let value = match alert.name {
        "CarbonOpsAgentSilent" => "58m 0s",
        "CarbonOpsRecordsWait" => "9",
        _ => "50%",
    };
    let text = alert.says.replace("{{ $labels.instance }}", "a");
    let text = text.replace("{{ $value | humanizeDuration }}", value);
    text.replace("{{ $value | humanizePercentage }}", value).replace("{{ $value }}", value)
}
