//! A result as an expression of named inputs.
//!
//! Out of scope: its interval (`evaluate`), and which inputs a figure of carbon has.

use std::collections::{BTreeMap, BTreeSet};

use super::distribution::{Distribution, power};
use super::error::Error;

/// An input quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// What people read: `energy`, `pue`, `intensity`.
    pub name: String,
    /// What is known of it.
    pub distribution: Distribution,
    /// Inputs with equal keys, of this model and of others, are one random variable.
    pub shared: Option<String>,
    /// How it follows that variable.
    pub sign: Sign,
}

/// How an input follows the variable of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    /// It rises with it.
    #[default]
    Along,
    /// It falls when the variable rises.
    Against,
}

impl Input {
    /// An input that is independent of all others.
    pub fn new(name: impl Into<String>, distribution: Distribution) -> Self {
        Self { name: name.into(), distribution, shared: None, sign: Sign::Along }
    }

    /// The same input, sharing its error with every input of that key.
    #[must_use]
    pub fn shared(self, key: impl Into<String>) -> Self {
        Self { shared: Some(key.into()), ..self }
    }

    /// The same input, falling where the shared variable rises.
    #[must_use]
    pub fn opposed(self) -> Self {
        Self { sign: Sign::Against, ..self }
    }
}

/// What is computed from the inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// An exact number.
    Constant(f64),
    /// The input with this index.
    Input(usize),
    /// All of them added.
    Sum(Vec<Expression>),
    /// All of them multiplied.
    Product(Vec<Expression>),
    /// An integer power; −1 is the reciprocal.
    Power(Box<Expression>, i32),
}

impl Expression {
    /// This expression to an integer power.
    #[must_use]
    pub fn power(self, k: i32) -> Self {
        Self::Power(Box::new(self), k)
    }

    /// Calls `f` with the index of each input, as often as it occurs.
    pub(super) fn each_input(&self, f: &mut impl FnMut(usize)) {
        match self {
            Self::Constant(_) => {}
            Self::Input(index) => f(*index),
            Self::Sum(parts) | Self::Product(parts) => {
                for part in parts {
                    part.each_input(f);
                }
            }
            Self::Power(base, _) => base.each_input(f),
        }
    }

    /// Whether no input of those that `counts` occurs twice.
    pub(super) fn has_each_once(&self, counts: impl Fn(usize) -> bool) -> bool {
        let (mut seen, mut once) = (BTreeSet::new(), true);
        self.each_input(&mut |index| once &= !counts(index) || seen.insert(index));
        once
    }

    fn renamed(&self, names: &[usize]) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.renamed(names)).collect();
        match self {
            Self::Constant(_) => self.clone(),
            Self::Input(index) => Self::Input(names.get(*index).copied().unwrap_or(*index)),
            Self::Sum(parts) => Self::Sum(all(parts)),
            Self::Product(parts) => Self::Product(all(parts)),
            Self::Power(base, k) => base.renamed(names).power(*k),
        }
    }
}

/// Inputs and what is computed from them.
///
/// ```
/// use carbon_ops_estimate::uncertainty::{Input, Method, Model, MonteCarlo};
/// let model = Model::product(
///     1.2,
///     vec![
///         Input::new("pue", "tn(1.2, 0.05, min=1)".parse()?),
///         Input::new("intensity", "ln(400, 10%)".parse()?).shared("grid:owid:DE"),
///     ],
/// )?;
/// let grams = model.evaluate(&Method::Analytical)?;
/// let check = model.evaluate(&Method::MonteCarlo(MonteCarlo::seeded(1)))?;
/// assert!((grams.low / check.low - 1.0).abs() < 0.01);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) inputs: Vec<Input>,
    pub(super) expression: Expression,
    /// For each input, the input whose random variable it is: itself, or the first with the same key.
    variable: Vec<usize>,
    /// For each input, the first input with the same key, or itself: whose random numbers it follows.
    stream: Vec<usize>,
    /// Whether two inputs with one key have different distributions or signs.
    pub(super) tied: bool,
}

impl Model {
    /// A model.
    ///
    /// # Errors
    /// When an input is no distribution or an index names no input.
    #[expect(clippy::needless_pass_by_value, reason = "callers build an expression for a model")]
    pub fn new(inputs: Vec<Input>, expression: Expression) -> Result<Self, Error> {
        for input in &inputs {
            input.distribution.valid()?;
        }
        let mut missing = None;
        expression.each_input(&mut |index| {
            if index >= inputs.len() {
                missing = Some(index);
            }
        });
        if let Some(index) = missing {
            return Err(Error::NoInput(index));
        }
        let (variable, stream, tied) = variables(&inputs);
        let expression = expression.renamed(&variable);
        Ok(Self { inputs, expression, variable, stream, tied })
    }

    /// `scale` times the product of all inputs.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn product(scale: f64, inputs: Vec<Input>) -> Result<Self, Error> {
        let mut factors = vec![Expression::Constant(scale)];
        factors.extend((0..inputs.len()).map(Expression::Input));
        Self::new(inputs, Expression::Product(factors))
    }

    /// The sum of models whose inputs with equal keys are one variable: the joint distribution of
    /// many records.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn sum(models: impl IntoIterator<Item = Self>) -> Result<Self, Error> {
        let (mut inputs, mut terms) = (Vec::new(), Vec::new());
        for model in models {
            let names: Vec<_> = (inputs.len()..inputs.len() + model.inputs.len()).collect();
            terms.push(model.expression.renamed(&names));
            inputs.extend(model.inputs);
        }
        Self::new(inputs, Expression::Sum(terms))
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What is computed from them; inputs of one variable are the first of them.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Its value at the means of the inputs: of independent inputs that occur once, its mean.
    pub fn mean(&self) -> f64 {
        let means: Vec<_> = self.inputs.iter().map(|input| input.distribution.mean()).collect();
        self.expression.value(&means)
    }

    /// Which input's random numbers an input follows.
    pub(super) fn stream(&self, index: usize) -> (usize, Sign) {
        let Some(input) = self.inputs.get(index) else { return (index, Sign::Along) };
        (self.stream.get(index).copied().unwrap_or(index), input.sign)
    }

    /// The quotient of two models whose inputs with equal keys are one variable.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn quotient(numerator: Self, denominator: Self) -> Result<Self, Error> {
        let first = numerator.inputs.len();
        let names: Vec<_> = (first..first + denominator.inputs.len()).collect();
        // The reciprocal of a product is one of its factors: so each can be integrated over.
        let below = match denominator.expression.renamed(&names) {
            Expression::Product(parts) => {
                Expression::Product(parts.into_iter().map(|part| part.power(-1)).collect())
            }
            other => other.power(-1),
        };
        let expression = Expression::Product(vec![numerator.expression, below]);
        let mut inputs = numerator.inputs;
        inputs.extend(denominator.inputs);
        Self::new(inputs, expression)
    }
}

impl Expression {
    /// Its value for values of the inputs.
    pub(super) fn value(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::Constant(value) => *value,
            #[expect(clippy::indexing_slicing, reason = "a model's indices name its inputs")]
            Self::Input(index) => inputs[*index],
            Self::Sum(parts) => parts.iter().map(|part| part.value(inputs)).sum(),
            Self::Product(parts) => parts.iter().map(|part| part.value(inputs)).product(),
            Self::Power(base, k) => power(base.value(inputs), *k),
        }
    }
}

/// For each input the first one that is the same variable, and the first one with its key; and whether
/// some are tied: one key, but another distribution or sign.
fn variables(inputs: &[Input]) -> (Vec<usize>, Vec<usize>, bool) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tied = false;
    let variable = inputs.iter().enumerate().map(|(index, input)| {
        let Some(key) = &input.shared else { return (index, index) };
        let leader = *first.entry(key).or_insert(index);
        let same = inputs.get(leader).is_some_and(|other| {
            other.distribution == input.distribution && other.sign == input.sign
        });
        // Points have nothing to share.
        tied |= !same && !input.distribution.is_point();
        (if same { leader } else { index }, leader)
    });
    let (variable, stream) = variable.unzip();
    (variable, stream, tied)
}
