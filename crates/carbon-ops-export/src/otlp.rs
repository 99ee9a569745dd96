//! Totals as OpenTelemetry takes them: one table of names, and the bytes of a request.
//!
//! Names are those of the semantic conventions for hardware where there are some (`hw.*`, in development): the whole host
//! is `hw.host.energy`, and its domains `hw.energy`, which sum to it, so that a sum over one name counts nothing twice.
//! For what a unit of work uses there is no convention: those names are ours. The messages are the few of
//! `opentelemetry-proto` that metrics need; their numbers are stable since 1.0.
//!
//! Rule: a point is a total since the totals began, whenever the agent was started since.
//!
//! Out of scope: sending it ([`push`](crate::push)).

use carbon_ops::agent::{Total, Totals};
use prost::Message as _;

use crate::prometheus::{About, joules, parts};

/// The conventions that the names are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.38.0";

/// A metric of units of work: its name, its unit, what it is, and its value.
type OfUnits = (&'static str, &'static str, &'static str, fn(&Total) -> f64);

const OF_UNITS: [OfUnits; 4] = [
    (
        "carbon_ops.unit.energy",
        "J",
        "Energy by unit of work; with idle and rest it sums to the host's",
        |total| joules(total.energy_uj),
    ),
    ("carbon_ops.unit.carbon", "g", "CO2e by unit of work, at the mean", |total| total.grams),
    ("carbon_ops.unit.carbon.lower", "g", "Lower ends of the 95 % intervals, summed", |total| {
        total.low_g
    }),
    ("carbon_ops.unit.carbon.upper", "g", "Upper ends of the 95 % intervals, summed", |total| {
        total.high_g
    }),
];

/// The request that tells all totals; its points are of the last tick.
pub fn request(totals: &Totals, about: &About) -> Vec<u8> {
    let time = Time { start: nanoseconds(totals.since), now: nanoseconds(about.last_tick) };
    let mut metrics = vec![
        time.sum(
            ("hw.host.energy", "J", "Energy of the host"),
            [(vec![attribute("hw.id", &about.host)], joules(totals.host_uj()))],
        ),
        time.sum(
            ("hw.energy", "J", "Energy by domain of the host"),
            totals.domains.iter().map(|(domain, energy_uj)| {
                let ids =
                    [("hw.id", &**domain), ("hw.type", kind(domain)), ("hw.parent", &about.host)];
                (ids.map(|(name, value)| attribute(name, value)).into(), joules(*energy_uj))
            }),
        ),
    ];
    let parts = parts(totals);
    for (name, unit, description, value) in OF_UNITS {
        let points = parts.iter().map(|(labels, total)| {
            let named =
                |(name, value): &(String, String)| attribute(&format!("carbon_ops.{name}"), value);
            (labels.iter().map(named).collect(), value(total))
        });
        metrics.push(time.sum((name, unit, description), points));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count, below 2^53")]
    let gaps = totals.gaps as f64;
    metrics.push(time.sum(
        ("carbon_ops.gaps", "{gap}", "Times of which the energy is not known"),
        [(Vec::new(), gaps)],
    ));
    metrics.push(Metric {
        gauge: Some(Gauge { points: vec![time.point(Vec::new(), about.coverage)] }),
        ..Metric::named(("carbon_ops.coverage", "1", "Part of the last look that counters covered"))
    });
    let resource = [
        ("service.name", "carbon-ops"),
        ("service.version", &about.version),
        ("host.id", &about.host),
        ("carbon_ops.source", &about.source),
        ("carbon_ops.quality", &about.quality),
        ("carbon_ops.region", &about.region),
    ];
    let scope = Scope { name: "carbon-ops".into(), version: about.version.clone() };
    let scoped = ScopeMetrics { scope: Some(scope), metrics, schema_url: SCHEMA.into() };
    let attributes = resource.map(|(name, value)| attribute(name, value)).into();
    let told = ResourceMetrics {
        resource: Some(Resource { attributes }),
        scoped: vec![scoped],
        schema_url: SCHEMA.into(),
    };
    Request { told: vec![told] }.encode_to_vec()
}

/// What of a request was not taken, by the answer to it.
pub(crate) fn refused(answer: &[u8]) -> Option<(i64, String)> {
    let partial = Answer::decode(answer).ok()?.partial?;
    (partial.rejected > 0).then_some((partial.rejected, partial.message))
}

/// `hw.type` of a domain, by what its name begins with.
fn kind(domain: &str) -> &'static str {
    if domain.starts_with("dram") || domain.starts_with("memory") {
        "memory"
    } else if domain.starts_with("gpu") {
        "gpu"
    } else {
        "cpu"
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds since 1970, of this century"
)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64 * 1000
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { text: Some(value.into()) }) }
}

/// When totals began, and when they were read.
struct Time {
    start: u64,
    now: u64,
}

impl Time {
    fn point(&self, attributes: Vec<KeyValue>, value: f64) -> Point {
        Point { attributes, start: self.start, time: self.now, value: Some(value) }
    }

    fn sum(
        &self,
        named: (&str, &str, &str),
        points: impl IntoIterator<Item = (Vec<KeyValue>, f64)>,
    ) -> Metric {
        let points = points.into_iter().map(|(attributes, value)| self.point(attributes, value));
        let sum = Sum { points: points.collect(), temporality: CUMULATIVE, is_monotonic: true };
        Metric { sum: Some(sum), ..Metric::named(named) }
    }
}

impl Metric {
    fn named((name, unit, description): (&str, &str, &str)) -> Self {
        let (name, description, unit) = (name.into(), description.into(), unit.into());
        Self { name, description, unit, ..Self::default() }
    }
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

/// `ExportMetricsServiceRequest`; the others are called as there, in fewer words.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(crate) told: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scoped: Vec<ScopeMetrics>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) metrics: Vec<Metric>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metric {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Gauge>,
    #[prost(message, optional, tag = "7")]
    pub(crate) sum: Option<Sum>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Gauge {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Point>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Sum {
    #[prost(message, repeated, tag = "1")]
    pub(crate) points: Vec<Point>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Point {
    #[prost(fixed64, tag = "2")]
    start: u64,
    #[prost(fixed64, tag = "3")]
    pub(crate) time: u64,
    #[prost(double, optional, tag = "4")]
    pub(crate) value: Option<f64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

/// `ExportMetricsServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// Values of the points of a metric of a request.
#[cfg(test)]
pub(crate) fn values(request: &[u8], name: &str) -> Vec<(u64, f64)> {
    let request = Request::decode(request).unwrap();
    let scoped = request.told.into_iter().flat_map(|told| told.scoped);
    let metrics = scoped.flat_map(|scoped| scoped.metrics).filter(|metric| metric.name == name);
    let points = metrics.filter_map(|metric| metric.sum).flat_map(|sum| sum.points);
    points.map(|point| (point.time, point.value.unwrap())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn units_and_domains_sum_to_the_host_each_under_a_name_of_its_own() {
        let mut totals = Totals { since: 1e9, ..Totals::default() };
        totals.domains = BTreeMap::from([("package-0".into(), 7_000_000), ("dram-0".into(), 5)]);
        totals.idle.energy_uj = 7_000_000;
        totals.rest.energy_uj = 5;
        let about = About { last_tick: 1e9 + 5.5, ..About::default() };
        let request = request(&totals, &about);
        let sum = |name: &str| values(&request, name).iter().map(|(_, value)| value).sum::<f64>();
        for name in ["hw.host.energy", "hw.energy", "carbon_ops.unit.energy"] {
            assert!((sum(name) - 7.000_005).abs() < 1e-12, "{name} {}", sum(name));
        }
        assert_eq!(values(&request, "hw.host.energy"), [(1_000_000_005_500_000_000, 7.000_005)]);
        assert_eq!(
            ["package-1", "dram-0", "memory", "gpu-0"].map(kind),
            ["cpu", "memory", "memory", "gpu"]
        );
    }

    /// By hand: field 1, 9 bytes, of which field 1 is the number 3 and field 2 a text of 5 bytes.
    #[test]
    fn what_was_not_taken_is_read_of_the_answer() {
        let answer = [0x0a, 9, 0x08, 3, 0x12, 5, b'f', b'u', b'l', b'l', b'!'];
        assert_eq!(refused(&answer), Some((3, "full!".into())));
        assert_eq!((refused(&[]), refused(&[0x0a, 0]), refused(b"<html>")), (None, None, None));
    }
}
