//! The footprint of a product for its buyers, after the PACT data model 3.0: operation and hardware, for each declared
//! unit.
//!
//! Source: Technical Specifications for PCF Data Exchange, version 3.0 (WBCSD). Decimals are strings there, in kgCO2e.
//!
//! Out of scope: emissions of a product that are not of computing, which the share of what is exempted names.

use serde_json::{Value, json};

use super::{Fact, Form, FormError, Stated, bounds, decimal, is_text};

const UNITS: [&str; 10] = [
    "liter",
    "kilogram",
    "cubic meter",
    "kilowatt hour",
    "megajoule",
    "ton kilometer",
    "square meter",
    "piece",
    "hour",
    "megabit second",
];

const STANDARDS: [&str; 6] =
    ["ISO14067", "ISO14083", "ISO14040-44", "GHGP-Product", "PEF", "PACT-3.0"];

fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

fn is_urn(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) && text.len() > 4
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn is_report(text: &str) -> bool {
    text.strip_prefix("AR").is_some_and(|number| number.parse::<u8>().is_ok())
}

pub(super) const FACTS: [Fact; 12] = [
    Fact::needed("company", "the name of the company", is_text),
    Fact::list("company-id", "a URN of the company, such as urn:uuid:…", is_urn),
    Fact::needed("product", "the name of the product", is_text),
    Fact::list("product-id", "a URN of the product, such as urn:uuid:…", is_urn),
    Fact::needed("description", "what the product is", is_text),
    Fact::needed(
        "unit",
        "the declared unit: liter, kilogram, cubic meter, kilowatt hour, megajoule, ton kilometer, square meter, \
         piece, hour, or megabit second",
        |text| UNITS.contains(&text),
    ),
    Fact::needed("units", "how many declared units the records are of, above zero", |text| {
        number(text).is_some_and(|number| number > 0.0)
    }),
    Fact::optional("mass", "the mass of a declared unit in kg, 0 of a service", |text| {
        number(text).is_some()
    }),
    Fact::needed(
        "exempted-percent",
        "the share of the product's emissions that is left out, 0 to 100",
        |text| number(text).is_some_and(|number| number <= 100.0),
    ),
    Fact::list(
        "gwp",
        "the IPCC report whose warming potentials the factors use, such as AR6",
        is_report,
    ),
    Fact::list(
        "standard",
        "a standard that was followed: ISO14067, ISO14083, ISO14040-44, GHGP-Product, PEF, or PACT-3.0",
        |text| STANDARDS.contains(&text),
    ),
    Fact::optional("country", "the country as ISO 3166-1 has it, such as DE", is_country),
];

pub(super) fn form(stated: &Stated<'_>) -> Result<Value, FormError> {
    let (all, about) = (stated.all(Form::Pact)?, stated.about);
    let units = about.get("units").and_then(number).unwrap_or(1.0);
    // What is of operation alone has no sum with hardware.
    let (grams, low, high, level, what) = match &all.whole {
        Some(whole) => (
            whole.total_grams,
            whole.ci_lower_g,
            whole.ci_upper_g,
            whole.confidence_level_pct,
            "electricity of computing with its part of the site, and hardware",
        ),
        None => (
            all.total_grams,
            all.ci_lower_g,
            all.ci_upper_g,
            all.confidence_level_pct,
            "electricity of computing with its part of the site; hardware is not in it",
        ),
    };
    let kg = |grams: f64| grams / 1e3 / units;
    let footprint = decimal(kg(grams));
    let bounds = bounds(level, kg(low), kg(high), "kgCO2e");
    let (from, to) = stated.span();
    let counts = stated.sums.counts.join(", ");
    let proofs: Vec<_> = stated.proofs.iter().map(ToString::to_string).collect();
    let mut pcf = json!({
        "declaredUnitOfMeasurement": about.get("unit"),
        "declaredUnitAmount": "1",
        "productMassPerDeclaredUnit": about.get("mass").unwrap_or("0"),
        "referencePeriodStart": from,
        "referencePeriodEnd": to,
        "pcfExcludingBiogenicUptake": footprint,
        "pcfIncludingBiogenicUptake": footprint,
        "fossilGhgEmissions": footprint,
        "fossilCarbonContent": "0",
        "ipccCharacterizationFactors": about.list("gwp"),
        "crossSectoralStandards": about.list("standard"),
        "exemptedEmissionsPercent": about.get("exempted-percent"),
        "boundaryProcessesDescription": what,
        "uncertaintyAssessmentDescription": format!("{counts}, location-based: {bounds}"),
    });
    if let (Some(country), Some(pcf)) = (about.get("country"), pcf.as_object_mut()) {
        pcf.insert("geographyCountry".to_owned(), country.into());
    }
    Ok(json!({
        "id": stated.id("pact"),
        "specVersion": "3.0.0",
        "created": stated.made(),
        "status": "Active",
        "companyName": about.get("company"),
        "companyIds": about.list("company-id"),
        "productDescription": about.get("description"),
        "productIds": about.list("product-id"),
        "productNameCompany": about.get("product"),
        "comment": format!("records: {}. {}", all.count, proofs.join("; ")),
        "pcf": pcf,
    }))
}
