//! `carbon-ops config show`: each setting, its value and its origin.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::args::Config;
use crate::context::{Context, add};
use crate::layout::Table;
use carbon_ops::gpus::NvmlLibrary;
use carbon_ops::settings::{Setting, Settings};
use carbon_ops::sources;
use carbon_ops::units::Watts;

pub(crate) fn run(command: &Config, context: &mut Context<'_>) -> Result<u8> {
    let Config::Show(output) = command;
    let settings = &context.settings;
    let (mut table, mut members) = (Table::new(&["", "", ""]), json!({}));
    for (name, value, origin) in rows(settings) {
        add(&mut members, [(name, json!({ "value": value, "origin": origin }))]);
        table.row([name.to_owned(), origin, value.unwrap_or_else(|| "(not set)".to_owned())]);
    }
    let file = settings.file.as_ref().map(|path| path.display().to_string());
    let found = file.as_ref().map(|path| format!("file read: {path}"));
    let mut lines = vec![found.unwrap_or_else(|| "no configuration file was found".to_owned())];
    lines.extend(
        settings
            .without_effect
            .iter()
            .map(|key| format!("{key}: known from carbon-ops 0.1, without effect in this version")),
    );
    let text = table.text() + &lines.join("\n");
    let report = json!({ "file": file, "settings": members,
        "unknown_variables": settings.unknown_variables,
        "without_effect": settings.without_effect });
    context.answer(output, report, &text)
}

type Row = (&'static str, Option<String>, String);

fn rows(settings: &Settings) -> Vec<Row> {
    let seconds = |time: &Duration| time.as_secs_f64().to_string();
    let watts = |watts: &Watts| watts.as_watts().to_string();
    let mut rows = vec![row("region", &settings.region, String::clone)];
    rows.push(row("pue", &settings.pue, ToString::to_string));
    if !settings.pue_overrides.is_empty() {
        let file = settings.file.as_ref().map(|path| format!("file {}", path.display()));
        let list = settings.pue_overrides.iter();
        let list: Vec<_> = list.map(|(zone, pue)| format!("{zone}={}", pue.as_ratio())).collect();
        rows.push(("pue.overrides", Some(list.join(" ")), file.unwrap_or_default()));
    }
    rows.extend([
        row("power.cpu_tdp_watts", &settings.cpu_tdp, watts),
        row("power.idle_baseline_watts", &settings.idle, watts),
        row("power.nvml_library", &settings.nvml, |library| match library {
            NvmlLibrary::At(path) => path.display().to_string(),
            NvmlLibrary::Off => "off".to_owned(),
        }),
        path("ledger.path", &settings.ledger),
        path("ledger.key", &settings.key),
        path("ledger.key_passphrase_file", &settings.key_passphrase_file),
        row("ledger.trust", &settings.trust, String::clone),
        row("ledger.witnesses", &settings.witnesses, |witnesses| witnesses.join(" ")),
        path("ledger.policy", &settings.policy),
        row("ledger.segment_bytes", &settings.segment_bytes, ToString::to_string),
        path("governor.socket", &settings.governor_socket),
        row("governor.timeout_seconds", &settings.governor_timeout, seconds),
        row("interpolation.bucket_minutes", &settings.bucket_minutes, ToString::to_string),
        row("interpolation.missing_policy", &settings.missing_policy, ToString::to_string),
    ]);
    rows.extend(providers(&settings.grid));
    rows
}

/// Secrets are shown as dots.
fn providers(grid: &sources::Settings) -> [Row; 14] {
    fn set<T>(name: &'static str, setting: &Setting<T>, show: impl Fn(&T) -> String) -> Row {
        (name, Some(show(&setting.value)), setting.origin.to_string())
    }
    let seconds = |time: &Duration| time.as_secs_f64().to_string();
    [
        set("providers.order", &grid.order, |order| {
            order.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }),
        set("providers.fallback", &grid.fallback, |fallback| {
            sources::fallback_name(*fallback).to_owned()
        }),
        set("providers.ttl_seconds", &grid.ttl, seconds),
        set("providers.timeout_seconds", &grid.timeout, seconds),
        path("providers.cache", &grid.cache),
        path("providers.file", &grid.file),
        set("providers.electricity_maps_url", &grid.electricity_maps_url, String::clone),
        set("providers.watttime_url", &grid.watttime_url, String::clone),
        set("providers.gb_url", &grid.gb_url, String::clone),
        row("ELECTRICITYMAPS_TOKEN", &grid.electricity_maps_token, ToString::to_string),
        row("WATTTIME_USERNAME", &grid.watttime_user, ToString::to_string),
        row("WATTTIME_PASSWORD", &grid.watttime_password, ToString::to_string),
        row("HTTPS_PROXY", &grid.proxy, ToString::to_string),
        path("SSL_CERT_FILE", &grid.roots),
    ]
}

fn row<T>(name: &'static str, setting: &Setting<Option<T>>, show: impl Fn(&T) -> String) -> Row {
    (name, setting.value.as_ref().map(show), setting.origin.to_string())
}

fn path(name: &'static str, setting: &Setting<Option<PathBuf>>) -> Row {
    row(name, setting, |path| path.display().to_string())
}
