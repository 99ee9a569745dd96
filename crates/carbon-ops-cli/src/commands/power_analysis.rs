//! `carbon-ops power-analysis`: how many runs show a difference, or how well they tell a mean.
//!
//! Out of scope: measuring them; `carbon-ops compare` goes on until it knows.

use anyhow::Result;
use carbon_ops::estimate::uncertainty::LEVEL;
use carbon_ops::estimate::uncertainty::planning::{
    power_analysis_required_n, power_analysis_required_n_estimated, runs_for_half_width,
};
use serde_json::json;

use crate::args::PowerAnalysis;
use crate::context::Context;
use crate::render::add;
use crate::render::counted;

/// Exit code 0.
pub(crate) fn run(args: &PowerAnalysis, context: &mut Context<'_>) -> Result<u8> {
    let PowerAnalysis { sd, effect, half_width, alpha, power, known, .. } = *args;
    let percent = |part: f64| format!("{} %", 100.0 * part);
    let mut report = json!({ "sd": sd });
    let (runs, words) = if let Some(effect) = effect {
        let of_two =
            if known { power_analysis_required_n } else { power_analysis_required_n_estimated };
        let of = json!({ "alpha": alpha, "power": power, "sd_is_known": known, "value": effect });
        add(&mut report, [("effect", of)]);
        let words = format!(
            "of each of two variants find a difference of {effect} with {}, where single runs scatter by {sd} \
             (two-sided test, {} of false alarms)",
            percent(power),
            percent(alpha)
        );
        (of_two(sd, effect, alpha, power)?, words)
    } else {
        let (width, level) = (half_width.unwrap_or_default(), args.level.level.unwrap_or(LEVEL));
        let of = json!({ "confidence_level_pct": 100.0 * level, "value": width });
        add(&mut report, [("half_width", of)]);
        let level = percent(level);
        let words =
            format!("tell a mean to ± {width} ({level}), where single runs scatter by {sd}");
        (runs_for_half_width(sd, width, args.level.level.unwrap_or(LEVEL))?, words)
    };
    add(&mut report, [("runs", json!(runs))]);
    let mut page = crate::layout::Page::default();
    page.line("", &format!("{} {words}", counted(runs, "run")));
    context.answer(&args.output, report, page.text())
}
