//! What other frameworks make of the same numbers: IPCC approach 1 and its asymmetric interval, the
//! GHG Protocol's ranks and pedigree. For comparison with inventories; records do not rest on these.
//! Left out: IPCC approach 2, which is [`super::MonteCarlo`].
//!
//! The IPCC's uncertainty is half of the 95 % interval in percent of the value (IPCC 2006 Guidelines,
//! volume 1, chapter 3), not a standard uncertainty.

use super::normal::normal_quantile;

/// IPCC equation 3.1: the uncertainty of a product, `√ΣUᵢ²`, all in percent.
pub fn ipcc_product(percentages: &[f64]) -> f64 {
    percentages.iter().map(|u| u * u).sum::<f64>().sqrt()
}

/// IPCC equation 3.2: the uncertainty of a sum of (value, percent), `√Σ(Uᵢxᵢ)² / |Σxᵢ|` in percent.
/// `None` when the sum is 0.
pub fn ipcc_sum(terms: &[(f64, f64)]) -> Option<f64> {
    let total: f64 = terms.iter().map(|(value, _)| value).sum();
    let squares: f64 = terms.iter().map(|(value, u)| (value * u) * (value * u)).sum();
    (total.abs() > 0.0).then(|| squares.sqrt() / total.abs())
}

/// Whether equation 3.1 and 3.2 may be used: they assume standard deviations below 0.3 of the mean
/// (ibid., 3.2.3.1). `percent` is half of a 95 % interval.
pub fn ipcc_approach_1_holds(percent: f64) -> bool {
    percent / normal_quantile(0.975) < 30.0
}

/// The IPCC's asymmetric 95 % interval for a positive quantity with a large uncertainty: that of a
/// lognormal with this mean and U/2 percent as its standard deviation (ibid., equations 3.3 to 3.7).
pub fn ipcc_asymmetric(mean: f64, percent: f64) -> (f64, f64) {
    let variance = libm::log1p((percent / 200.0) * (percent / 200.0));
    let centre = libm::log(mean) - variance / 2.0;
    let reach = IPCC_K * variance.sqrt();
    (libm::exp(centre - reach), libm::exp(centre + reach))
}

/// The IPCC rounds 1.959964.
const IPCC_K: f64 = 1.96;

/// Rank of the GHG Protocol's uncertainty tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// ±5 % at most.
    High,
    /// ±15 % at most.
    Good,
    /// ±30 % at most.
    Fair,
    /// Beyond.
    Poor,
}

impl Rank {
    /// The rank of half a 95 % interval in percent.
    pub fn of(percent: f64) -> Self {
        match percent.abs() {
            x if x <= 5.0 => Self::High,
            x if x <= 15.0 => Self::Good,
            x if x <= 30.0 => Self::Fair,
            _ => Self::Poor,
        }
    }
}

/// The square of the geometric standard deviation from uncertainty factors of a pedigree matrix
/// (GHG Protocol, Quantitative Inventory Uncertainty): exp √Σ(ln Uₖ)². The 95 % interval is the
/// geometric mean divided and multiplied by it.
pub fn pedigree(factors: &[f64]) -> f64 {
    let squares = factors.iter().map(|factor| libm::log(*factor) * libm::log(*factor));
    libm::exp(squares.sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64, tolerance: f64) {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }

    /// By hand: √(5² + 10²) = 11.18; √((100·10)² + (50·20)²)/150 = 9.43.
    #[test]
    fn approach_1_combines_products_and_sums() {
        near(ipcc_product(&[5.0, 10.0]), 11.180_339_887, 1e-8);
        near(ipcc_sum(&[(100.0, 10.0), (50.0, 20.0)]).unwrap(), 9.428_090_416, 1e-8);
        assert_eq!(ipcc_sum(&[(1.0, 10.0), (-1.0, 10.0)]), None);
        assert!(ipcc_approach_1_holds(58.0) && !ipcc_approach_1_holds(59.0));
    }

    /// U = 60 %: −46.12 % and +70.28 %, computed apart from this code (`NumPy`).
    #[test]
    fn a_large_uncertainty_is_asymmetric() {
        let (low, high) = ipcc_asymmetric(100.0, 60.0);
        near(low, 100.0 - 46.12, 0.005);
        near(high, 100.0 + 70.28, 0.005);
    }

    /// All indicators good (1.10, 1.05, 1.10, 1.02, 1.20) with the basic 1.05 for CO2, and all poor
    /// (1.50, 1.20, 1.50, 1.10, 2.00): 1.2685 and 2.5196, computed apart from this code.
    #[test]
    fn pedigrees_combine_in_the_logarithm() {
        near(pedigree(&[1.10, 1.05, 1.10, 1.02, 1.20, 1.05]), 1.268_5, 5e-5);
        near(pedigree(&[1.50, 1.20, 1.50, 1.10, 2.00, 1.05]), 2.519_6, 5e-5);
        assert_eq!(
            [5.0, 5.1, 20.0, 31.0].map(Rank::of),
            [Rank::High, Rank::Good, Rank::Fair, Rank::Poor]
        );
    }
}
