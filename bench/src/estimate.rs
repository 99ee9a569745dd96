//! `monte-carlo` and `closed-form`: CPU time of an interval, in this process. No program is started.

use std::hint::black_box;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_estimate::uncertainty::{Estimate, Input, Method, Model, MonteCarlo, Used};

use crate::Options;
use crate::figure::Figure;
use crate::page::cpu_ns;
use crate::stats::Summary;
use crate::subject::Subject;

/// Most that 200,000 trials over six inputs may take, in ms.
const TRIALS_LIMIT_MS: f64 = 30.0;

/// Most that the closed form of three inputs that are not lognormal may take, in ms.
const CLOSED_LIMIT_MS: f64 = 1.0;

/// What carbon-ops 0.1.1 takes for its audit mode with its defaults (10,000 draws and as many
/// resamplings of them), in ms: 30.6 s, measured once on a virtual machine with two CPUs of an AMD EPYC.
const PREDECESSOR_MS: f64 = 30_600.0;

/// Runs that count, and for warm-up.
const RUNS: usize = 30;
const WARM_UP: usize = 3;

/// Evaluations of the closed form in a run.
const EVALUATIONS: u32 = 20;

/// Six inputs of a figure: energy, scope, PUE, intensity, attribution, gaps.
const SIX: [&str; 6] = [
    "tn(1.2, 0.02)",
    "ln(1, 5%)",
    "tn(1.55, 0.2, min=1)",
    "ln(400, 10%)",
    "ln(1, 20%)",
    "u(0.95, 1.05)",
];

pub(crate) fn monte_carlo(options: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let model = product(&SIX)?;
    let method = Method::MonteCarlo(MonteCarlo::seeded(1));
    let taken = sample(options.many(RUNS, 1), 1, || model.evaluate(&method))?;
    let ratio = PREDECESSOR_MS / Summary::of(taken.iter().copied()).median;
    let figures = vec![
        Figure {
            name: "CPU time of 200,000 trials [six inputs]".to_owned(),
            baseline: "runs on one thread".to_owned(),
            unit: "ms",
            summary: Summary::of(taken),
            limit: Some(TRIALS_LIMIT_MS),
        },
        Figure {
            name: "so many times faster than the audit mode of carbon-ops 0.1.1".to_owned(),
            baseline: "30.6 s of CPU time, 10,000 draws; measured elsewhere".to_owned(),
            unit: "times",
            summary: Summary::of([ratio]),
            limit: None,
        },
    ];
    ensure!(
        options.quick || ratio >= 1000.0,
        "only {ratio:.0} times faster than the predecessor: 1000 are promised"
    );
    Ok(("monte-carlo", figures))
}

pub(crate) fn closed_form(options: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let three = ["tn(1, 0.02)", "tn(1.2, 0.05, min=1)", "tn(400, 40)"];
    let kinks = ["u(0.8, 1.2)", "tn(1.2, 0.05, min=1)", "u(300, 500)"];
    let mixed = ["ln(1, 20%)", "tn(1, 0.02)", "tn(1.2, 0.05, min=1)", "tn(400, 40)"];
    let cases: [(&str, &[&str], Option<f64>); 5] = [
        (
            "one truncated normal and a lognormal",
            &["tn(1.55, 0.2, min=1)", "ln(400, 10%)"],
            Some(CLOSED_LIMIT_MS),
        ),
        ("three truncated normals", &three, Some(CLOSED_LIMIT_MS)),
        ("two uniforms and a truncated normal", &kinks, Some(CLOSED_LIMIT_MS)),
        ("three truncated normals and a lognormal", &mixed, Some(CLOSED_LIMIT_MS)),
        ("six inputs, three not lognormal", &SIX, Some(CLOSED_LIMIT_MS)),
    ];
    let mut figures = Vec::new();
    for (name, inputs, limit) in cases {
        let model = product(inputs)?;
        let estimate = model.evaluate(&Method::Analytical)?;
        ensure!(matches!(estimate.method, Used::Analytical { .. }), "{name}: was sampled");
        figures.push(Figure {
            name: format!("CPU time of the closed form [{name}]"),
            baseline: format!("batches of {EVALUATIONS}"),
            unit: "ms",
            summary: Summary::of(sample(options.many(RUNS, 1), EVALUATIONS, || {
                model.evaluate(&Method::Analytical)
            })?),
            limit,
        });
    }
    Ok(("closed-form", figures))
}

fn product(inputs: &[&str]) -> Result<Model> {
    let input = |text: &&str| Ok(Input::new(*text, text.parse().context("an input")?));
    Ok(Model::product(1.0, inputs.iter().map(input).collect::<Result<_>>()?)?)
}

/// CPU times of one evaluation, in ms.
fn sample<E>(
    runs: usize,
    evaluations: u32,
    evaluate: impl Fn() -> Result<Estimate, E>,
) -> Result<Vec<f64>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut taken = Vec::new();
    for run in 0..WARM_UP + runs {
        let start = cpu_ns()?;
        for _ in 0..evaluations {
            black_box(evaluate()?);
        }
        if run >= WARM_UP {
            taken.push((cpu_ns()? - start) / 1e6 / f64::from(evaluations));
        }
    }
    Ok(taken)
}
