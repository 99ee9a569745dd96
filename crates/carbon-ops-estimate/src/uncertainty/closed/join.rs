//! The product or the sum of two laws: the wide one as a table, averaged over nodes of the narrow one.
//!
//! Out of scope: in which order laws are joined.

use std::rc::Rc;

use super::law::Law;
use super::table::{CUT, Range, SIGNS, Side, Table, count, legendre, root};

/// Nodes of a range per half of its central 68 %.
const NODES: f64 = 3.0;

/// Probabilities at which the range of a joined law, or of one that crosses zero, is cut into parts with
/// nodes of their own.
const PARTS: [f64; 7] = [1e-3, 0.025, 0.16, 0.5, 0.84, 0.975, 0.999];

/// More bends than three pairs of bounds make come from sums of sums of sums, and are smooth.
const BENDS_MAX: usize = 8;

/// What two laws are joined by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Product,
    Sum,
}

/// A law to be integrated over: nodes in the logarithm of its magnitude.
pub(super) struct Narrow {
    law: Law,
    fineness: f64,
    /// Below and above zero: the range, and where it is cut, its ends included.
    sides: [Option<(Range, Vec<f64>)>; 2],
    nodes: Vec<Node>,
}

struct Node {
    x: f64,
    ln: f64,
    weight: f64,
}

impl Narrow {
    pub(super) fn of(law: &Law, fineness: f64) -> Self {
        let breaks = law.breaks();
        let crosses = !law.positive();
        let side = |above: bool| {
            let range = law.range(above)?;
            let Range { low, high, weight, .. } = range;
            let inside = |t: &f64| range.holds(*t);
            let mut pieces = vec![low, high];
            // What was joined already may fall off within a small part of its range: a rectangle whose
            // ends are not quite sharp, an end that is far away in the logarithm.
            if let Law::Table(table) = law {
                let to = |p: f64| root(low, high, p * weight, |t| table.mass(above, t));
                pieces.extend(PARTS.map(to).into_iter().filter(inside));
            } else if crosses {
                let below = law.below();
                let to = |p: f64| root(low, high, p * weight, |t| law.mass(above, below, t));
                pieces.extend(PARTS.map(to).into_iter().filter(inside));
            }
            let own = breaks.iter().filter(|x| (**x > 0.0) == above);
            pieces.extend(own.map(|x| libm::log(x.abs().max(f64::MIN_POSITIVE))).filter(inside));
            pieces.sort_by(f64::total_cmp);
            Some((range, pieces))
        };
        let (sides, nodes) = match law {
            Law::Point(x) => {
                ([None, None], vec![Node { x: *x, ln: libm::log(x.abs()), weight: 1.0 }])
            }
            _ => (SIGNS.map(side), Vec::new()),
        };
        let mut narrow = Self { law: law.clone(), fineness, sides, nodes };
        if narrow.nodes.is_empty() {
            narrow.nodes = narrow.cut_at(&[]);
        }
        narrow
    }

    /// Nodes with the range cut at some more values; weights sum to one.
    fn cut_at(&self, more: &[f64]) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (above, side) in SIGNS.into_iter().zip(&self.sides) {
            let Some((range, pieces)) = side else { continue };
            let mut pieces = pieces.clone();
            let own = more.iter().filter(|x| (**x > 0.0) == above);
            pieces.extend(own.map(|x| libm::log(x.abs())).filter(|t| range.holds(*t)));
            pieces.sort_by(f64::total_cmp);
            for (a, b) in pieces.iter().zip(pieces.iter().skip(1)) {
                let half = (b - a) / 2.0;
                if half <= 0.0 {
                    continue;
                }
                let number = count(2.0 * half / range.width * NODES * self.fineness, 12, 96);
                for &(z, weight) in legendre(number) {
                    let ln = a + half * (z + 1.0);
                    let magnitude = libm::exp(ln);
                    let x = if above { magnitude } else { -magnitude };
                    let density = self.law.at(x).1 * magnitude;
                    nodes.push(Node { x, ln, weight: weight * half * density });
                }
            }
        }
        let total: f64 = nodes.iter().map(|node| node.weight).sum();
        for node in &mut nodes {
            node.weight /= total;
        }
        nodes
    }

    /// Its range on one side of zero; of a point, where it is.
    fn range(&self, above: bool) -> Option<Range> {
        if let Law::Point(x) = self.law {
            let ln = libm::log(x.abs());
            return ((x > 0.0) == above).then_some(Range {
                low: ln,
                high: ln,
                width: 0.0,
                weight: 1.0,
            });
        }
        let index = usize::from(above);
        self.sides.get(index)?.as_ref().map(|(range, _)| *range)
    }
}

/// Two laws whose join is evaluated where it is asked for.
pub(super) struct Join {
    wide: Table,
    narrow: Narrow,
    operation: Operation,
    /// The probability below zero.
    below: f64,
}

impl Join {
    pub(super) fn of(wide: Table, narrow: Narrow, operation: Operation) -> Self {
        let mut join = Self { wide, narrow, operation, below: 0.0 };
        let of = |range: Option<Range>| range.map_or(0.0, |range| range.weight);
        let [[a, b], [c, d]] = [
            SIGNS.map(|above| of(join.wide.side(above).map(|side| side.range))),
            SIGNS.map(|above| of(join.narrow.range(above))),
        ];
        join.below = match operation {
            Operation::Product => a * d + b * c,
            Operation::Sum if a <= 0.0 && c <= 0.0 => 0.0,
            Operation::Sum => join.sum(0.0).0,
        };
        join
    }

    /// Distribution function and density at x.
    pub(super) fn at(&self, x: f64) -> (f64, f64) {
        if x == 0.0 {
            return (self.below, 0.0);
        }
        let above = x > 0.0;
        let (mass, slope) = self.mass(above, libm::log(x.abs()));
        let p = if above { self.below + mass } else { self.below - mass };
        (p, slope / x.abs())
    }

    /// The probability between zero and e^t on one side of it, and its derivative by t.
    fn mass(&self, above: bool, t: f64) -> (f64, f64) {
        let magnitude = libm::exp(t);
        let y = if above { magnitude } else { -magnitude };
        match self.operation {
            Operation::Product => {
                let (mut mass, mut slope) = (0.0, 0.0);
                let [other, same] = [!above, above].map(|above| self.wide.side(above));
                self.each_node(y, |node| {
                    // Where the wide law has nothing, there is nothing to add.
                    let Some(side) = (if node.x > 0.0 { same } else { other }) else { return };
                    let own = side.mass(t - node.ln);
                    mass += node.weight * own.0;
                    slope += node.weight * own.1;
                });
                (mass, slope)
            }
            Operation::Sum => {
                let (p, density) = self.sum(y);
                (if above { p - self.below } else { self.below - p }, density * magnitude)
            }
        }
    }

    /// Distribution function and density of a sum.
    fn sum(&self, y: f64) -> (f64, f64) {
        let (mut p, mut density) = (0.0, 0.0);
        self.each_node(y, |node| {
            let (q, f) = self.wide.at(y - node.x);
            p += node.weight * q;
            density += node.weight * f;
        });
        (p, density)
    }

    /// Every node, with the narrow law cut where it puts a jump of the wide one at `y`.
    fn each_node(&self, y: f64, mut f: impl FnMut(&Node)) {
        // Where only one side of zero has values, a sum has an end there.
        let ends = self.operation == Operation::Sum && self.wide.sides.iter().any(Option::is_none);
        let jumps = self.wide.breaks.iter().copied().chain(ends.then_some(0.0));
        let at = jumps.map(|x| match self.operation {
            Operation::Product => y / x,
            Operation::Sum => y - x,
        });
        let inside = |x: &f64| {
            self.narrow.range(*x > 0.0).is_some_and(|range| range.holds(libm::log(x.abs())))
        };
        let cuts: Vec<_> = at.filter(inside).collect();
        if cuts.is_empty() {
            self.narrow.nodes.iter().for_each(f);
        } else {
            self.narrow.cut_at(&cuts).iter().for_each(&mut f);
        }
    }

    /// Coordinates between which almost all of the result lies, on one side of zero, and its probability.
    fn range(&self, above: bool) -> Option<(f64, f64, f64)> {
        let weight = if above { 1.0 - self.below } else { self.below };
        if weight <= 2.0 * CUT {
            return None;
        }
        let wide = |above| self.wide.side(above).map(|side| side.range);
        let narrow = |above| self.narrow.range(above);
        let (low, high) = match self.operation {
            Operation::Product => {
                let pairs =
                    SIGNS.into_iter().filter_map(|own| Some((wide(own)?, narrow(own == above)?)));
                pairs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| {
                    (low.min(a.low + b.low), high.max(a.high + b.high))
                })
            }
            Operation::Sum => {
                let sum = |f: fn(Range) -> f64| {
                    let of = |range: Option<Range>| range.map(|range| libm::exp(f(range)));
                    of(wide(above)).unwrap_or(0.0) + of(narrow(above)).unwrap_or(0.0)
                };
                let high = libm::log(sum(|range| range.high));
                // Where the other side has values too, they take this one down to zero.
                let crosses = wide(!above).is_some() || narrow(!above).is_some();
                let low = if crosses { high - DEPTH } else { libm::log(sum(|range| range.low)) };
                (low, high)
            }
        };
        Some((low, high, weight))
    }

    pub(super) fn quantile(&self, p: f64) -> f64 {
        let above = p > self.below;
        let Some((low, high, weight)) = self.range(above) else { return 0.0 };
        let p = if above { p - self.below } else { self.below - p };
        let t = root(low, high, p.min(weight), |t| self.mass(above, t));
        if above { libm::exp(t) } else { -libm::exp(t) }
    }

    pub(super) fn tabulated(self: &Rc<Self>, fineness: f64) -> Table {
        // Two jumps join to a bend, which cubics follow less well, and which is cut at next time.
        let mut bends = Vec::new();
        for a in &self.wide.breaks {
            for b in self.narrow.law.breaks() {
                bends.push(match self.operation {
                    Operation::Product => a * b,
                    Operation::Sum => a + b,
                });
            }
        }
        // A jump that a smooth law blurs is still steep.
        let fineness = if self.wide.breaks.is_empty() { fineness } else { 4.0 * fineness };
        // What two bends join to is smooth enough; 0 times a bound is beyond all coordinates.
        bends.retain(|bend| *bend != 0.0);
        bends.sort_by(f64::total_cmp);
        bends.dedup_by(|a, b| (*a - *b).abs() <= 1e-12 * a.abs().max(b.abs()));
        bends.truncate(BENDS_MAX);
        let side = |above: bool| {
            let (low, high, weight) = self.range(above)?;
            let at = |p| root(low, high, p, |t| self.mass(above, t));
            let width = (at(0.84 * weight) - at(0.16 * weight)) / 2.0;
            let range = Range { low: at(CUT), high: at(weight - CUT), width, weight };
            let join = Rc::clone(self);
            Some(Side::new(range, fineness, f64::NAN, Rc::new(move |t| join.mass(above, t))))
        };
        Table { sides: SIGNS.map(side), breaks: bends }
    }
}

/// So far below its upper end in the logarithm, a law that crosses zero has nothing left.
const DEPTH: f64 = 45.0;
