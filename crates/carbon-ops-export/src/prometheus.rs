//! Totals as Prometheus writes them: one table of names, and the text.
//!
//! Rule: a counter never falls, since it is a total that never does; over restarts it goes on. There are as many units of
//! work as the agent tells apart ([`TOTALS_MAX`](carbon_ops::agent::TOTALS_MAX)); all others are one, `kind="rest"`. A unit
//! that rests for long gives its room to a new one: its series ends, and what it used is in `kind="ended"`, so that the
//! sum stays the host's.
//!
//! Out of scope: serving the text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;

use carbon_ops::agent::{Total, Totals};
use carbon_ops::record::Unit;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit as Measure};

/// Joules of a microjoule.
const JOULES: f64 = 1e-6;

/// What is told beside totals.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    /// Name and version of the program.
    pub version: String,
    /// `governor`, `sysfs`, `model`: where the energy of the last tick comes from.
    pub source: String,
    /// `measured`, `estimated`, `fallback`.
    pub quality: String,
    /// Part of the last tick that the counters covered, 0 to 1.
    pub coverage: f64,
    /// Where the energy is priced.
    pub region: String,
    /// Identity of the host, as records have it.
    pub host: String,
    /// Intervals that wait for a ledger.
    pub waiting: usize,
    /// When the last tick ended, in seconds since 1970.
    pub last_tick: f64,
}

/// The text of all metrics.
///
/// # Errors
/// When a label cannot be written; that is a defect.
pub fn text(totals: &Totals, about: &About) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("carbon_ops");
    let told = Told { totals: totals.clone(), about: about.clone() };
    registry.register_collector(Box::new(told));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(classic(&text))
}

/// The text in the format 0.0.4, which every reader takes, a collector of files, too: a counter is called
/// in its comments as in its series, and there are no units and no end.
fn classic(text: &str) -> String {
    let counter =
        |line: &str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
    let counters: BTreeSet<String> = text.lines().filter_map(counter).collect();
    let mut all = String::with_capacity(text.len());
    for line in text.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        match comment.and_then(|(what, rest)| Some((what, rest.split_once(' ')?))) {
            None if line == "# EOF" => continue,
            Some(("UNIT", _)) => continue,
            Some((what, (name, rest))) if counters.contains(name) => {
                let _ = write!(all, "# {what} {name}_total {rest}");
            }
            _ => all.push_str(line),
        }
        all.push('\n');
    }
    all
}

#[derive(Debug)]
struct Told {
    totals: Totals,
    about: About,
}

/// A metric of units of work: its name, what it is, its unit, and its value.
type Table<'t> = (&'t str, &'t str, &'t Measure, fn(&Total) -> f64);

/// Labels of one series.
struct Labels<'l>(Vec<(&'l str, &'l str)>);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        for pair in &self.0 {
            prometheus_client::encoding::EncodeLabel::encode(pair, encoder.encode_label())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.host(&mut encoder)?;
        self.units(&mut encoder)?;
        self.about(&mut encoder)
    }
}

impl Told {
    fn host(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Energy of the host since the agent first started, by domain";
        let mut metric = encoder.encode_descriptor(
            "host_energy",
            help,
            Some(&Measure::Joules),
            MetricType::Counter,
        )?;
        for (domain, energy_uj) in &self.totals.domains {
            series(&mut metric, &[("domain", domain)], joules(*energy_uj))?;
        }
        Ok(())
    }

    fn units(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let grams = Measure::Other("grams".to_owned());
        let parts = parts(&self.totals);
        let tables: [Table<'_>; 4] = [
            (
                "unit_energy",
                "Energy by unit of work; with idle and rest it sums to the host's",
                &Measure::Joules,
                |total| joules(total.energy_uj),
            ),
            ("unit_carbon", "CO2e by unit of work, at the mean", &grams, |total| total.grams),
            (
                "unit_carbon_lower",
                "Lower ends of the 95 % intervals of CO2e, summed",
                &grams,
                |total| total.low_g,
            ),
            (
                "unit_carbon_upper",
                "Upper ends of the 95 % intervals of CO2e, summed",
                &grams,
                |total| total.high_g,
            ),
        ];
        for (name, help, measure, value) in tables {
            let mut metric =
                encoder.encode_descriptor(name, help, Some(measure), MetricType::Counter)?;
            for (labels, total) in &parts {
                let labels: Vec<_> =
                    labels.iter().map(|(name, value)| (&**name, &**value)).collect();
                series(&mut metric, &labels, value(total))?;
            }
        }
        Ok(())
    }

    fn about(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let about = &self.about;
        let facts =
            [("version", &*about.version), ("source", &*about.source), ("region", &*about.region)];
        let help = "What measures, and where";
        let mut metric = encoder.encode_descriptor("agent_info", help, None, MetricType::Gauge)?;
        gauge(&mut metric, &facts, 1.0)?;
        let help = "What stands behind the energy: 1 of the flag that holds";
        let mut metric = encoder.encode_descriptor("quality", help, None, MetricType::Gauge)?;
        for flag in ["measured", "estimated", "fallback"] {
            gauge(&mut metric, &[("flag", flag)], if flag == about.quality { 1.0 } else { 0.0 })?;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts, below 2^53")]
        let gauges = [
            (
                "coverage_ratio",
                "Part of the last look that the counters covered",
                None,
                about.coverage,
            ),
            (
                "intervals_waiting",
                "Intervals that are in no ledger yet",
                None,
                about.waiting as f64,
            ),
            (
                "last_look_timestamp",
                "When the agent last looked",
                Some(&Measure::Seconds),
                about.last_tick,
            ),
        ];
        for (name, help, measure, value) in gauges {
            let mut metric = encoder.encode_descriptor(name, help, measure, MetricType::Gauge)?;
            gauge(&mut metric, &[], value)?;
        }
        let unnamed = Duration::from_nanos(self.totals.unnamed_ns).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts, below 2^53")]
        let counters = [
            ("gaps", "Times of which the energy is not known", None, self.totals.gaps as f64),
            ("looks", "Looks since the agent first started", None, self.totals.ticks as f64),
            (
                "unit_unnamed_cpu",
                "CPU time of slices and the rest that may be of units which ended",
                Some(&Measure::Seconds),
                unnamed,
            ),
        ];
        for (name, help, measure, value) in counters {
            let mut metric = encoder.encode_descriptor(name, help, measure, MetricType::Counter)?;
            series(&mut metric, &[], value)?;
        }
        Ok(())
    }
}

/// Labels of a part of the energy, by their names.
pub(crate) type Named = Vec<(String, String)>;

/// Who used the energy, with labels, each once: units, those that are not told any more, rest, idle.
pub(crate) fn parts(totals: &Totals) -> BTreeMap<Named, Total> {
    let named = |kind: &str, total: Total| {
        let labels = [("kind", kind), ("unit", "")];
        (labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), total)
    };
    let Totals { units, ended, more, rest, idle, .. } = totals;
    let units = units.values().map(|unit| (labels(&unit.unit), unit.total));
    let others = [("ended", ended), ("rest", more), ("rest", rest), ("idle", idle)];
    let others = others.map(|(kind, total)| named(kind, *total));
    let mut parts: BTreeMap<_, Total> = BTreeMap::new();
    for (labels, total) in units.chain(others) {
        parts.entry(labels).or_default().join(total);
    }
    parts
}

#[expect(clippy::cast_precision_loss, reason = "to a ten-thousandth of a ppm")]
pub(crate) fn joules(energy_uj: u64) -> f64 {
    energy_uj as f64 * JOULES
}

/// The labels of a unit: its kind, its name in few words, and those of its ids that queries ask for.
fn labels(unit: &Unit) -> Named {
    let mut labels = vec![
        ("kind".to_owned(), unit.kind.clone()),
        ("unit".to_owned(), carbon_ops::identity::short(unit)),
    ];
    for name in ["namespace", "pod", "container", "job", "step", "slice", "repository"] {
        labels.extend(unit.ids.get(name).map(|id| (name.to_owned(), id.clone())));
    }
    labels
}

fn series(
    metric: &mut MetricEncoder<'_>,
    labels: &[(&str, &str)],
    value: f64,
) -> Result<(), fmt::Error> {
    ConstCounter::new(value).encode(metric.encode_family(&Labels(labels.to_vec()))?)
}

fn gauge(
    metric: &mut MetricEncoder<'_>,
    labels: &[(&str, &str)],
    value: f64,
) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(metric.encode_family(&Labels(labels.to_vec()))?)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use carbon_ops::agent::UnitTotal;
    use prometheus_parse::{Sample, Scrape, Value};

    use super::*;

    /// What ends a label, a series or a line, where it is not escaped.
    const HOSTILE: &str = "\"\\\n{}é";

    fn total(energy_uj: u64) -> Total {
        let grams = joules(energy_uj) / 1e4;
        Total { energy_uj, grams, low_g: 0.5 * grams, high_g: 2.0 * grams }
    }

    fn totals(units: u64, ending: &str) -> Totals {
        let mut totals = Totals { idle: total(7_000_000), rest: total(11), ..Totals::default() };
        for number in 0..units {
            let ids = [("pod", format!("p{number}{ending}")), ("namespace", "shop".to_owned())];
            let ids = BTreeMap::from(ids.map(|(name, id)| (name.to_owned(), id)));
            let unit = Unit { ids, kind: "kubernetes".into() };
            let told = UnitTotal { unit, total: total(1_000 + number), seen: 0 };
            totals.units.insert(number.to_string(), told);
        }
        let units: u64 = totals.units.values().map(|unit| unit.total.energy_uj).sum();
        totals.domains.insert("package-0".into(), units + 7_000_011);
        totals
    }

    fn about() -> About {
        let words = |word: &str| word.to_owned();
        let (version, source) = (words("0.2.0"), words("governor"));
        About {
            version,
            source,
            quality: words("measured"),
            region: words("DE"),
            ..About::default()
        }
    }

    fn parsed(text: &str) -> Vec<Sample> {
        Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap().samples
    }

    fn energy(samples: &[Sample], metric: &str) -> f64 {
        let named = samples.iter().filter(|sample| sample.metric == metric);
        named
            .map(|sample| match sample.value {
                Value::Counter(value) => value,
                ref other => panic!("{metric} is no counter: {other:?}"),
            })
            .sum()
    }

    /// By a parser of others: each metric has its type, and units, rest and idle sum to the host, however many there are.
    #[test]
    fn another_parser_reads_it_and_the_parts_sum_to_the_host() {
        for units in [0, 1, 3, 500] {
            let text = text(&totals(units, "-é"), &about()).unwrap();
            let samples = parsed(&text);
            let host = energy(&samples, "carbon_ops_host_energy_joules_total");
            let parts = energy(&samples, "carbon_ops_unit_energy_joules_total");
            assert!(host > 7.0 && (host - parts).abs() < 1e-9, "{host} {parts}");
            let series =
                samples.iter().filter(|it| it.metric == "carbon_ops_unit_carbon_grams_total");
            assert_eq!(series.count(), usize::try_from(units).unwrap() + 3);
            let [mean, low, high] = ["", "_lower", "_upper"]
                .map(|end| energy(&samples, &format!("carbon_ops_unit_carbon{end}_grams_total")));
            assert!(low < mean && mean < high, "{low} {mean} {high}");
        }
    }

    #[test]
    fn names_of_others_cannot_leave_their_label() {
        let text = text(&totals(3, HOSTILE), &about()).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("carbon_ops_unit_energy"));
        assert_eq!(lines.count(), 6, "{text}");
        assert!(text.contains(r#"pod="p0\"\\\n{}é""#), "{text}");
    }

    /// `promtool check metrics`, of Prometheus' own makers.
    #[test]
    fn promtool_has_nothing_to_complain_of() {
        let full = std::env::var_os("CARBON_OPS_FULL").is_some();
        let tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut tool) = tool else {
            assert!(!full, "promtool is not installed");
            eprintln!("SKIPPED: promtool is not installed");
            return;
        };
        let text = text(&totals(3, HOSTILE), &about()).unwrap();
        std::io::Write::write_all(&mut tool.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let done = tool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}\n{text}");
    }
}
