//! `ledger doctor` and `ledger repair`: what is the matter with a ledger, the command that leads on, and putting
//! aside what is in the way.
//!
//! Out of scope: finding out, which is [`carbon_ops::checkup`].

use anyhow::Result;
use carbon_ops::checkup;
use carbon_ops_words::checkup::{Way, shown, way};
use serde_json::{Value, json};

use crate::args::AtLedger;
use crate::context::Context;
use crate::layout::Page;
use crate::render::{counted, plain};

/// Exit code where something is to be done.
const TO_DO: u8 = 1;

pub(super) fn doctor(at: &AtLedger, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(at.path.as_deref())?;
    let checkup = checkup::look(&store)?;
    let mut page = Page::default();
    let ledger = checkup.ledger.display();
    if checkup.states.is_empty() {
        page.title(&format!("{ledger}: in order"));
    }
    let mut found = Vec::new();
    for state in &checkup.states {
        let Way { name, words, commands } = way(state, &checkup);
        page.title(&format!("{ledger}: {}", plain(&words)));
        for command in &commands {
            page.title(&format!("  {}", shown(command)));
        }
        found.push(json!({ "state": name, "grave": state.is_grave(), "words": words, "commands": commands }));
    }
    let report = json!({ "ledger": ledger.to_string(), "key": checkup.key.display().to_string(), "states": found });
    context.answer(&at.output, report, page.text())?;
    Ok(if checkup.states.is_empty() { 0 } else { TO_DO })
}

pub(super) fn repair(at: &AtLedger, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(at.path.as_deref())?;
    let done = checkup::repair(&store)?;
    let mut page = Page::default();
    for (name, to) in &done.aside {
        page.title(&format!("{name} was not what it has to be; it is now {}", to.display()));
    }
    if let Some((bytes, evidence)) = &done.cut {
        page.title(&format!(
            "{bytes} bytes of damaged lines were set aside to {evidence}, and an entry tells of it"
        ));
    }
    if done.returned > 0 {
        page.title(&format!("{} among them appended again", counted(done.returned, "record")));
    }
    if done.left > 0 {
        page.title(&format!(
            "{} among them not in order, and left there",
            counted(done.left, "record")
        ));
    }
    done.notices.iter().for_each(|notice| page.title(notice));
    if page.text().is_empty() {
        page.title("nothing was in the way");
    }
    let aside: Vec<Value> = done
        .aside
        .iter()
        .map(|(name, to)| json!({ "name": name, "to": to.display().to_string() }))
        .collect();
    let cut =
        done.cut.as_ref().map(|(bytes, evidence)| json!({ "bytes": bytes, "evidence": evidence }));
    let report = json!({ "ledger": store.ledger.display().to_string(), "aside": aside, "cut": cut,
        "returned": done.returned, "left": done.left, "notices": done.notices });
    context.answer(&at.output, report, page.text())
}
