//! A span in pieces: cut at every end of a slot or of a part of the energy, each with its price.
//!
//! Nothing is kept of them: a year is cut anew by whoever looks at it, which costs less than the memory
//! that its pieces would fill.
//!
//! Out of scope: what is summed over them (`totals`); what fills gaps (`cut`).

use std::slice;

use super::terms::{Load, Part, Span, Step, ratio};

/// A stretch of time with one part of the load and one slot, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'t> {
    pub(super) start_us: i64,
    pub(super) end_us: i64,
    /// Energy; where the span has none, the part of its time, so that its intensity has a weight.
    pub(super) weight: f64,
    pub(super) rate: Option<&'t Step>,
    /// With what it is priced.
    pub(super) g_per_kwh: f64,
}

impl Piece<'_> {
    pub(super) fn microseconds(&self) -> i64 {
        self.end_us - self.start_us
    }

    pub(super) fn grams(&self) -> f64 {
        self.weight * self.g_per_kwh
    }
}

/// The pieces one after the other; those without a slot have no price yet.
#[derive(Debug, Clone)]
pub(super) struct Pieces<'t> {
    parts: Parts<'t>,
    /// The part that is being cut, and its energy or weight.
    part: Option<(Span, f64)>,
    /// From where it is cut next.
    at_us: i64,
    /// Those that are not over yet.
    rates: &'t [Step],
}

/// Parts still to come, checked before.
#[derive(Debug, Clone)]
struct Parts<'t> {
    series: slice::Iter<'t, Part>,
    /// Length of a span without energy, whose parts weigh as they last.
    timed_us: Option<i64>,
}

impl Parts<'_> {
    fn weight(&self, span: Span, kwh: f64) -> f64 {
        self.timed_us.map_or(kwh, |whole| ratio(span.microseconds(), whole))
    }
}

impl Iterator for Parts<'_> {
    type Item = (Span, f64);

    fn next(&mut self) -> Option<(Span, f64)> {
        let part = self.series.next()?;
        let span = Span::of(part.interval).ok()?;
        Some((span, self.weight(span, part.kwh)))
    }
}

impl<'t> Pieces<'t> {
    pub(super) fn of(span: Span, load: &'t Load, has_energy: bool, rates: &'t [Step]) -> Self {
        let timed_us = (!has_energy).then(|| span.microseconds());
        let series: &[Part] = if let Load::Series(parts) = load { parts } else { &[] };
        let mut parts = Parts { series: series.iter(), timed_us };
        let part = match load {
            Load::Even(kwh) => Some((span, parts.weight(span, *kwh))),
            Load::Series(_) => parts.next(),
        };
        let over = rates.partition_point(|rate| rate.span.end_us <= span.start_us);
        Self { parts, part, at_us: span.start_us, rates: rates.get(over..).unwrap_or_default() }
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        let (part, weight) = self.part?;
        let at = self.at_us;
        while let [first, rest @ ..] = self.rates
            && first.span.end_us <= at
        {
            self.rates = rest;
        }
        let next = self.rates.first();
        let rate = next.filter(|rate| rate.span.start_us <= at);
        let until = match (rate, next) {
            (Some(rate), _) => rate.span.end_us,
            (None, Some(next)) => next.span.start_us,
            (None, None) => i64::MAX,
        };
        let end = until.min(part.end_us);
        self.at_us = end;
        if end == part.end_us {
            self.part = self.parts.next();
        }
        Some(Piece {
            start_us: at,
            end_us: end,
            weight: weight * ratio(end - at, part.microseconds()),
            rate,
            g_per_kwh: rate.map_or(0.0, |rate| rate.g_per_kwh),
        })
    }
}
