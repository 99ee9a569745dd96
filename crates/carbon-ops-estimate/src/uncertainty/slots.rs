//! The measurement model of a span: energy in slots, priced slot by slot, with errors that slots
//! share and noise that they do not. Left out: which slots there are, and what an input's numbers are.
//!
//! ```text
//! C = ∏ F · Σ_p B_p · Σ_i w_i (1 + ε_i)  +  M        w_i = e_i · I_i
//! ```
//!
//! `F` are the factors of the whole span (scope of the meter `K`, PUE `P`), `B_p` the factor of a
//! provider and zone, shared by all of its slots, `ε_i` the noise of a provider's slot, `M` embodied
//! carbon. The noise of a provider is folded into one normal factor of mean 1. For normal noise that
//! is exact; for another shape, the sum over n slots is nearer to normal by 1/√n.

use super::model::{Expression, Input, Model};
use super::{Distribution, Error};

/// Energy in one slot, with its price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// Energy times intensity, in g: its part of the result when all factors are 1.
    pub grams: f64,
    /// Index of its provider in [`Span::providers`].
    pub provider: usize,
    /// When the provider's slot begins, in hours after an instant of choice. Parts of one provider's
    /// slot have one noise, however the energy is cut up.
    pub hour: f64,
}

/// How the values of one provider's slots scatter around the truth, beyond what they share in `B`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation of a slot's value over the value.
    pub cv: f64,
    /// Part of that variance that all slots of the span have in common, 0 to 1.
    pub common: f64,
    /// Correlation of the rest over one hour, 0 to 1: AR(1), `rᵗ` after t hours. 0: independent.
    pub hourly_correlation: f64,
}

impl Noise {
    /// No noise: the provider's factor has all of the uncertainty.
    pub const NONE: Self = Self { cv: 0.0, common: 0.0, hourly_correlation: 0.0 };
}

/// Where prices come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its factor `B`; a mean of 1 leaves prices as they are.
    pub factor: Input,
    /// The noise of its slots.
    pub noise: Noise,
}

/// A span.
///
/// ```
/// use carbon_ops_estimate::uncertainty::slots::{Noise, Provider, Slot, Span};
/// use carbon_ops_estimate::uncertainty::{Input, Method};
/// let grid = Input::new("intensity", "ln(1, 10%)".parse()?).shared("grid:owid:DE");
/// let noise = Noise { cv: 0.05, common: 0.0, hourly_correlation: 0.0 };
/// let span = Span {
///     factors: vec![Input::new("pue", "tn(1.2, 0.05, min=1)".parse()?)],
///     providers: vec![Provider { factor: grid, noise }],
///     slots: (0..24).map(|hour| Slot { grams: 10.0, provider: 0, hour: hour.into() }).collect(),
///     embodied: None,
/// };
/// let day = span.model()?.evaluate(&Method::Analytical)?;
/// // Ten percent stay ten percent; only the noise becomes less, by √24.
/// assert!(day.budget.shares.iter().any(|share| share.name == "intensity" && share.share > 0.8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Factors of all slots.
    pub factors: Vec<Input>,
    /// Providers and zones.
    pub providers: Vec<Provider>,
    /// Slots, in any order.
    pub slots: Vec<Slot>,
    /// Embodied carbon in g, which no factor multiplies.
    pub embodied: Option<Input>,
}

impl Span {
    /// The model of the span, in g.
    ///
    /// # Errors
    /// When a slot has no provider, a noise is impossible or an input is no distribution.
    pub fn model(&self) -> Result<Model, Error> {
        let mut inputs = self.factors.clone();
        let mut terms = Vec::new();
        for (index, provider) in self.providers.iter().enumerate() {
            let slots: Vec<_> = self.slots.iter().filter(|slot| slot.provider == index).collect();
            if slots.is_empty() {
                continue;
            }
            let (grams, variance) = provider.noise.of(&slots)?;
            let mut term = vec![Expression::Constant(grams), Expression::Input(inputs.len())];
            inputs.push(provider.factor.clone());
            if variance > 0.0 && grams > 0.0 {
                term.push(Expression::Input(inputs.len()));
                let sd = variance.sqrt() / grams;
                let name = format!("{} noise", provider.factor.name);
                inputs.push(Input::new(name, Distribution::Normal { mean: 1.0, sd }));
            }
            terms.push(Expression::Product(term));
        }
        if let Some(slot) = self.slots.iter().find(|slot| slot.provider >= self.providers.len()) {
            return Err(Error::NoInput(slot.provider));
        }
        let mut product: Vec<_> = (0..self.factors.len()).map(Expression::Input).collect();
        // One provider: a product, whose error is known.
        match (terms.pop(), terms.is_empty()) {
            (Some(only), true) => product.push(only),
            (last, _) => product.push(Expression::Sum(terms.into_iter().chain(last).collect())),
        }
        let mut expression = Expression::Product(product);
        if let Some(embodied) = &self.embodied {
            expression = Expression::Sum(vec![expression, Expression::Input(inputs.len())]);
            inputs.push(embodied.clone());
        }
        Model::new(inputs, expression)
    }
}

impl Noise {
    /// Sum over slots, and the variance that the noise gives it:
    /// `cv²·[(1 − ρ)·Σᵢ Σⱼ wᵢ wⱼ r^|tᵢ − tⱼ| + ρ·(Σ wᵢ)²]`.
    fn of(&self, slots: &[&Slot]) -> Result<(f64, f64), Error> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let fine = self.cv >= 0.0 && self.cv.is_finite() && share(self.common);
        if !fine || !share(self.hourly_correlation) {
            return Err(Error::Noise(*self));
        }
        let mut slots = slots.to_vec();
        let order = |a: &&Slot, b: &&Slot| {
            a.hour.total_cmp(&b.hour).then_with(|| a.grams.total_cmp(&b.grams))
        };
        slots.sort_by(order);
        // With `before` = Σ_{i<j} wᵢ r^(tⱼ − tᵢ), one pass is enough. Parts of one slot are 0 hours
        // apart, and r⁰ = 1 also for r = 0: they have one noise.
        let (mut sum, mut own, mut before) = (0.0, 0.0, 0.0);
        let mut last: Option<&Slot> = None;
        for slot in slots {
            if let Some(last) = last {
                before = (before + last.grams)
                    * libm::pow(self.hourly_correlation, slot.hour - last.hour);
            }
            own += slot.grams * (slot.grams + 2.0 * before);
            sum += slot.grams;
            last = Some(slot);
        }
        let Self { cv, common, .. } = *self;
        Ok((sum, cv * cv * ((1.0 - common) * own + common * sum * sum)))
    }
}

#[cfg(test)]
mod tests;
