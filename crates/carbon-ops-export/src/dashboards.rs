//! The dashboard for Grafana and the alerts for Prometheus, from one table of expressions beside the names of the metrics.
//!
//! Rule: each expression is evaluated by Prometheus' own tool on series whose energy is known, and names no metric that
//! the agent does not tell: the tests hold both.
//!
//! Out of scope: where the files are kept (`packaging/`), and what asks for them.

use std::fmt::Write as _;

use serde_json::json;

/// A panel: its title, what it says, its unit by Grafana's id, the type of its drawing, its width of 24, and expressions
/// with their legends.
struct Panel {
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    kind: &'static str,
    width: u32,
    queries: &'static [(&'static str, &'static str)],
}

/// Joules of a kilowatt hour are 3.6e6. `$instance` is the hosts that were chosen.
const PANELS: [Panel; 11] = [
    Panel {
        title: "Power of hosts",
        about: "Energy of all domains over time.",
        unit: "watt",
        kind: "timeseries",
        width: 12,
        queries: &[(
            r#"sum by (instance) (rate(carbon_ops_host_energy_joules_total{instance=~"$instance"}[$__rate_interval]))"#,
            "{{instance}}",
        )],
    },
    Panel {
        title: "Power by kind of unit",
        about: "Units of work by their kind, idle and rest: they sum to the hosts.",
        unit: "watt",
        kind: "timeseries",
        width: 12,
        queries: &[(
            r#"sum by (kind) (rate(carbon_ops_unit_energy_joules_total{instance=~"$instance"}[$__rate_interval]))"#,
            "{{kind}}",
        )],
    },
    Panel {
        title: "Energy, time shown",
        about: "Of the hosts that were chosen.",
        unit: "kwatth",
        kind: "stat",
        width: 6,
        queries: &[(
            r#"sum(increase(carbon_ops_host_energy_joules_total{instance=~"$instance"}[$__range])) / 3.6e6"#,
            "energy",
        )],
    },
    Panel {
        title: "CO2e, time shown",
        about: "The mean, and the ends of the 95 % intervals summed, which are no narrower than the interval of the sum.",
        unit: "massg",
        kind: "stat",
        width: 12,
        queries: &[
            (
                r#"sum(increase(carbon_ops_unit_carbon_lower_grams_total{instance=~"$instance"}[$__range]))"#,
                "lower end",
            ),
            (
                r#"sum(increase(carbon_ops_unit_carbon_grams_total{instance=~"$instance"}[$__range]))"#,
                "mean",
            ),
            (
                r#"sum(increase(carbon_ops_unit_carbon_upper_grams_total{instance=~"$instance"}[$__range]))"#,
                "upper end",
            ),
        ],
    },
    Panel {
        title: "Idle",
        about: "Part of the energy that nobody used.",
        unit: "percentunit",
        kind: "stat",
        width: 6,
        queries: &[(
            r#"sum(increase(carbon_ops_unit_energy_joules_total{kind="idle",instance=~"$instance"}[$__range])) / sum(increase(carbon_ops_unit_energy_joules_total{instance=~"$instance"}[$__range]))"#,
            "idle",
        )],
    },
    Panel {
        title: "Energy by namespace, time shown",
        about: "Pods of Kubernetes.",
        unit: "kwatth",
        kind: "bargauge",
        width: 12,
        queries: &[(
            r#"sort_desc(sum by (namespace) (increase(carbon_ops_unit_energy_joules_total{kind="kubernetes",instance=~"$instance"}[$__range])) / 3.6e6)"#,
            "{{namespace}}",
        )],
    },
    Panel {
        title: "Energy by job, time shown",
        about: "Jobs of Slurm, over all hosts that they ran on.",
        unit: "kwatth",
        kind: "bargauge",
        width: 12,
        queries: &[(
            r#"topk(20, sum by (job) (increase(carbon_ops_unit_energy_joules_total{kind="slurm",instance=~"$instance"}[$__range])) / 3.6e6)"#,
            "{{job}}",
        )],
    },
    Panel {
        title: "Units with the most power",
        about: "Jobs, pods, containers, services: the ten with the most.",
        unit: "watt",
        kind: "timeseries",
        width: 24,
        queries: &[(
            r#"topk(10, sum by (kind, unit) (rate(carbon_ops_unit_energy_joules_total{kind!~"idle|rest|ended",instance=~"$instance"}[$__rate_interval])))"#,
            "{{unit}}",
        )],
    },
    Panel {
        title: "CO2e of a kilowatt hour",
        about: "What the grid emits at the place of the hosts, the overhead of the site included.",
        unit: "massg",
        kind: "timeseries",
        width: 12,
        queries: &[(
            r#"sum by (instance) (rate(carbon_ops_unit_carbon_grams_total{instance=~"$instance"}[$__rate_interval])) / (sum by (instance) (rate(carbon_ops_host_energy_joules_total{instance=~"$instance"}[$__rate_interval])) / 3.6e6)"#,
            "{{instance}}",
        )],
    },
    Panel {
        title: "What stands behind the energy",
        about: "measured: by counters; estimated, fallback: by a model.",
        unit: "none",
        kind: "stat",
        width: 6,
        queries: &[(
            r#"count by (flag) (carbon_ops_quality{instance=~"$instance"} == 1)"#,
            "{{flag}}",
        )],
    },
    Panel {
        title: "Coverage",
        about: "Part of the time that the counters covered: the least of the hosts.",
        unit: "percentunit",
        kind: "stat",
        width: 6,
        queries: &[(r#"min(carbon_ops_coverage_ratio{instance=~"$instance"})"#, "least")],
    },
];

/// An alert: its name, when it holds, for how long, how grave it is, and what it says.
struct Alert {
    name: &'static str,
    when: &'static str,
    lasts: &'static str,
    severity: &'static str,
    says: &'static str,
}

const ALERTS: [Alert; 5] = [
    Alert {
        name: "CarbonOpsAgentSilent",
        when: "time() - carbon_ops_last_look_timestamp_seconds > 120",
        lasts: "5m",
        severity: "warning",
        says: "The agent of {{ $labels.instance }} has not looked for {{ $value | humanizeDuration }}.",
    },
    Alert {
        name: "CarbonOpsRecordsWait",
        when: "carbon_ops_intervals_waiting > 4",
        lasts: "15m",
        severity: "warning",
        says: "{{ $value }} intervals of {{ $labels.instance }} are in no ledger yet.",
    },
    Alert {
        name: "CarbonOpsGap",
        when: "increase(carbon_ops_gaps_total[1h]) > 0",
        lasts: "0m",
        severity: "info",
        says: "Energy of {{ $labels.instance }} is not known of some time in the last hour.",
    },
    Alert {
        name: "CarbonOpsCoverageLow",
        when: "avg_over_time(carbon_ops_coverage_ratio[15m]) < 0.9",
        lasts: "15m",
        severity: "warning",
        says: "Counters of {{ $labels.instance }} cover {{ $value | humanizePercentage }} of the time.",
    },
    Alert {
        name: "CarbonOpsUnitsUnnamed",
        when: "rate(carbon_ops_unit_unnamed_cpu_seconds_total[1h]) > 0.1",
        lasts: "1h",
        severity: "info",
        says: "Units of {{ $labels.instance }} that end use more than a tenth of a processor without their names.",
    },
];

/// The dashboard, as Grafana imports it.
pub fn dashboard() -> String {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let (mut x, mut y) = (0, 0);
    let mut panels = Vec::new();
    for (number, panel) in (1_u32..).zip(&PANELS) {
        if x + panel.width > 24 {
            (x, y) = (0, y + 8);
        }
        let targets = panel.queries.iter().zip('A'..).map(|((expr, legend), letter)| {
            let instant = panel.kind != "timeseries";
            json!({"datasource": source, "expr": expr, "legendFormat": legend, "refId": letter.to_string(),
                "instant": instant, "range": !instant})
        });
        panels.push(json!({
            "id": number,
            "title": panel.title,
            "description": panel.about,
            "type": panel.kind,
            "datasource": source,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": 8},
            "targets": targets.collect::<Vec<_>>(),
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {},
        }));
        x += panel.width;
    }
    let sources = json!({"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"});
    let hosts = json!({"name": "instance", "label": "Hosts", "type": "query", "datasource": source, "refresh": 2,
        "query": "label_values(carbon_ops_agent_info, instance)", "multi": true, "includeAll": true, "allValue": ".*"});
    let all = json!({
        "uid": "carbon-ops",
        "title": "Energy and carbon",
        "description": "What carbon-ops agents tell. Generated: cargo xtask dashboards.",
        "tags": ["carbon-ops", "energy"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [sources, hosts]},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    });
    format!("{all:#}\n")
}

/// The alerts, as Prometheus reads them.
pub fn rules() -> String {
    let mut text = String::from(
        "# What agents of carbon-ops should be looked after for. Generated: cargo xtask dashboards.\n\
         groups:\n  - name: carbon-ops\n    rules:\n",
    );
    for Alert { name, when, lasts, severity, says } in &ALERTS {
        let _ = write!(
            text,
            "      - alert: {name}\n        expr: '{when}'\n        for: {lasts}\n        labels:\n          \
             severity: {severity}\n        annotations:\n          summary: '{says}'\n"
        );
    }
    text
}

#[cfg(test)]
mod tests;
