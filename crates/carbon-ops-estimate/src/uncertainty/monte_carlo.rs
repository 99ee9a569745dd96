//! Monte Carlo after JCGM 101:2008: the propagation of distributions by trials.
//!
//! Trials come in blocks of 10,000. Number `t` of input `i` in block `b` is a function of (seed, b, i,
//! t) alone, so that the results are the same bits on every machine, in any order and on any number of
//! threads. Uniform numbers become values by the quantile function.
//!
//! Out of scope: the model, and where the seed comes from.

use std::num::NonZeroUsize;

use super::distribution::{Cut, Distribution, Log, power};
use super::error::Error;
use super::model::{Expression, Model, Sign};
use super::normal::normal_quantile;
use super::random::uniforms;

/// Trials for a coverage probability of 95 %: 10⁴/(1 − p) (JCGM 101, 7.2.2, note 1 to 7.2.1).
pub const TRIALS: u64 = 200_000;

/// Trials of a block (JCGM 101, 7.9.4 b: the larger of 10⁴ and 100/(1 − p), for p up to 99 %).
const BLOCK: usize = 10_000;

/// Trials that are computed together: their columns stay in the cache of a core.
const CHUNK: usize = 500;

/// More would be more memory (8 bytes each) than a result is worth.
const TRIALS_MAX: u64 = 10_000_000;

/// Significant digits of a standard uncertainty by default, for the tolerance.
const DIGITS: u8 = 2;

words! {
    /// Which of the intervals of one probability.
    #[derive(Default)]
    #[schemars(rename = "IntervalKind")]
    Coverage {
        /// As much probability below as above.
        #[default]
        Symmetric = "symmetric",
        // JCGM 101, 5.3.4.
        /// The shortest.
        Shortest = "shortest",
    }
}

/// The settings of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonteCarlo {
    /// Where the random numbers come from; kept in the result.
    pub seed: u64,
    /// How many trials.
    pub trials: Trials,
    /// Which interval.
    pub interval: Coverage,
    /// On how many threads; the result does not depend on it.
    pub threads: NonZeroUsize,
}

/// How many trials a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trials {
    /// So many.
    Fixed(u64),
    /// Blocks of 10,000 until mean, standard uncertainty and both ends of the interval are stable to
    /// half of the last of so many significant digits of the standard uncertainty (JCGM 101, 7.9).
    Adaptive {
        /// 1 to 4.
        digits: u8,
    },
}

impl MonteCarlo {
    /// 200,000 trials, the symmetric interval, one thread.
    pub fn seeded(seed: u64) -> Self {
        let trials = Trials::Fixed(TRIALS);
        Self { seed, trials, interval: Coverage::Symmetric, threads: NonZeroUsize::MIN }
    }
}

/// What is needed to repeat a run, and how it went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Trials that were made.
    pub trials: u64,
    /// In so many blocks.
    pub blocks: u64,
    /// The numerical tolerance: half of the last significant digit of u (JCGM 101, 7.9.2), of two
    /// digits, or of as many as an adaptive run was asked for.
    pub delta: f64,
    /// Whether an adaptive run became stable before the limit of ten million trials.
    pub stable: Option<bool>,
}

/// What the trials say, in the unit of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// Mean of the trials.
    pub mean: f64,
    /// Their standard deviation (JCGM 101, 7.6).
    pub standard: f64,
    /// Lower end of the coverage interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// By what an end may be off: four standard errors of the quantiles at both tails.
    pub error: f64,
    /// What is needed to repeat the run.
    pub run: Run,
}

/// Runs a model.
pub(super) fn run(model: &Model, settings: &MonteCarlo, level: f64) -> Result<Sampled, Error> {
    let plan = Plan::of(model, settings.seed);
    match settings.trials {
        Trials::Fixed(trials) => {
            limits(trials, level)?;
            let mut values = plan.values(0, trials, settings.threads);
            let run = Run { seed: settings.seed, trials, blocks: 0, delta: 0.0, stable: None };
            summary(&mut values, level, settings.interval, run, DIGITS)
        }
        Trials::Adaptive { digits } => adaptive(&plan, settings, level, digits),
    }
}

/// The part of the trials that is at most `x`; an adaptive run has [`TRIALS`] of them.
pub(super) fn probability(model: &Model, settings: &MonteCarlo, x: f64) -> f64 {
    let trials = match settings.trials {
        Trials::Fixed(trials) => trials.clamp(1, TRIALS_MAX),
        Trials::Adaptive { .. } => TRIALS,
    };
    let values = Plan::of(model, settings.seed).values(0, trials, settings.threads);
    #[expect(clippy::cast_precision_loss, reason = "at most 10^7")]
    let count = |n: usize| n as f64;
    count(values.iter().filter(|value| **value <= x).count()) / count(values.len())
}

fn limits(trials: u64, level: f64) -> Result<(), Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let enough = (1e4 / (1.0 - level)).round() as u64;
    // With fewer than five values beyond either end, the interval's ends are single draws.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let least = (10.0 / (1.0 - level)).ceil() as u64;
    let problem = match trials {
        t if t > TRIALS_MAX => "too many",
        t if t < least => "too few",
        _ => return Ok(()),
    };
    Err(Error::Trials { trials, problem, level, enough })
}

/// JCGM 101, 7.9.4.
fn adaptive(plan: &Plan, settings: &MonteCarlo, level: f64, digits: u8) -> Result<Sampled, Error> {
    if !(1..=4).contains(&digits) {
        return Err(Error::Digits(digits));
    }
    let block = BLOCK as u64;
    limits(block, level)?;
    let mut values = Vec::new();
    let mut results: Vec<[f64; 4]> = Vec::new();
    let run = Run { seed: settings.seed, trials: 0, blocks: 0, delta: 0.0, stable: Some(false) };
    loop {
        let mut own = plan.values(values.len() as u64, block, settings.threads);
        values.extend_from_slice(&own);
        let one = summary(&mut own, level, settings.interval, run, digits)?;
        results.push([one.mean, one.standard, one.low, one.high]);
        if results.len() < 2 {
            continue;
        }
        let delta = tolerance(spread(&values).1, digits);
        let stable = (0..4).all(|column| {
            let column: Vec<_> =
                results.iter().filter_map(|result| result.get(column).copied()).collect();
            #[expect(clippy::cast_precision_loss, reason = "at most 1000 blocks")]
            let h = column.len() as f64;
            2.0 * spread(&column).1 / h.sqrt() < delta
        });
        if stable || values.len() as u64 + block > TRIALS_MAX {
            let run = Run { stable: Some(stable), ..run };
            return summary(&mut values, level, settings.interval, run, digits);
        }
    }
}

/// Half of the last significant digit of a standard uncertainty: ½·10ˡ for u = c·10ˡ with an integer
/// c of so many digits (JCGM 101, 7.9.2).
pub(super) fn tolerance(standard: f64, digits: u8) -> f64 {
    if standard <= 0.0 || !standard.is_finite() {
        return 0.0;
    }
    // The printed form has the exponent after rounding to that many digits.
    let printed = format!("{standard:.*e}", usize::from(digits.saturating_sub(1)));
    let exponent = printed.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok());
    let tolerance =
        exponent.and_then(|exponent| format!("5e{}", exponent - i32::from(digits)).parse().ok());
    #[expect(clippy::expect_used, reason = "`{:e}` prints an exponent, and both texts are numbers")]
    tolerance.expect("a number with an exponent")
}

/// Mean and standard deviation with n − 1 (JCGM 101, 7.6), in a fixed order: per block, then over
/// blocks.
fn spread(values: &[f64]) -> (f64, f64) {
    let sum = |f: &dyn Fn(f64) -> f64| -> f64 {
        values.chunks(BLOCK).map(|block| block.iter().map(|&x| f(x)).sum::<f64>()).sum()
    };
    #[expect(clippy::cast_precision_loss, reason = "at most 10^7")]
    let n = values.len() as f64;
    // Deviations from a value of the sample: exact for a sample without spread.
    let first = values.first().copied().unwrap_or(0.0);
    let mean = first + sum(&|x| x - first) / n;
    (mean, (sum(&|x| (x - mean) * (x - mean)) / (n - 1.0)).sqrt())
}

fn summary(
    values: &mut [f64],
    level: f64,
    interval: Coverage,
    run: Run,
    digits: u8,
) -> Result<Sampled, Error> {
    if let Some(trial) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite(trial as u64));
    }
    let (mean, standard) = spread(values);
    let (low, high) = match interval {
        Coverage::Symmetric => symmetric(values, level),
        Coverage::Shortest => shortest(values, level),
    };
    let trials = values.len() as u64;
    let blocks = trials.div_ceil(BLOCK as u64);
    let run = Run { trials, blocks, delta: tolerance(standard, digits), ..run };
    let error = error_of_ends(values, level);
    Ok(Sampled { mean, standard, low, high, error, run })
}

/// Four standard errors of the quantiles that cut off the tails: the number of trials below one is binomial, and
/// that many more or fewer are so far away in the trials themselves.
fn error_of_ends(values: &mut [f64], level: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 10^7")]
    let trials = values.len() as f64;
    let tail = (1.0 - level) / 2.0;
    let around = 4.0 * (trials * tail * (1.0 - tail)).sqrt();
    let mut at = |place: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let index = place.clamp(0.0, trials - 1.0) as usize;
        *values.select_nth_unstable_by(index, f64::total_cmp).1
    };
    let width =
        |place: f64, at: &mut dyn FnMut(f64) -> f64| at(place + around) - at(place - around);
    let (low, high) = (width(trials * tail, &mut at), width(trials * (1.0 - tail), &mut at));
    low.max(high) / 2.0
}

/// q of JCGM 101, 7.7.1: pM when that is an integer, else the integer part of pM + ½.
fn inside(count: usize, level: f64) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "at most 10^7")]
    let q = (level * count as f64 + 0.5).floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and M")]
    let q = q as usize;
    q.min(count.saturating_sub(1))
}

/// The probabilistically symmetric interval (7.7.2): from value r to value r + q in order, r =
/// (M − q)/2 when that is an integer, else the integer part of (M − q + 1)/2.
fn symmetric(values: &mut [f64], level: f64) -> (f64, f64) {
    let q = inside(values.len(), level);
    let r = (values.len() - q).div_ceil(2);
    // The standard counts from one.
    let at = r.saturating_sub(1);
    let (_, low, above) = values.select_nth_unstable_by(at, f64::total_cmp);
    let low = *low;
    let (_, high, _) = above.select_nth_unstable_by(q.saturating_sub(1), f64::total_cmp);
    (low, *high)
}

/// The shortest interval (7.7.3).
fn shortest(values: &mut [f64], level: f64) -> (f64, f64) {
    let q = inside(values.len(), level);
    values.sort_unstable_by(f64::total_cmp);
    let pairs = values.iter().zip(values.iter().skip(q));
    let best = pairs.min_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
    best.map_or((f64::NAN, f64::NAN), |(low, high)| (*low, *high))
}

/// A model made ready for many trials.
struct Plan {
    seed: u64,
    root: Node,
    /// Inputs that occur more than once: drawn once per trial.
    columns: Vec<Source>,
}

/// An expression over columns of trials.
enum Node {
    Constant(f64),
    /// An input that occurs once.
    Draw(Source),
    /// One of [`Plan::columns`].
    Column(usize),
    /// exp(Σ (μ + s z)): lognormal factors that occur once, with one exponential for all.
    Exponential(f64, Vec<(Source, f64)>),
    Sum(Vec<Node>),
    Product(Vec<Node>),
    Power(Box<Node>, i32),
}

/// Where the values of an input come from.
#[derive(Clone)]
struct Source {
    stream: u32,
    against: bool,
    quantile: Quantile,
}

/// A distribution made ready for many quantiles.
#[derive(Clone)]
enum Quantile {
    Standard,
    Normal(f64, f64),
    Log(f64, f64),
    Cut(Cut),
    Uniform(f64, f64),
    Other(Distribution),
    /// A quantile function that takes long, as a function of z = Φ⁻¹(p): cubics on a grid.
    Table(Vec<(f64, f64)>),
}

/// Grid of [`Quantile::Table`]: Φ⁻¹ of the smallest and largest number is ∓8.2.
const TABLE_FROM: f64 = -8.5;
const TABLE_STEP: f64 = 1.0 / 64.0;
const TABLE_CELLS: usize = 1088;

impl Plan {
    fn of(model: &Model, seed: u64) -> Self {
        let mut counts = vec![0_usize; model.inputs().len()];
        model.expression().each_input(&mut |index| {
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        });
        let mut planner = Planner { model, counts, columns: Vec::new(), place: Vec::new() };
        let root = planner.node(model.expression());
        Self { seed, root, columns: planner.columns }
    }

    /// Trials from a number that begins a block, in order.
    fn values(&self, first: u64, trials: u64, threads: NonZeroUsize) -> Vec<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 10^7")]
        let mut values = vec![0.0; trials as usize];
        let first = first / BLOCK as u64;
        let blocks = values.len().div_ceil(BLOCK);
        let share = blocks.div_ceil(threads.get().min(blocks.max(1))) * BLOCK;
        if threads.get() == 1 {
            self.fill(first, &mut values);
            return values;
        }
        std::thread::scope(|scope| {
            for (part, values) in values.chunks_mut(share).enumerate() {
                let first = first + (part * share / BLOCK) as u64;
                scope.spawn(move || self.fill(first, values));
            }
        });
        values
    }

    /// Fills whole blocks, the last of which may be cut short.
    fn fill(&self, first: u64, values: &mut [f64]) {
        let mut columns = vec![vec![0.0; CHUNK]; self.columns.len()];
        let mut spare = Vec::new();
        for (block, values) in (first..).zip(values.chunks_mut(BLOCK)) {
            for (chunk, values) in (0_u32..).zip(values.chunks_mut(CHUNK)) {
                #[expect(clippy::cast_possible_truncation, reason = "500")]
                let place = Place { seed: self.seed, block, first: chunk * CHUNK as u32 };
                for (column, source) in columns.iter_mut().zip(&self.columns) {
                    if let Some(column) = column.get_mut(..values.len()) {
                        source.draw(place, column);
                    }
                }
                self.root.fill(place, &columns, &mut spare, values);
            }
        }
    }
}

/// Which trials.
#[derive(Clone, Copy)]
struct Place {
    seed: u64,
    block: u64,
    first: u32,
}

struct Planner<'m> {
    model: &'m Model,
    counts: Vec<usize>,
    columns: Vec<Source>,
    /// Where an input that occurs more than once has its column.
    place: Vec<(usize, usize)>,
}

impl Planner<'_> {
    fn node(&mut self, expression: &Expression) -> Node {
        match expression {
            Expression::Constant(value) => Node::Constant(*value),
            Expression::Input(index) => self.input(*index),
            Expression::Sum(parts) => Node::Sum(parts.iter().map(|part| self.node(part)).collect()),
            Expression::Power(base, k) => Node::Power(Box::new(self.node(base)), *k),
            Expression::Product(parts) => {
                let (mut mu, mut logs, mut nodes) = (0.0, Vec::new(), Vec::new());
                for part in parts {
                    if let Some((own, source, s)) = self.lognormal(part) {
                        mu += own;
                        logs.push((source, s));
                    } else {
                        nodes.push(self.node(part));
                    }
                }
                if !logs.is_empty() {
                    nodes.push(Node::Exponential(mu, logs));
                }
                Node::Product(nodes)
            }
        }
    }

    /// μ, z and s of a lognormal input that occurs once.
    fn lognormal(&self, part: &Expression) -> Option<(f64, Source, f64)> {
        let Expression::Input(index) = part else { return None };
        if self.counts.get(*index) != Some(&1) {
            return None;
        }
        let Distribution::Lognormal { mean, cv } = self.model.inputs().get(*index)?.distribution
        else {
            return None;
        };
        let Log { mu, variance } = Log::of(mean, cv);
        Some((mu, self.source(*index, Quantile::Standard), variance.sqrt()))
    }

    fn source(&self, index: usize, quantile: Quantile) -> Source {
        let (stream, sign) = self.model.stream(index);
        let stream = u32::try_from(stream).unwrap_or(u32::MAX);
        Source { stream, against: sign == Sign::Against, quantile }
    }

    fn input(&mut self, index: usize) -> Node {
        #[expect(clippy::indexing_slicing, reason = "a model's indices name its inputs")]
        let input = &self.model.inputs()[index];
        if let Distribution::Point { mean } = input.distribution {
            return Node::Constant(mean);
        }
        if let Some(&(_, column)) = self.place.iter().find(|(of, _)| *of == index) {
            return Node::Column(column);
        }
        let source = self.source(index, Quantile::of(input.distribution));
        if self.counts.get(index) == Some(&1) {
            return Node::Draw(source);
        }
        self.columns.push(source);
        self.place.push((index, self.columns.len() - 1));
        Node::Column(self.columns.len() - 1)
    }
}

impl Node {
    fn fill(&self, place: Place, columns: &[Vec<f64>], spare: &mut Vec<Vec<f64>>, out: &mut [f64]) {
        match self {
            Self::Constant(value) => out.fill(*value),
            Self::Draw(source) => source.draw(place, out),
            Self::Column(index) => {
                for (out, value) in out.iter_mut().zip(columns.get(*index).into_iter().flatten()) {
                    *out = *value;
                }
            }
            Self::Exponential(mu, logs) => {
                out.fill(*mu);
                let mut own = buffer(spare, out.len());
                for (source, s) in logs {
                    source.draw(place, &mut own);
                    for (out, z) in out.iter_mut().zip(&own) {
                        *out += s * z;
                    }
                }
                for out in out {
                    *out = libm::exp(*out);
                }
                spare.push(own);
            }
            Self::Sum(parts) => {
                out.fill(0.0);
                Self::each(parts, place, columns, spare, out, |out, x| *out += x);
            }
            Self::Product(parts) => {
                out.fill(1.0);
                Self::each(parts, place, columns, spare, out, |out, x| *out *= x);
            }
            Self::Power(base, k) => {
                base.fill(place, columns, spare, out);
                for out in out {
                    *out = power(*out, *k);
                }
            }
        }
    }

    fn each(
        parts: &[Self],
        place: Place,
        columns: &[Vec<f64>],
        spare: &mut Vec<Vec<f64>>,
        out: &mut [f64],
        apply: impl Fn(&mut f64, f64),
    ) {
        for part in parts {
            if let Self::Constant(value) = part {
                for out in out.iter_mut() {
                    apply(out, *value);
                }
                continue;
            }
            let mut own = buffer(spare, out.len());
            part.fill(place, columns, spare, &mut own);
            for (out, x) in out.iter_mut().zip(&own) {
                apply(out, *x);
            }
            spare.push(own);
        }
    }
}

/// A buffer of a length: one that is spare, or a new one.
fn buffer(spare: &mut Vec<Vec<f64>>, length: usize) -> Vec<f64> {
    let mut buffer = spare.pop().unwrap_or_default();
    buffer.resize(length, 0.0);
    buffer
}

impl Source {
    fn draw(&self, place: Place, out: &mut [f64]) {
        uniforms(place.seed, place.block, self.stream, place.first, out);
        if self.against {
            for p in &mut *out {
                *p = 1.0 - *p;
            }
        }
        match &self.quantile {
            Quantile::Standard => each(out, normal_quantile),
            Quantile::Normal(mean, sd) => each(out, |p| mean + sd * normal_quantile(p)),
            Quantile::Log(mu, s) => each(out, |p| libm::exp(mu + s * normal_quantile(p))),
            Quantile::Cut(cut) => each(out, |p| cut.quantile(p)),
            Quantile::Uniform(low, width) => each(out, |p| low + p * width),
            Quantile::Other(distribution) => each(out, |p| distribution.quantile(p)),
            Quantile::Table(points) => each(out, |p| interpolated(points, normal_quantile(p))),
        }
    }
}

#[inline]
fn each(out: &mut [f64], f: impl Fn(f64) -> f64) {
    for p in out {
        *p = f(*p);
    }
}

impl Quantile {
    fn of(distribution: Distribution) -> Self {
        match distribution {
            Distribution::Normal { mean, sd } => Self::Normal(mean, sd),
            Distribution::Lognormal { mean, cv } => {
                let Log { mu, variance } = Log::of(mean, cv);
                Self::Log(mu, variance.sqrt())
            }
            Distribution::TruncatedNormal { mu, sigma, min, max } => {
                Self::Cut(Cut::of(mu, sigma, min, max))
            }
            Distribution::Uniform { low, high } => Self::Uniform(low, high - low),
            Distribution::StudentT { .. } | Distribution::InexactUniform { .. } => {
                Self::table(distribution)
            }
            other => Self::Other(other),
        }
    }

    /// Values and slopes by fourth-order differences.
    fn table(distribution: Distribution) -> Self {
        let at = |i: usize, offset: f64| {
            #[expect(clippy::cast_precision_loss, reason = "at most 1088")]
            let z = TABLE_FROM + TABLE_STEP * (i as f64 + offset);
            distribution.quantile(super::normal::normal_cdf(z))
        };
        let values: Vec<_> = (0..=TABLE_CELLS + 4).map(|i| at(i, -2.0)).collect();
        let points = values.windows(5).map(|five| match five {
            [a, b, middle, d, e] => (*middle, (a - 8.0 * b + 8.0 * d - e) / 12.0),
            _ => (f64::NAN, f64::NAN),
        });
        Self::Table(points.collect())
    }
}

#[expect(clippy::many_single_char_names, reason = "of the formula")]
fn interpolated(points: &[(f64, f64)], z: f64) -> f64 {
    let place = (z - TABLE_FROM) / TABLE_STEP;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let cell = place as usize;
    let (Some(&(p, f)), Some(&(q, g))) = (points.get(cell), points.get(cell + 1)) else {
        return f64::NAN;
    };
    #[expect(clippy::cast_precision_loss, reason = "at most 1088")]
    let s = place - cell as f64;
    let rise = q - p;
    p + s * (f + s * (3.0 * rise - 2.0 * f - g + s * (f + g - 2.0 * rise)))
}

#[cfg(test)]
mod tests;
