//! Data packs that are no part of the program: share-alike data, as a file of the user's own.
//!
//! Electricity Maps' yearly averages of zones are under the Open Database License (version 1.0), which whoever
//! passes them on must pass on too. The binary does not carry them; this makes a file for
//! `CARBON_OPS_CARBON_INTENSITY_FILE` of the package `@tgwf/co2` on npm. It fetches nothing; `npm pack
//! @tgwf/co2` does.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use crate::tidy::sha256_hex;

/// `file` is `package/dist/cjs/data/electricity-maps/yearly_YEAR.js` of the unpacked package.
pub(crate) fn run(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let year = name.strip_prefix("yearly_").and_then(|year| year.parse::<u16>().ok());
    let year = year.with_context(|| format!("{name}: not yearly_YEAR.js"))?;
    print!("{}", pack(&text, year)?);
    Ok(())
}

/// Zones and their values in g/kWh.
pub(crate) fn zones(text: &str) -> Result<Vec<(String, f64)>> {
    let (_, rest) = text.split_once("const data = ").context("no `const data = `")?;
    // The two-digit escapes of JavaScript are none of JSON's.
    let rest = rest.replace("\\x", "\\u00");
    let mut values = serde_json::Deserializer::from_str(&rest).into_iter::<Map<String, Value>>();
    let zones = values.next().context("no object after `const data = `")??;
    let of = |(zone, entry): (String, Value)| {
        let of_zone = |path: &str| entry.pointer(path);
        let unit = of_zone("/carbonIntensity/unit").and_then(Value::as_str);
        ensure!(unit == Some("gCO2eq/kWh"), "{zone}: in {unit:?}");
        let value = of_zone("/carbonIntensity/value").and_then(Value::as_f64);
        let value = value.with_context(|| format!("{zone}: no value"))?;
        ensure!((0.0..2000.0).contains(&value), "{zone}: {value} g/kWh");
        Ok((zone, value))
    };
    zones.into_iter().map(of).collect()
}

fn pack(text: &str, year: u16) -> Result<String> {
    let zones = zones(text)?;
    let mut pack = format!(
        "# Yearly average carbon intensity of electricity zones, consumption-based, over the life cycle.
# signal: average_lifecycle
# accounting: consumption
# gases: co2e
# vintage: {year}
# source: Electricity Maps, yearly averages {year}, as carried by @tgwf/co2 on npm
# licence: ODbL-1.0; whoever passes this file on must do so under the same licence and name Electricity Maps
# origin: SHA-256 {}
# rebuilt by: npm pack @tgwf/co2, tar xzf it, cargo xtask pack --yearly package/dist/cjs/data/electricity-maps/yearly_{year}.js
zone,start,end,g_per_kwh
",
        sha256_hex(text.as_bytes())
    );
    for (zone, value) in &zones {
        ensure!(!zone.contains([',', '"', '#']), "{zone}: a name that needs quotes");
        let _ = writeln!(pack, "{zone},,,{value}");
    }
    Ok(pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JS: &str = "var x;\nconst data = { \"SE\": { \"zone\": \"\\xC5re\", \"carbonIntensity\": { \"value\": 20, \"unit\": \
                      \"gCO2eq/kWh\" } } };\nconst methodology = \"x\";\n";

    #[test]
    fn a_pack_says_what_it_counts_and_whose_it_is() {
        let text = pack(JS, 2025).unwrap();
        assert!(text.ends_with("zone,start,end,g_per_kwh\nSE,,,20\n"), "{text}");
        assert!(text.contains("# licence: ODbL-1.0") && text.contains("# vintage: 2025\n"));
    }

    #[test]
    fn another_unit_and_implausible_values_are_refused() {
        assert!(pack(&JS.replace("gCO2eq/kWh", "kg/kWh"), 2025).is_err());
        assert!(pack(&JS.replace("20", "20000"), 2025).is_err());
        assert!(pack("var data = 1", 2025).is_err());
    }
}
