//! `carbon-ops config show`: each setting, its value and its origin.
//!
//! Out of scope: what settings mean ([`carbon_ops::settings`]).

use anyhow::Result;
use carbon_ops_words::settings;
use serde_json::json;

use crate::args::Config;
use crate::context::Context;
use crate::layout::wrapped;
use crate::render::add;

pub(crate) fn run(command: &Config, context: &mut Context<'_>) -> Result<u8> {
    let Config::Show(output) = command;
    let found = &context.settings;
    let (mut text, mut members) = (String::new(), json!({}));
    for shown in &found.shown {
        let (name, origin) = (shown.name, shown.origin.to_string());
        let words = settings::words(name);
        let flag = words.map(|words| words.flag).filter(|flag| !flag.is_empty());
        let about = words.map(|words| words.about);
        let unset = words.map(|words| words.unset);
        let member = json!({ "value": shown.value, "origin": origin, "default": shown.default,
            "variables": shown.variables, "flag": flag, "about": about, "unset": unset });
        add(&mut members, [(name, member)]);
        let said = match &shown.value {
            Some(value) => format!("{value} [{origin}]"),
            None => format!("{} [not set]", unset.unwrap_or_default()),
        };
        text.push_str(&wrapped(&format!("{name:<30}"), &said));
    }
    let file = found.file.as_ref().map(|path| path.display().to_string());
    let read = file.as_ref().map(|path| format!("file read: {path}"));
    text += &wrapped("", &read.unwrap_or_else(|| "no configuration file was found".to_owned()));
    for name in &found.without_effect {
        let idle = format!("{name}: known from carbon-ops 0.1, without effect in this version");
        text += &wrapped("", &idle);
    }
    let report = json!({ "file": file, "settings": members,
        "unknown_variables": found.unknown_variables,
        "without_effect": found.without_effect });
    context.answer(output, report, &text)
}
