//! The energy of a model in a bill of materials: `CycloneDX` 1.6 and SPDX 3.0.1.
//!
//! The activities, such as training, are the groups of the sums where these are by a label, or one that is named. The
//! energy is that with the site's part. `CycloneDX` has a place for emissions in tCO2e: those by location; by the market,
//! and all bounds, they are among its properties. SPDX 3.0 has none, and they stand in a comment.
//!
//! Sources: `CycloneDX` specification 1.6 (ECMA-424), `energyConsumption`; SPDX 3.0.1, AI profile, `EnergyConsumption`.
//!
//! Out of scope: what else a bill says of a model; whoever has one merges what is written here into it.

use carbon_ops_record::totals::Totals;
use serde_json::{Map, Value, json};

use super::{Fact, Form, FormError, Stated, bounds, decimal, is_text};

/// Activities of `CycloneDX`.
const ACTIVITIES: [&str; 9] = [
    "design",
    "data-collection",
    "data-preparation",
    "training",
    "fine-tuning",
    "validation",
    "deployment",
    "inference",
    "other",
];

/// Activities of SPDX, and the members that hold them.
const SLOTS: [(&str, &str); 3] = [
    ("training", "ai_trainingEnergyConsumption"),
    ("fine-tuning", "ai_finetuningEnergyConsumption"),
    ("inference", "ai_inferenceEnergyConsumption"),
];

const SOURCES: [&str; 11] = [
    "coal",
    "oil",
    "natural-gas",
    "nuclear",
    "wind",
    "solar",
    "geothermal",
    "hydropower",
    "biofuel",
    "unknown",
    "other",
];

const NAME: Fact = Fact::needed("name", "the name of the model", is_text);
const VERSION: Fact = Fact::optional("version", "the version of the model", is_text);
const ACTIVITY: Fact =
    Fact::optional("activity", "what the records are of, such as training", is_text);

pub(super) const CYCLONEDX_FACTS: [Fact; 5] = [
    NAME,
    VERSION,
    ACTIVITY,
    Fact::optional("provider", "the name of who provides the energy", is_text),
    Fact::optional(
        "energy-source",
        "where the energy is from: coal, oil, natural-gas, nuclear, wind, solar, geothermal, hydropower, biofuel, \
         unknown, or other",
        |text| SOURCES.contains(&text),
    ),
];

pub(super) const SPDX_FACTS: [Fact; 3] = [NAME, VERSION, ACTIVITY];

/// The sums by activity: of groups by a label, or of all as one that is named.
fn activities<'s>(
    stated: &Stated<'s>,
    form: Form,
    known: &[&str],
) -> Result<Vec<(&'s str, &'s Totals)>, FormError> {
    let (all, about) = (stated.all(form)?, stated.about);
    let groups = stated.sums.groups.iter().filter(|(_, of)| of.count > 0);
    let groups: Vec<_> = match about.get("activity") {
        Some(activity) => vec![(activity, all)],
        None => groups.map(|(name, of)| (name.as_str(), of)).collect(),
    };
    if let [("all", _)] = groups[..] {
        return Err(FormError::Missing { form, name: ACTIVITY.name, what: ACTIVITY.what });
    }
    match groups.iter().find(|(name, _)| !known.contains(name)) {
        None => Ok(groups),
        Some((name, _)) => Err(FormError::Activity {
            form,
            name: name.chars().take(60).collect(),
            known: known.join(", "),
        }),
    }
}

fn property(name: &str, value: impl Into<Value>) -> Value {
    json!({ "name": format!("carbon-ops:{name}"), "value": value.into() })
}

pub(super) fn cyclonedx(stated: &Stated<'_>) -> Result<Value, FormError> {
    let about = stated.about;
    let (from, to) = stated.span();
    let consumption = |(activity, of): (&str, &Totals)| {
        let kwh = json!({ "value": of.total_energy_with_pue_kwh, "unit": "kWh" });
        let level = of.confidence_level_pct;
        let mut properties = vec![
            property("records", of.count.to_string()),
            property("quality", of.quality_flag),
            property("coverage_pct", decimal(of.coverage_pct)),
            property("it_energy_kwh", decimal(of.total_energy_kwh)),
            property("counts", stated.sums.counts.join(", ")),
            property("location_based_gCO2e", bounds(level, of.ci_lower_g, of.ci_upper_g, "gCO2e")),
        ];
        if let Some(of) = &of.embodied {
            let level = of.confidence_level_pct;
            let bounds = bounds(level, of.ci_lower_g, of.ci_upper_g, "gCO2e");
            properties
                .push(property("embodied_gCO2e", format!("{}, {bounds}", decimal(of.total_grams))));
        }
        if let Some(of) = of.market.as_ref().and_then(|market| market.figure.as_ref()) {
            let level = of.confidence_level_pct;
            let bounds = bounds(level, of.ci_lower_g, of.ci_upper_g, "gCO2e");
            let value = format!("{}, {bounds}", decimal(of.total_grams));
            properties.push(property("market_based_gCO2e", value));
        }
        let organization = match about.get("provider") {
            Some(name) => json!({ "name": name }),
            None => json!({}),
        };
        json!({
            "activity": activity,
            "energyProviders": [{ "organization": organization,
                "energySource": about.get("energy-source").unwrap_or("unknown"), "energyProvided": kwh }],
            "activityEnergyCost": kwh,
            "co2CostEquivalent": { "value": of.total_grams / 1e6, "unit": "tCO2eq" },
            "properties": properties,
        })
    };
    let consumptions = activities(stated, Form::CycloneDx, &ACTIVITIES)?;
    let consumptions: Vec<_> = consumptions.into_iter().map(consumption).collect();
    let mut model = Map::new();
    model.insert("type".to_owned(), "machine-learning-model".into());
    model.insert("bom-ref".to_owned(), "model".into());
    model.insert("name".to_owned(), about.get("name").into());
    if let Some(version) = about.get("version") {
        model.insert("version".to_owned(), version.into());
    }
    let proofs = stated.proofs.iter().map(|of| property("proof", of.to_string()));
    let spans = [property("from", from), property("to", to)].into_iter().chain(proofs);
    let environment = json!({ "energyConsumptions": consumptions,
        "properties": spans.collect::<Vec<_>>() });
    let card = json!({ "considerations": { "environmentalConsiderations": environment } });
    model.insert("modelCard".to_owned(), card);
    let tool = json!({ "type": "application", "name": "carbon-ops",
        "version": env!("CARGO_PKG_VERSION") });
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": format!("urn:uuid:{}", stated.id("cyclonedx")),
        "metadata": { "timestamp": stated.made(), "tools": { "components": [tool] } },
        "components": [model],
    }))
}

pub(super) fn spdx(stated: &Stated<'_>) -> Result<Value, FormError> {
    let known: Vec<_> = SLOTS.iter().map(|(activity, _)| *activity).collect();
    let (mut energies, mut said) = (Map::new(), Vec::new());
    energies.insert("type".to_owned(), "ai_EnergyConsumption".into());
    for (activity, of) in activities(stated, Form::Spdx, &known)? {
        let Some((_, slot)) = SLOTS.iter().find(|(name, _)| *name == activity) else { continue };
        let energy = json!({ "type": "ai_EnergyConsumptionDescription",
            "ai_energyQuantity": decimal(of.total_energy_with_pue_kwh), "ai_energyUnit": "kilowattHour" });
        energies.insert((*slot).to_owned(), json!([energy]));
        let bounds = bounds(of.confidence_level_pct, of.ci_lower_g, of.ci_upper_g, "gCO2e");
        let grams = decimal(of.total_grams);
        said.push(format!(
            "{activity}: {grams} gCO2e location-based, {bounds}, {} records",
            of.count
        ));
    }
    said.extend(stated.proofs.iter().map(ToString::to_string));
    let (about, (from, to)) = (stated.about, stated.span());
    said.push(format!("from {from} to {to}"));
    let id = |what: &str| format!("urn:uuid:{}", stated.id(what));
    let (agent, model) = (id("spdx agent"), id("spdx model"));
    let of = |kind: &str, id: String, more: Value| {
        let mut element = json!({ "type": kind, "spdxId": id, "creationInfo": "_:made" });
        if let (Some(element), Value::Object(more)) = (element.as_object_mut(), more) {
            element.extend(more);
        }
        element
    };
    let mut package = json!({ "name": about.get("name"), "comment": said.join("; "),
        "ai_energyConsumption": energies });
    if let (Some(version), Some(package)) = (about.get("version"), package.as_object_mut()) {
        package.insert("software_packageVersion".to_owned(), version.into());
    }
    let tool = format!("carbon-ops {}", env!("CARGO_PKG_VERSION"));
    Ok(json!({
        "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
        "@graph": [
            { "type": "CreationInfo", "@id": "_:made", "specVersion": "3.0.1",
                "created": stated.made(), "createdBy": [agent] },
            of("SoftwareAgent", agent.clone(), json!({ "name": tool })),
            of("SpdxDocument", id("spdx document"),
                json!({ "rootElement": [model], "profileConformance": ["core", "software", "ai"] })),
            of("ai_AIPackage", model.clone(), package),
        ],
    }))
}
