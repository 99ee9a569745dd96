//! The yearly average emission rate of each state of the United States, from EPA eGRID as the wheel
//! carries it.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::{CODECARBON, REBUILT_BY};

/// `us-states.csv`.
pub(crate) fn table(json: &str) -> Result<String> {
    let source: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)?;
    let said = |path: &str| source.get("_source").and_then(|of| of.pointer(path));
    let year = said("/year").and_then(serde_json::Value::as_u64).context("no year")?;
    ensure!(
        said("/field").and_then(|field| field.as_str()) == Some("STC2ERTA"),
        "not the total output emission rate of CO2 equivalents"
    );
    let unit = source.get("_unit").and_then(|unit| unit.pointer("/emissions"));
    ensure!(unit.and_then(|unit| unit.as_str()) == Some("lbs/MWh"), "not in lb/MWh");
    let mut rows = Vec::new();
    for (name, entry) in source.iter().filter(|(name, _)| !name.starts_with('_')) {
        let code = entry.get("regionCode").and_then(|code| code.as_str());
        let code = code.with_context(|| format!("{name}: no code"))?;
        let rate = entry.get("emissions").and_then(serde_json::Value::as_f64);
        let rate = rate.with_context(|| format!("{name}: no rate"))?;
        ensure!(rate >= 0.0, "{name}: a negative rate");
        if code != "usa" {
            rows.push(format!("US-{code},{},{rate}", title(name)));
        }
    }
    rows.sort();
    let mut text = format!(
        "# Yearly average emission rate of the electricity generated in a state of the United States, in pounds of CO2
# equivalent per MWh, at the chimney (direct), all generation. Production-based: imports and exports are not traded
# through. Sorted by code.
# source: US EPA, eGRID{year}, field STC2ERTA (annual CO2 equivalent total output emission rate), as carried by codecarbon
#   3.3.2 on PyPI, codecarbon/data/private_infra/2023/usa_emissions.json.
# licence: a work of the United States government, public domain; the package MIT.
# attribution: US EPA, eGRID{year}.
# wheel: {CODECARBON}
# rebuilt by: {REBUILT_BY}
# vintage: {year}.
code,name,lb_co2e_per_mwh
"
    );
    for row in rows {
        let _ = writeln!(text, "{row}");
    }
    Ok(text)
}

/// `district of columbia` → `District of Columbia`.
fn title(name: &str) -> String {
    let words = name.split(' ').map(|word| {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if word != "of" => first.to_uppercase().chain(letters).collect(),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"_unit":{"emissions":"lbs/MWh"},"_source":{"field":"STC2ERTA","year":2023},
        "district of columbia":{"emissions":1.5,"regionCode":"DC"},
        "alabama":{"emissions":713.976,"regionCode":"AL"},"usa":{"emissions":9,"regionCode":"usa"}}"#;

    #[test]
    fn states_come_in_order_and_the_whole_is_left_out() {
        let text = table(JSON).unwrap();
        let rows = "US-AL,Alabama,713.976\nUS-DC,District of Columbia,1.5\n";
        assert!(text.ends_with(rows), "{text}");
    }

    #[test]
    fn another_field_or_unit_is_refused() {
        assert!(table(&JSON.replace("STC2ERTA", "STCO2RTA")).is_err());
        assert!(table(&JSON.replace("lbs/MWh", "kg/MWh")).is_err());
    }
}
