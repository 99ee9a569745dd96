//! A figure is what a document may quote: a number with its unit, its baseline and its limit.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::stats::Summary;

/// One measured quantity.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What was measured, in which variant.
    pub(crate) name: String,
    /// Over which runs, and against what.
    pub(crate) baseline: String,
    pub(crate) unit: &'static str,
    pub(crate) summary: Summary,
    /// What the median must not exceed; none for a figure that is there to be known.
    pub(crate) limit: Option<f64>,
}

impl Figure {
    fn passed(&self) -> bool {
        self.limit.is_none_or(|limit| self.summary.median <= limit)
    }

    fn line(&self, bench: &str) -> String {
        let (unit, summary) = (self.unit, self.summary);
        let digits = if unit == "%" { 3 } else { 2 };
        let verdict = match self.limit {
            Some(limit) if self.passed() => format!("; limit {limit} {unit}: pass"),
            Some(limit) => format!("; limit {limit} {unit}: FAIL"),
            None => String::new(),
        };
        format!(
            "{bench}: {}: median {:.digits$} {unit}, quartiles {:.digits$} to {:.digits$}, n = {} \
             ({}){verdict}\n",
            self.name, summary.median, summary.lower, summary.upper, summary.count, self.baseline
        )
    }

    fn json(&self) -> Value {
        let summary = self.summary;
        json!({
            "name": self.name,
            "baseline": self.baseline,
            "unit": self.unit,
            "count": summary.count,
            "min": rounded(summary.least),
            "lower_quartile": rounded(summary.lower),
            "median": rounded(summary.median),
            "upper_quartile": rounded(summary.upper),
            "max": rounded(summary.most),
            "iqr": rounded(summary.upper - summary.lower),
            "limit": self.limit,
            "passed": self.limit.map(|_| self.passed()),
        })
    }
}

/// All figures of one benchmark.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    /// `carbon-ops 0.2.0`.
    pub(crate) subject: String,
    pub(crate) before: Machine,
    pub(crate) after: Machine,
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// Whether every limit was kept.
    pub(crate) fn passed(&self) -> bool {
        self.figures.iter().all(Figure::passed)
    }

    pub(crate) fn text(&self) -> String {
        let name = self.name;
        let mut text = format!("{name}: {} on {}\n", self.subject, self.before.text());
        for figure in &self.figures {
            text.push_str(&figure.line(name));
        }
        let (before, after) = (self.before.load(), self.after.load());
        let _ = writeln!(text, "{name}: load average {before} at the start, {after} at the end");
        text
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "subject": self.subject,
            "figures": self.figures.iter().map(Figure::json).collect::<Vec<_>>(),
            "load_at_start": self.before.load_json(),
            "load_at_end": self.after.load_json(),
            "machine": self.before.json(),
            "passed": self.passed(),
        })
    }
}

pub(crate) fn json(reports: &[Report]) -> Value {
    json!({
        "passed": reports.iter().all(Report::passed),
        "reports": reports.iter().map(Report::json).collect::<Vec<_>>(),
    })
}

/// To six digits after the point: what lies below is noise.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(limit: Option<f64>) -> Figure {
        Figure {
            name: "wall time added".to_owned(),
            baseline: "pairs".to_owned(),
            unit: "ms",
            summary: Summary::of([4.0, 5.0, 6.0]),
            limit,
        }
    }

    #[test]
    fn a_line_says_number_unit_baseline_and_verdict() {
        assert_eq!(
            figure(Some(10.0)).line("b"),
            "b: wall time added: median 5.00 ms, quartiles 4.50 to 5.50, n = 3 (pairs); \
             limit 10 ms: pass\n"
        );
        assert!(figure(Some(4.9)).line("b").ends_with("limit 4.9 ms: FAIL\n"));
        assert!(figure(None).line("b").ends_with("n = 3 (pairs)\n"));
    }

    #[test]
    fn only_a_figure_with_a_limit_can_fail() {
        assert!(figure(None).passed() && figure(Some(5.0)).passed());
        assert!(!figure(Some(4.9)).passed());
    }
}
