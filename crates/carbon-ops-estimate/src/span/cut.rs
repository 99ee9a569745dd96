//! A span cut in pieces, each with a price: what no slot covers has one as well.
//!
//! Out of scope: where pieces begin and end (`pieces`), and sums over them (`totals`).

use super::pieces::{Piece, Pieces};
use super::terms::{Error, Load, Missing, Priced, Span, Step, ratio};
use super::totals::Totals;

/// A span that can be looked at piece by piece, with a price for each.
#[derive(Debug)]
pub(super) struct Cut<'t> {
    pieces: Pieces<'t>,
    filling: Filling<'t>,
    /// Energy.
    pub(super) kwh: f64,
    /// What was summed over all of it.
    totals: Totals,
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

    /// What all of it costs.
    pub(super) fn priced(&self) -> Priced {
        self.totals.priced(self.kwh, self.filling.mean, self.pieces())
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
