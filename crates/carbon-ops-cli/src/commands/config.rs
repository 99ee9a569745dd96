//! `carbon-ops config show`: each setting, its value and its origin.
//!
//! Out of scope: what settings mean ([`carbon_ops::settings`]).

use anyhow::Result;
use serde_json::json;

use crate::args::Config;
use crate::context::{Context, add};
use crate::layout::Table;

pub(crate) fn run(command: &Config, context: &mut Context<'_>) -> Result<u8> {
    let Config::Show(output) = command;
    let settings = &context.settings;
    let (mut table, mut members) = (Table::new(&["", "", ""]), json!({}));
    for shown in &settings.shown {
        let (name, origin) = (shown.name, shown.origin.to_string());
        add(&mut members, [(name, json!({ "value": shown.value, "origin": origin }))]);
        let value = shown.value.clone().unwrap_or_else(|| "(not set)".to_owned());
        table.row([name.to_owned(), origin, value]);
    }
    let file = settings.file.as_ref().map(|path| path.display().to_string());
    let found = file.as_ref().map(|path| format!("file read: {path}"));
    let mut lines = vec![found.unwrap_or_else(|| "no configuration file was found".to_owned())];
    let idle = settings.without_effect.iter();
    lines.extend(
        idle.map(|name| {
            format!("{name}: known from carbon-ops 0.1, without effect in this version")
        }),
    );
    let text = table.text() + &lines.join("\n");
    let report = json!({ "file": file, "settings": members,
        "unknown_variables": settings.unknown_variables,
        "without_effect": settings.without_effect });
    context.answer(output, report, &text)
}
