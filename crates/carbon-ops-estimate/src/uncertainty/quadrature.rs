//! Gauss–Legendre quadrature.
//!
//! Out of scope: what is integrated, and over which pieces.

use std::f64::consts::PI;

/// Nodes and weights on [−1, 1]: roots of the Legendre polynomial by Newton's method from the
/// estimate cos(π(i+3/4)/(n+1/2)) (Abramowitz and Stegun, 22.16.6 and 25.4.29).
pub(super) fn legendre_nodes(count: usize) -> impl Iterator<Item = (f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "small integers")]
    let n = count as f64;
    (0..count).map(move |i| {
        #[expect(clippy::cast_precision_loss, reason = "small integers")]
        let mut x = libm::cos(PI * (i as f64 + 0.75) / (n + 0.5));
        let mut slope = 1.0;
        for _ in 0..8 {
            let (value, before) = legendre(count, x);
            slope = n * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    })
}

/// The Legendre polynomials of a degree and one less, by their recurrence.
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut value, mut before) = (x, 1.0);
    for k in 2..=degree {
        #[expect(clippy::cast_precision_loss, reason = "small integers")]
        let k = k as f64;
        (value, before) = (((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k, value);
    }
    (value, before)
}
