//! `carbon-ops zones`: the places that the built-in tables know, and what a kilowatt hour of each emits.
//!
//! Out of scope: zones that only a provider knows; those are typed as `provider:id`.

use anyhow::{Result, bail};
use carbon_ops::env::Env;
use carbon_ops::estimate::uncertainty::LEVEL;
use carbon_ops::grid::{Interval, Place, Row, Want, zones};
use serde_json::json;
use std::io::Write as _;

use crate::args::Zones;
use crate::context::Context;
use crate::layout::Table;
use crate::render::plain;

/// Exit code 0; an error when nothing matches.
pub(crate) fn run(args: &Zones, context: &mut Context<'_>) -> Result<u8> {
    let wanted = args.text.as_deref().unwrap_or_default().to_lowercase();
    let mut table = Table::new(&["ZONE", ">G/KWH", ">95 %", "TABLE", "NAME"]);
    let (hour, start) = (jiff::SignedDuration::from_hours(1), Env::now());
    let now = Interval::new(start, start + hour)?;
    let mut found = false;
    for zone in zones::built_in() {
        let place = Place::parse(zone)?;
        let row = Row::finest(&place, &Want::AVERAGE)?;
        let cloud = place.cloud.as_ref().map(|(cloud, _)| cloud.as_str());
        let name = match cloud {
            Some(cloud) => format!("{cloud}, {}", row.name()),
            None => row.name().to_owned(),
        };
        let typed = cloud.map(|cloud| format!("{cloud}:{zone}"));
        let words = [zone, &name, typed.as_deref().unwrap_or(zone)];
        if !words.iter().any(|words| words.to_lowercase().contains(&wanted)) {
            continue;
        }
        // The mean that is priced with: a table's 0 g/kWh is a rounded one.
        let (of_one_hour, signal) = (row.whole(now), row.signal());
        let grams = of_one_hour.mean();
        let tail = (1.0 - LEVEL) / 2.0;
        let [low, high] = [tail, 1.0 - tail].map(|p| of_one_hour.quantile(p));
        if args.json {
            let line = json!({ "zone": zone, "name": row.name(), "cloud": cloud, "row": row.zone(),
                "g_per_kwh": grams, "ci_lower_g_per_kwh": low, "ci_upper_g_per_kwh": high, "signal": signal.to_string(), "source": row.provider(),
                "vintage": row.vintage() });
            writeln!(context.out, "{line}")?;
        } else {
            let of = format!("{} {} {}", signal.factor, row.provider(), row.vintage());
            let (value, range) = (format!("{grams:.0}"), format!("{low:.0}-{high:.0}"));
            table.row([zone.to_owned(), value, range, of, plain(&name)]);
        }
        found = true;
    }
    if !found {
        bail!("no built-in place matches {wanted:?}\nhint: `carbon-ops zones` prints all of them");
    }
    if !args.json {
        context.say(&table.fitted())?;
    }
    Ok(0)
}
