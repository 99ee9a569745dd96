//! A distribution function and its density by the logarithm of the magnitude, on each side of zero, with
//! cubics in between; and what integration needs: roots, nodes.
//!
//! A point of a table is computed when it is first asked for: who wants a few quantiles meets a few of them.
//!
//! Out of scope: which laws are tabulated, and how they are joined.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::OnceLock;

use crate::uncertainty::quadrature::legendre_nodes;

/// Probabilities below are cut off at both ends of what is integrated over.
pub(super) const CUT: f64 = 1e-11;

/// Cells of a table per half of its central 68 %: the cubics are then exact to 1e-9.
const CELLS: f64 = 24.0;

/// The sides of zero, in the order of [`Table::sides`]: whether they are above it.
pub(super) const SIGNS: [bool; 2] = [false, true];

/// Where almost all of a law lies on one side of zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// Logarithm of the magnitude.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Half of its central 68 %.
    pub(super) width: f64,
    /// Its probability.
    pub(super) weight: f64,
}

impl Range {
    /// Whether a coordinate lies between the ends.
    pub(super) fn holds(&self, t: f64) -> bool {
        t > self.low && t < self.high
    }
}

/// A distribution function with its density.
#[derive(Clone)]
pub(super) struct Table {
    /// Below and above zero.
    pub(super) sides: [Option<Side>; 2],
    /// Where the density jumps or bends.
    pub(super) breaks: Vec<f64>,
}

/// Probability up to a coordinate, and derivative by the coordinate.
pub(super) type Mass = Rc<dyn Fn(f64) -> (f64, f64)>;

/// The probability of the values up to a magnitude, on one side of zero.
#[derive(Clone)]
pub(super) struct Side {
    pub(super) range: Range,
    grid: Grid,
    /// What follows where the density bends.
    next: Option<Grid>,
    mass: Mass,
}

/// Equidistant coordinates.
#[derive(Clone)]
struct Grid {
    low: f64,
    step: f64,
    /// Where it began before it was scaled: what its points are computed for.
    origin: f64,
    /// NaN where nobody asked yet.
    points: Rc<[Cell<(f64, f64)>]>,
}

impl Grid {
    fn new(low: f64, high: f64, cells: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let step = (high - low) / cells as f64;
        let points = vec![Cell::new((f64::NAN, f64::NAN)); cells + 1].into();
        Self { low, step, origin: low, points }
    }

    /// The two points around a cell; `None` beyond the last.
    #[inline]
    fn cell(&self, index: usize, mass: &Mass) -> Option<[(f64, f64); 2]> {
        let [from, to] = self.points.get(index..index.checked_add(2)?)? else { return None };
        let [from, to] = if from.get().0.is_nan() || to.get().0.is_nan() {
            [(from, index), (to, index + 1)].map(|(point, index)| self.asked(point, index, mass))
        } else {
            [from.get(), to.get()]
        };
        Some([from, to])
    }

    #[cold]
    #[inline(never)]
    fn asked(&self, point: &Cell<(f64, f64)>, index: usize, mass: &Mass) -> (f64, f64) {
        if point.get().0.is_nan() {
            #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
            point.set(mass(self.origin + self.step * index as f64));
        }
        point.get()
    }
}

impl Side {
    /// `peak` is cut at where it is inside of the range.
    pub(super) fn new(range: Range, fineness: f64, peak: f64, mass: Mass) -> Self {
        let Range { low, high, width, .. } = range;
        let grid = |low: f64, high: f64| {
            Grid::new(low, high, count((high - low) / width * CELLS * fineness, 64, 2048))
        };
        let (grid, next) = if low < peak && peak < high {
            (grid(low, peak), Some(grid(peak, high)))
        } else {
            (grid(low, high), None)
        };
        Self { range, grid, next, mass }
    }

    #[inline]
    #[expect(clippy::many_single_char_names, reason = "of the formula")]
    pub(super) fn mass(&self, t: f64) -> (f64, f64) {
        let grid = self.next.as_ref().filter(|next| t >= next.low).unwrap_or(&self.grid);
        let place = (t - grid.low) / grid.step;
        // Not at 0 itself, where the second grid begins.
        if place < 0.0 {
            return (0.0, 0.0);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; saturates"
        )]
        let cell = place as usize;
        let Some([(p, f), (q, g)]) = grid.cell(cell, &self.mass) else {
            return (self.range.weight, 0.0);
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let s = place - cell as f64;
        // Hermite's cubic and its derivative.
        let (f, g, rise) = (f * grid.step, g * grid.step, q - p);
        let (a, b) = (3.0 * rise - 2.0 * f - g, f + g - 2.0 * rise);
        (p + s * (f + s * (a + s * b)), (f + s * (2.0 * a + 3.0 * s * b)) / grid.step)
    }
}

impl Table {
    pub(super) fn side(&self, above: bool) -> Option<&Side> {
        let [low, high] = &self.sides;
        if above { high.as_ref() } else { low.as_ref() }
    }

    /// The probability below zero.
    pub(super) fn below(&self) -> f64 {
        self.side(false).map_or(0.0, |side| side.range.weight)
    }

    pub(super) fn scaled(&self, c: f64) -> Self {
        let mut scaled = self.clone();
        if c < 0.0 {
            scaled.sides.reverse();
        }
        let by = libm::log(c.abs());
        for side in scaled.sides.iter_mut().flatten() {
            side.range.low += by;
            side.range.high += by;
            for grid in std::iter::once(&mut side.grid).chain(&mut side.next) {
                grid.low += by;
            }
        }
        for x in &mut scaled.breaks {
            *x *= c;
        }
        scaled
    }

    /// The probability between zero and e^t on one side of it, and its derivative by t.
    #[inline]
    pub(super) fn mass(&self, above: bool, t: f64) -> (f64, f64) {
        self.side(above).map_or((0.0, 0.0), |side| side.mass(t))
    }

    /// Distribution function and density at x.
    pub(super) fn at(&self, x: f64) -> (f64, f64) {
        if x == 0.0 {
            return (self.below(), 0.0);
        }
        let (mass, slope) = self.mass(x > 0.0, libm::log(x.abs()));
        let p = if x > 0.0 { self.below() + mass } else { self.below() - mass };
        (p, slope / x.abs())
    }

    pub(super) fn quantile(&self, p: f64) -> f64 {
        let below = self.below();
        let above = p > below;
        let Some(side) = self.side(above) else { return 0.0 };
        let p = if above { p - below } else { below - p };
        let t = root(side.range.low, side.range.high, p, |t| side.mass(t));
        if above { libm::exp(t) } else { -libm::exp(t) }
    }
}

/// Newton's method on a distribution function inside a bracket that each step narrows; where a step
/// would leave it, the bracket is halved instead (Press et al., Numerical Recipes, 9.4).
pub(super) fn root(mut low: f64, mut high: f64, p: f64, at: impl Fn(f64) -> (f64, f64)) -> f64 {
    let scale = high - low;
    let mut t = f64::midpoint(low, high);
    for _ in 0..200 {
        let (probability, slope) = at(t);
        if probability < p {
            low = t;
        } else {
            high = t;
        }
        let newton = t - (probability - p) / slope;
        // Also where it stays: halving would lead away from a root that is found.
        let next = if newton >= low && newton <= high { newton } else { f64::midpoint(low, high) };
        let step = next - t;
        t = next;
        if step.abs() <= 1e-13 * scale || high - low <= 1e-13 * scale {
            break;
        }
    }
    t
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
pub(super) fn count(x: f64, least: u32, most: u32) -> usize {
    // NaN becomes the least.
    x.ceil().max(f64::from(least)).min(f64::from(most)) as usize
}

/// Gauss–Legendre nodes, at least so many; computed once per process.
pub(super) fn legendre(number: usize) -> &'static [(f64, f64)] {
    static RULES: [OnceLock<Vec<(f64, f64)>>; 8] = [const { OnceLock::new() }; 8];
    // 12, 24, … 96.
    let index = number.div_ceil(12).clamp(1, RULES.len()) - 1;
    let rule = RULES
        .get(index)
        .map(|rule| rule.get_or_init(|| legendre_nodes(12 * (index + 1)).collect()));
    rule.map_or(&[], Vec::as_slice)
}
