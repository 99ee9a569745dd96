//! What is summed over the pieces of a span, in one pass: its price, and what is not known of it.
//!
//! Each sum adds in order of time and keeps what it rounds off, so that none depends on which others are
//! made beside it.
//!
//! Out of scope: where pieces begin and end (`pieces`).

use super::pieces::Piece;
use super::sum::{Sum, Sums};
use super::terms::{
    FILLED_CV_MIN, Filled, HourNoise, NOISE_HOURS_MAX, Priced, SourceShare, Step, noise_cv, ratio,
    shared_cv,
};
use crate::intensity::UncertaintyClass;

/// Microseconds of a clock hour, over which the noise of single values is one error.
const HOUR_US: i64 = 3_600_000_000;

/// Sums over pieces.
#[derive(Debug, Default)]
pub(super) struct Totals {
    sums: Sums<6>,
    /// How many slots have a part, and the start of the one that was counted last.
    slots: usize,
    last_us: Option<i64>,
    gaps: Gaps,
    /// By the source's number: grams, and grams times what its values have in common.
    sources: Vec<(u32, Sums<2>)>,
    noise: Noise,
}

/// What is added up of all pieces; energy, or what stands for it, is a weight.
struct Added {
    weight: f64,
    grams: f64,
    covered_weight: f64,
    covered_grams: f64,
    estimated_weight: f64,
    forecast_weight: f64,
}

/// What no slot covers.
#[derive(Debug, Default)]
struct Gaps {
    microseconds: i64,
    weight: Sum,
    grams: Sum,
}

/// One error per clock hour: within it errors add, from hour to hour their squares do.
#[derive(Debug)]
struct Noise {
    squares: Sum,
    in_hour: Sum,
    /// End of the hour.
    until_us: i64,
    /// Ends and sums of the first hours that have noise.
    hours: Vec<(i64, f64)>,
}

impl Totals {
    pub(super) fn of<'t>(pieces: impl Iterator<Item = Piece<'t>>) -> Self {
        let mut totals = Self::default();
        for piece in pieces {
            let class = piece.rate.map(|rate| rate.class);
            let (weight, grams) = (piece.weight, piece.grams());
            let only = |counts: bool, x: f64| if counts { x } else { 0.0 };
            totals.sums.add([
                weight,
                grams,
                only(class.is_some(), weight),
                only(class.is_some(), grams),
                only(class == Some(UncertaintyClass::Estimated), weight),
                only(class == Some(UncertaintyClass::Forecast), weight),
            ]);
            match piece.rate {
                Some(rate) => totals.add_covered(&piece, rate),
                None => totals.gaps.add(&piece),
            }
        }
        totals.noise.close_hour();
        totals.sources.sort_by_key(|(source, _)| *source);
        totals
    }

    fn add_covered(&mut self, piece: &Piece<'_>, rate: &Step) {
        // Pieces of one slot follow one another.
        let start = Some(rate.span.start_us);
        self.slots += usize::from(self.last_us != start);
        self.last_us = start;
        let terms = [piece.grams(), piece.grams() * shared_cv(rate.class)];
        let known = self.sources.iter_mut().find(|(source, _)| *source == rate.source);
        if let Some((_, sums)) = known {
            sums.add(terms);
        } else {
            let mut sums = Sums::default();
            sums.add(terms);
            self.sources.push((rate.source, sums));
        }
        self.noise.add(piece, noise_cv(rate.class));
    }

    fn added(&self) -> Added {
        let [weight, grams, covered_weight, covered_grams, estimated_weight, forecast_weight] =
            self.sums.values();
        Added { weight, grams, covered_weight, covered_grams, estimated_weight, forecast_weight }
    }

    /// Whether there is a time without a slot.
    pub(super) fn has_gaps(&self) -> bool {
        self.gaps.microseconds > 0
    }

    /// Mean intensity of what slots cover: by energy or, where no covered piece has any, by time. `None`
    /// where no slot covers anything.
    pub(super) fn covered_mean<'t>(&self, pieces: impl Iterator<Item = Piece<'t>>) -> Option<f64> {
        let Added { covered_weight, covered_grams, .. } = self.added();
        if covered_weight > 0.0 {
            return Some(covered_grams / covered_weight);
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

    /// The price of so much energy, whose pieces these are; `mean` is that of what slots cover.
    pub(super) fn priced<'t>(
        &self,
        kwh: f64,
        mean: f64,
        pieces: impl Iterator<Item = Piece<'t>>,
    ) -> Priced {
        let added = self.added();
        let part = |weight: f64| (weight / added.weight).min(1.0);
        let (filled, filled_cv) = self.filled(mean, pieces);
        Priced {
            kwh,
            g_per_kwh: added.grams / added.weight,
            coverage: part(added.covered_weight),
            estimated: part(added.estimated_weight),
            forecast: part(added.forecast_weight),
            slots: self.slots,
            sources: self.sources(added.covered_grams),
            noise_cv: self.noise.over(added.grams),
            noise_hours: self.noise.hours(added.grams),
            filled_cv,
            // Nothing used is nothing filled in.
            filled: Filled { kwh: if kwh > 0.0 { filled.kwh } else { 0.0 }, ..filled },
        }
    }

    /// What no slot covers, and the coefficient of variation that this gives to the whole: the value there
    /// may be as far off as slots of this span lie around their mean, and 20 % at least; one error over
    /// all such times.
    fn filled<'t>(&self, mean: f64, pieces: impl Iterator<Item = Piece<'t>>) -> (Filled, f64) {
        if !self.has_gaps() {
            return (Filled::default(), 0.0);
        }
        let Added { grams, covered_weight: covered, .. } = self.added();
        let spread = pieces.filter(|piece| piece.rate.is_some()).map(|piece| {
            let off = piece.g_per_kwh - mean;
            piece.weight * off * off
        });
        let spread = spread.collect::<Sum>().value();
        let spread = if covered > 0.0 { (spread / covered).sqrt() } else { 0.0 };
        let off = spread.max(FILLED_CV_MIN * mean);
        let kwh = self.gaps.weight.value();
        let filled = Filled {
            #[expect(clippy::cast_precision_loss, reason = "exact below 285 years")]
            seconds: self.gaps.microseconds as f64 / 1e6,
            kwh,
            g_per_kwh: if kwh > 0.0 { self.gaps.grams.value() / kwh } else { 0.0 },
        };
        (filled, if grams > 0.0 { kwh * off / grams } else { 0.0 })
    }

    /// Each source's part in the grams of the covered time; what is filled in has their errors, too.
    fn sources(&self, all: f64) -> Vec<SourceShare> {
        let part = |grams: f64| if all > 0.0 { grams / all } else { 0.0 };
        let shares = self.sources.iter().map(|(source, sums)| {
            let [share, cv] = sums.values().map(part);
            SourceShare { source: *source, share, cv }
        });
        shares.collect()
    }
}

impl Gaps {
    fn add(&mut self, piece: &Piece<'_>) {
        self.microseconds += piece.microseconds();
        self.weight.add(piece.weight);
        self.grams.add(piece.grams());
    }
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            squares: Sum::default(),
            in_hour: Sum::default(),
            until_us: i64::MIN,
            hours: Vec::new(),
        }
    }
}

impl Noise {
    /// Pieces come in order of time.
    fn add(&mut self, piece: &Piece<'_>, cv: f64) {
        if cv <= 0.0 {
            return;
        }
        let mut at = piece.start_us;
        while at < piece.end_us {
            if self.until_us <= at {
                self.close_hour();
                self.until_us = (at.div_euclid(HOUR_US) + 1) * HOUR_US;
            }
            let end = piece.end_us.min(self.until_us);
            let weight = piece.weight * ratio(end - at, piece.microseconds());
            self.in_hour.add(weight * piece.g_per_kwh * cv);
            at = end;
        }
    }

    fn close_hour(&mut self) {
        let sum = std::mem::take(&mut self.in_hour).value();
        self.squares.add(sum * sum);
        if sum > 0.0 && self.hours.len() <= NOISE_HOURS_MAX {
            self.hours.push((self.until_us, sum));
        }
    }

    /// Each hour's, where they are few.
    fn hours(&self, grams: f64) -> Vec<HourNoise> {
        if self.hours.len() > NOISE_HOURS_MAX || grams <= 0.0 {
            return Vec::new();
        }
        let of =
            |(until, sum): &(i64, f64)| HourNoise { start_us: until - HOUR_US, cv: sum / grams };
        self.hours.iter().map(of).collect()
    }

    /// As a coefficient of variation of so many grams.
    fn over(&self, grams: f64) -> f64 {
        if grams > 0.0 { self.squares.value().max(0.0).sqrt() / grams } else { 0.0 }
    }
}
