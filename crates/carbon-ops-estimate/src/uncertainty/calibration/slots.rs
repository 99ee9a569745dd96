//! The measurement model of a span: energy in slots, priced slot by slot, with errors that slots
//! share and noise that they do not: one of the models of which the calibration draws truths.
//!
//! ```text
//! C = ∏ F · Σ_p B_p · Σ_i w_i (1 + ε_i)  +  M        w_i = e_i · I_i
//! ```
//!
//! `F` are the factors of the whole span (scope of the meter `K`, PUE `P`), `B_p` the factor of a
//! provider and zone, shared by all of its slots, `ε_i` the noise of a provider's slot, `M` embodied
//! carbon. The noise of a provider is folded into one normal factor of mean 1. For normal noise that
//! is exact; for another shape, the sum over n slots is nearer to normal by 1/√n.

use crate::uncertainty::{Distribution, Expression, Input, Model};

/// Energy in one slot, with its price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slot {
    /// Energy times intensity, in g: its part of the result when all factors are 1.
    pub(super) grams: f64,
    /// Index of its provider in [`Span::providers`].
    pub(super) provider: usize,
    /// When the provider's slot begins, in hours after an instant of choice. Parts of one provider's
    /// slot have one noise, however the energy is cut up.
    pub(super) hour: f64,
}

/// How the values of one provider's slots scatter around the truth, beyond what they share in `B`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// Standard deviation of a slot's value over the value.
    pub(super) cv: f64,
    /// Part of that variance that all slots of the span have in common, 0 to 1.
    pub(super) common: f64,
    /// Correlation of the rest over one hour, 0 to 1: AR(1), `rᵗ` after t hours. 0: independent.
    pub(super) hourly_correlation: f64,
}

impl Noise {
    /// No noise: the provider's factor has all of the uncertainty.
    pub(super) const NONE: Self = Self { cv: 0.0, common: 0.0, hourly_correlation: 0.0 };
}

/// Where prices come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Provider {
    /// Its factor `B`; a mean of 1 leaves prices as they are.
    pub(super) factor: Input,
    /// The noise of its slots.
    pub(super) noise: Noise,
}

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    /// Factors of all slots.
    pub(super) factors: Vec<Input>,
    /// Providers and zones.
    pub(super) providers: Vec<Provider>,
    /// Slots, in any order.
    pub(super) slots: Vec<Slot>,
    /// Embodied carbon in g, which no factor multiplies.
    pub(super) embodied: Option<Input>,
}

impl Span {
    /// The model of the span, in g.
    pub(super) fn model(&self) -> Model {
        let mut inputs = self.factors.clone();
        let mut terms = Vec::new();
        for (index, provider) in self.providers.iter().enumerate() {
            let slots: Vec<_> = self.slots.iter().filter(|slot| slot.provider == index).collect();
            if slots.is_empty() {
                continue;
            }
            let (grams, variance) = provider.noise.of(&slots);
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
        Model::new(inputs, expression).unwrap()
    }
}

impl Noise {
    /// Sum over slots, and the variance that the noise gives it:
    /// `cv²·[(1 − ρ)·Σᵢ Σⱼ wᵢ wⱼ r^|tᵢ − tⱼ| + ρ·(Σ wᵢ)²]`.
    fn of(&self, slots: &[&Slot]) -> (f64, f64) {
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
        (sum, cv * cv * ((1.0 - common) * own + common * sum * sum))
    }
}
