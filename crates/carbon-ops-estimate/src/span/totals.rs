//! What is summed over the pieces of a span, in one pass: its price, and what is not known of it.
//!
//! Each sum adds in order of time and keeps what it rounds off, so that none depends on which others are
//! made beside it.
//!
//! Deliberately absent: where pieces begin and end (`pieces`).

use super::pieces::{Cut, Piece};
use super::sum::Sum;
use super::{FILLED_CV_MIN, Filled, Priced, SourceShare, Step, noise_cv, ratio, shared_cv};
use crate::intensity::UncertaintyClass;

/// Microseconds of a clock hour, over which the noise of single values is one error.
const HOUR_US: i64 = 3_600_000_000;

/// Sums over pieces.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Energy, or what stands for it.
    weight: Sum,
    grams: Sum,
    covered: Covered,
    estimated: Sum,
    forecast: Sum,
    gaps: Gaps,
    /// By the source's number: grams, and grams times what its values have in common.
    sources: Vec<(u32, Sum, Sum)>,
    noise: Noise,
}

/// What slots cover.
#[derive(Debug, Default)]
struct Covered {
    weight: Sum,
    grams: Sum,
    slots: usize,
    /// Start of the slot that was counted last.
    last_us: Option<i64>,
}

/// What no slot covers.
#[derive(Debug, Default)]
struct Gaps {
    microseconds: i64,
    weight: Sum,
    grams: Sum,
}

/// One error per clock hour: within it errors add, from hour to hour their squares do.
#[derive(Debug, Default)]
struct Noise {
    squares: Sum,
    hour: Option<i64>,
    in_hour: Sum,
}

impl Totals {
    pub(super) fn of<'t>(pieces: impl Iterator<Item = Piece<'t>>) -> Self {
        let mut totals = Self::default();
        for piece in pieces {
            totals.weight.add(piece.weight);
            totals.grams.add(piece.grams());
            match piece.rate {
                Some(rate) => totals.add_covered(&piece, rate),
                None => totals.gaps.add(&piece),
            }
        }
        totals.noise.close_hour();
        totals.sources.sort_by_key(|(source, ..)| *source);
        totals
    }

    fn add_covered(&mut self, piece: &Piece<'_>, rate: &Step) {
        self.covered.add(piece, rate);
        match rate.class {
            UncertaintyClass::Estimated => self.estimated.add(piece.weight),
            UncertaintyClass::Forecast => self.forecast.add(piece.weight),
            _ => {}
        }
        let known = self.sources.iter().position(|(source, ..)| *source == rate.source);
        let known = known.unwrap_or_else(|| {
            self.sources.push((rate.source, Sum::default(), Sum::default()));
            self.sources.len() - 1
        });
        if let Some((_, grams, cv)) = self.sources.get_mut(known) {
            grams.add(piece.grams());
            cv.add(piece.grams() * shared_cv(rate.class));
        }
        self.noise.add(piece, noise_cv(rate.class));
    }

    /// Whether there is a time without a slot.
    pub(super) fn has_gaps(&self) -> bool {
        self.gaps.microseconds > 0
    }

    /// Mean intensity of what slots cover: by energy or, where no covered piece has any, by time. `None`
    /// where no slot covers anything.
    pub(super) fn covered_mean<'t>(&self, pieces: impl Iterator<Item = Piece<'t>>) -> Option<f64> {
        let weight = self.covered.weight.value();
        if weight > 0.0 {
            return Some(self.covered.grams.value() / weight);
        }
        let (mut length, mut grams) = (Sum::default(), Sum::default());
        for piece in pieces.filter(|piece| piece.rate.is_some()) {
            #[expect(clippy::cast_precision_loss, reason = "a weight")]
            let weight = piece.microseconds() as f64;
            length.add(weight);
            grams.add(weight * piece.g_per_kwh);
        }
        let length = length.value();
        (length > 0.0).then(|| grams.value() / length)
    }

    pub(super) fn priced(&self, cut: &Cut<'_>) -> Priced {
        let (weight, grams) = (self.weight.value(), self.grams.value());
        let part = |sum: Sum| (sum.value() / weight).min(1.0);
        let (filled, filled_cv) = self.filled(cut);
        Priced {
            kwh: cut.kwh,
            g_per_kwh: grams / weight,
            coverage: part(self.covered.weight),
            estimated: part(self.estimated),
            forecast: part(self.forecast),
            slots: self.covered.slots,
            sources: self.sources(),
            noise_cv: self.noise.over(grams),
            filled_cv,
            // Nothing used is nothing filled in.
            filled: Filled { kwh: if cut.kwh > 0.0 { filled.kwh } else { 0.0 }, ..filled },
        }
    }

    /// What no slot covers, and the coefficient of variation that this gives to the whole: the value there
    /// may be as far off as slots of this span lie around their mean, and 20 % at least; one error over
    /// all such times.
    fn filled(&self, cut: &Cut<'_>) -> (Filled, f64) {
        if !self.has_gaps() {
            return (Filled::default(), 0.0);
        }
        let (mean, covered) = (cut.covered_mean(), self.covered.weight.value());
        let spread = cut.pieces().filter(|piece| piece.rate.is_some()).map(|piece| {
            let off = piece.g_per_kwh - mean;
            piece.weight * off * off
        });
        let spread = spread.collect::<Sum>().value();
        let spread = if covered > 0.0 { (spread / covered).sqrt() } else { 0.0 };
        let off = spread.max(FILLED_CV_MIN * mean);
        let (kwh, grams) = (self.gaps.weight.value(), self.grams.value());
        let filled = Filled {
            #[expect(clippy::cast_precision_loss, reason = "exact below 285 years")]
            seconds: self.gaps.microseconds as f64 / 1e6,
            kwh,
            g_per_kwh: if kwh > 0.0 { self.gaps.grams.value() / kwh } else { 0.0 },
        };
        (filled, if grams > 0.0 { kwh * off / grams } else { 0.0 })
    }

    /// Each source's part in the grams of the covered time; what is filled in has their errors, too.
    fn sources(&self) -> Vec<SourceShare> {
        let all = self.covered.grams.value();
        let part = |sum: Sum| if all > 0.0 { sum.value() / all } else { 0.0 };
        let shares = self.sources.iter().map(|(source, share, cv)| SourceShare {
            source: *source,
            share: part(*share),
            cv: part(*cv),
        });
        shares.collect()
    }
}

impl Covered {
    fn add(&mut self, piece: &Piece<'_>, rate: &Step) {
        self.weight.add(piece.weight);
        self.grams.add(piece.grams());
        // Pieces of one slot follow one another.
        let start = Some(rate.span.start_us);
        self.slots += usize::from(self.last_us != start);
        self.last_us = start;
    }
}

impl Gaps {
    fn add(&mut self, piece: &Piece<'_>) {
        self.microseconds += piece.microseconds();
        self.weight.add(piece.weight);
        self.grams.add(piece.grams());
    }
}

impl Noise {
    fn add(&mut self, piece: &Piece<'_>, cv: f64) {
        if cv <= 0.0 {
            return;
        }
        let mut at = piece.start_us;
        while at < piece.end_us {
            let hour = at.div_euclid(HOUR_US);
            let end = piece.end_us.min((hour + 1) * HOUR_US);
            if self.hour != Some(hour) {
                self.close_hour();
                self.hour = Some(hour);
            }
            let weight = piece.weight * ratio(end - at, piece.microseconds());
            self.in_hour.add(weight * piece.g_per_kwh * cv);
            at = end;
        }
    }

    fn close_hour(&mut self) {
        let sum = std::mem::take(&mut self.in_hour).value();
        self.squares.add(sum * sum);
    }

    /// As a coefficient of variation of so many grams.
    fn over(&self, grams: f64) -> f64 {
        if grams > 0.0 { self.squares.value().max(0.0).sqrt() / grams } else { 0.0 }
    }
}
