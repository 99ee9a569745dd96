//! `carbon-ops config show`: each setting, its value and its origin.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::args::Config;
use crate::context::Context;
use crate::layout::Table;
use carbon_ops::gpus::NvmlLibrary;
use carbon_ops::settings::{Setting, Settings};
use carbon_ops::sources;

pub(crate) fn run(command: &Config, context: &mut Context<'_>) -> Result<u8> {
    let Config::Show(show) = command;
    let Context { settings, out, .. } = context;
    let rows = rows(settings);
    if show.json {
        let object: serde_json::Map<_, _> = rows
            .iter()
            .map(|(name, value, origin)| {
                ((*name).to_owned(), json!({ "value": value, "origin": origin }))
            })
            .collect();
        let file = settings.file.as_ref().map(|path| path.display().to_string());
        let report = json!({ "schema_version": 1, "file": file, "settings": object,
            "without_effect": settings.without_effect });
        writeln!(out, "{report:#}")?;
        return Ok(0);
    }
    let mut table = Table::new(&["", "", ""]);
    for (name, value, origin) in rows {
        let value = value.unwrap_or_else(|| "(not set)".to_owned());
        table.row([name.to_owned(), value, origin]);
    }
    table.write(out)?;
    match &settings.file {
        Some(path) => writeln!(out, "file read: {}", path.display())?,
        None => writeln!(out, "no configuration file was found")?,
    }
    for key in &settings.without_effect {
        writeln!(out, "{key}: known from carbon-ops 0.1, without effect in this version")?;
    }
    Ok(0)
}

type Row = (&'static str, Option<String>, String);

fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = vec![
        row("region", &settings.region, String::clone),
        row("pue", &settings.pue, ToString::to_string),
        row("power.cpu_tdp_watts", &settings.cpu_tdp, |watts| watts.as_watts().to_string()),
        row("power.idle_baseline_watts", &settings.idle, |watts| watts.as_watts().to_string()),
        row("power.nvml_library", &settings.nvml, |library| match library {
            NvmlLibrary::At(path) => path.display().to_string(),
            NvmlLibrary::Off => "off".to_owned(),
        }),
        row("ledger.path", &settings.ledger, |path| path.display().to_string()),
        row("ledger.key", &settings.key, |path| path.display().to_string()),
        row("ledger.key_passphrase_file", &settings.key_passphrase_file, |path| {
            path.display().to_string()
        }),
        row("ledger.trust", &settings.trust, String::clone),
        row("ledger.witnesses", &settings.witnesses, |witnesses| witnesses.join(" ")),
        row("ledger.policy", &settings.policy, |path| path.display().to_string()),
        row("ledger.segment_bytes", &settings.segment_bytes, ToString::to_string),
        row("governor.socket", &settings.governor_socket, |path| path.display().to_string()),
        row("governor.timeout_seconds", &settings.governor_timeout, |time| {
            time.as_secs_f64().to_string()
        }),
    ];
    rows.push(row("interpolation.bucket_minutes", &settings.bucket_minutes, ToString::to_string));
    rows.push(row("interpolation.missing_policy", &settings.missing_policy, ToString::to_string));
    rows.extend(providers(&settings.grid));
    let file = settings.file.as_ref().map(|path| format!("file {}", path.display()));
    if !settings.pue_overrides.is_empty() {
        let list = settings.pue_overrides.iter();
        let list: Vec<_> = list.map(|(zone, pue)| format!("{zone}={}", pue.as_ratio())).collect();
        rows.insert(2, ("pue.overrides", Some(list.join(" ")), file.unwrap_or_default()));
    }
    rows
}

/// Secrets are shown as dots.
fn providers(grid: &sources::Settings) -> Vec<Row> {
    let some = |name, setting: &Setting<Duration>| {
        let seconds = setting.value.as_secs_f64().to_string();
        (name, Some(seconds), setting.origin.to_string())
    };
    let order: Vec<String> = grid.order.value.iter().map(ToString::to_string).collect();
    let fallback = sources::fallback_name(grid.fallback.value).to_owned();
    let url = |name, setting: &Setting<String>| {
        (name, Some(setting.value.clone()), setting.origin.to_string())
    };
    let path = |path: &std::path::PathBuf| path.display().to_string();
    vec![
        ("providers.order", Some(order.join(" ")), grid.order.origin.to_string()),
        ("providers.fallback", Some(fallback), grid.fallback.origin.to_string()),
        some("providers.ttl_seconds", &grid.ttl),
        some("providers.timeout_seconds", &grid.timeout),
        row("providers.cache", &grid.cache, path),
        row("providers.file", &grid.file, path),
        url("providers.electricity_maps_url", &grid.electricity_maps_url),
        url("providers.watttime_url", &grid.watttime_url),
        url("providers.gb_url", &grid.gb_url),
        row("ELECTRICITYMAPS_TOKEN", &grid.electricity_maps_token, ToString::to_string),
        row("WATTTIME_USERNAME", &grid.watttime_user, ToString::to_string),
        row("WATTTIME_PASSWORD", &grid.watttime_password, ToString::to_string),
        row("HTTPS_PROXY", &grid.proxy, ToString::to_string),
        row("SSL_CERT_FILE", &grid.roots, path),
    ]
}

fn row<T>(name: &'static str, setting: &Setting<Option<T>>, show: impl Fn(&T) -> String) -> Row {
    (name, setting.value.as_ref().map(show), setting.origin.to_string())
}
