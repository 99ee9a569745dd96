//! A span in pieces: cut at every end of a slot or of a part of the energy, each with its price.
//!
//! Nothing is kept of them: a year is cut anew by whoever looks at it, which costs less than the memory
//! that its pieces would fill.
//!
//! Out of scope: what is summed over them (`totals`).

use std::slice;

use super::totals::Totals;
use super::{Error, Load, Missing, Part, Span, Step, ratio};

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

/// A span that can be looked at piece by piece, with a price for each.
#[derive(Debug)]
pub(super) struct Cut<'t> {
    pieces: Pieces<'t>,
    filling: Filling<'t>,
    /// Energy.
    pub(super) kwh: f64,
    /// What was summed over all of it.
    pub(super) totals: Totals,
}

impl<'t> Cut<'t> {
    /// # Errors
    /// Energy that does not fill the span, or is impossible; no slot at all.
    pub(super) fn of(
        span: Span,
        load: &'t Load,
        rates: &'t [Step],
        missing: Missing,
    ) -> Result<Self, Error> {
        let kwh = load.checked(span)?;
        let pieces = Pieces::of(span, load, kwh > 0.0, rates);
        let mut totals = Totals::of(pieces.clone());
        let mean = totals.covered_mean(pieces.clone());
        let mean = mean.ok_or(Error::Uncovered { start: span.start(), end: span.end() })?;
        let filling = Filling { rates, missing, mean };
        if totals.has_gaps() {
            totals = Totals::of(pieces.clone().map(|piece| filling.of(piece)));
        }
        Ok(Self { pieces, filling, kwh, totals })
    }

    /// In order of time.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'t>> {
        self.pieces.clone().map(|piece| self.filling.of(piece))
    }

    /// Mean intensity of what slots cover, in g/kWh: by energy or, where that has none, by time.
    pub(super) fn covered_mean(&self) -> f64 {
        self.filling.mean
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
    fn of(span: Span, load: &'t Load, has_energy: bool, rates: &'t [Step]) -> Self {
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

/// A value for what no slot covers.
#[derive(Debug, Clone, Copy)]
struct Filling<'t> {
    rates: &'t [Step],
    missing: Missing,
    /// Of what slots cover.
    mean: f64,
}

impl<'t> Filling<'t> {
    fn of(&self, piece: Piece<'t>) -> Piece<'t> {
        if piece.rate.is_some() {
            return piece;
        }
        let next = self.rates.partition_point(|rate| rate.span.end_us <= piece.start_us);
        let after = self.rates.get(next);
        let before = next.checked_sub(1).and_then(|last| self.rates.get(last));
        let g_per_kwh = match (self.missing, before, after) {
            (Missing::Interpolate, Some(before), Some(after)) => {
                let (from, to) = (before.span.end_us, after.span.start_us);
                let middle = ratio(piece.start_us - from + (piece.end_us - from), 2 * (to - from));
                before.g_per_kwh + (after.g_per_kwh - before.g_per_kwh) * middle
            }
            (Missing::Drop, ..) | (_, None, None) => self.mean,
            (_, Some(nearest), _) | (_, None, Some(nearest)) => nearest.g_per_kwh,
        };
        Piece { g_per_kwh, ..piece }
    }
}
