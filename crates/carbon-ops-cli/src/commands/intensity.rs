//! `carbon-ops intensity`: the slots of a zone, their sources and quality, as text, JSON and a picture.
//!
//! Out of scope: pricing, and uncertainties, which no provider gives.

use anyhow::{Context as _, Result, anyhow};
use carbon_ops::grid::line::Line;
use carbon_ops::grid::parse_kind_and_factor;
use carbon_ops::grid::zones;
use carbon_ops::grid::{Interval, Want};
use jiff::Timestamp;

use crate::args::{Intensity, Times};
use crate::context::Context;
use carbon_ops::env::Env;
use carbon_ops_words::intensity;

pub(crate) fn run(args: &Intensity, context: &mut Context<'_>) -> Result<u8> {
    let grid = context.grid(&args.sources)?;
    let region = context.settings.region.value.as_deref();
    let zone = args.sources.grid.region.as_deref().or(region).ok_or_else(|| {
        anyhow!(
            "no zone was named\nhint: --zone DE, a cloud region, coordinates, or a provider's own zone such as \
             electricity_maps:DK-DK1"
        )
    })?;
    let place = zones::Place::parse(zone)?;
    let found = grid.chain.slots(&place, interval(&args.times, Env::now())?, &want(args)?);
    for warning in grid.remote.iter().flat_map(|remote| remote.store.take_warnings()) {
        let _ = writeln!(context.err, "carbon-ops: warning: {warning}");
    }
    let found = found?;
    let line = Line::of(&found);
    let stats = args.stats.then_some(grid.remote.as_ref()).flatten();
    let mut text = intensity::text(&place, &found, &line, stats);
    if let Some(path) = &args.plot {
        let picture = intensity::picture::svg(&place, &found, &line)?;
        let file = path.display();
        std::fs::write(path, picture).with_context(|| format!("picture {file}"))?;
        text = format!("{text}picture: {file}");
    }
    context.answer(&args.output, intensity::json(&place, &found, &line, stats), &text)?;
    Ok(u8::from(line.slots.is_empty()))
}

fn want(args: &Intensity) -> Result<Want> {
    let Some(signal) = &args.signal else { return Ok(Want::AVERAGE) };
    let (kind, factor) = parse_kind_and_factor(&signal.replace('-', "_"))?;
    Ok(Want { kind, factor, ..Want::AVERAGE })
}

/// From `--from` to `--to`; without one of them the day before or after, and without both the last 24 hours
/// that have begun, which every plan of every provider has.
fn interval(times: &Times, now: Timestamp) -> Result<Interval> {
    let day = jiff::SignedDuration::from_hours(24);
    let (from, to) = match (times.from, times.to) {
        (Some(from), Some(to)) => (from, to),
        (Some(from), None) if from < now => (from, now),
        (Some(from), None) => (from, from.checked_add(day)?),
        (None, Some(to)) => (to.checked_sub(day)?, to),
        (None, None) => {
            let hour = now.as_second().div_euclid(3600) * 3600;
            (Timestamp::from_second(hour - 23 * 3600)?, now)
        }
    };
    Ok(Interval::new(from, to)?)
}

#[cfg(test)]
mod tests {
    use carbon_ops::estimate::intensity::instant;

    use super::*;

    fn times(from: Option<&str>, to: Option<&str>) -> Times {
        let [from, to] = [from, to].map(|text| text.map(|text| instant(text).unwrap()));
        Times { from, to }
    }

    #[test]
    fn times_that_are_left_out_give_the_day_before() {
        let now: Timestamp = "2026-03-01T12:10Z".parse().unwrap();
        for (from, to, expected) in [
            (None, None, "2026-02-28T13:00:00Z/2026-03-01T12:10:00Z"),
            (None, Some("2026-01-02"), "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"),
            (Some("2026-02-28"), None, "2026-02-28T00:00:00Z/2026-03-01T12:10:00Z"),
            (Some("2026-03-02"), None, "2026-03-02T00:00:00Z/2026-03-03T00:00:00Z"),
            (
                Some("2026-03-01T10:00+01:00"),
                Some("2026-03-01T10:00Z"),
                "2026-03-01T09:00:00Z/2026-03-01T10:00:00Z",
            ),
        ] {
            assert_eq!(interval(&times(from, to), now).unwrap().to_string(), expected);
        }
        assert!(interval(&times(Some("2026-03-02"), Some("2026-03-01")), now).is_err());
    }
}
