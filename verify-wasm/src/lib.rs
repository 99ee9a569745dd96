//! The judge of a report as WebAssembly, for a page without any other library: bytes in, JSON out.
//!
//! A caller asks `alloc` for room, writes the input there, and calls `judge`, which takes it. The input is the
//! question and then each pack, before each its length in four bytes, little-endian. What comes back is the place
//! of the answer: its length in four bytes, then JSON in UTF-8, until the next call. `verdict` holds what was
//! judged last against what the reader has by another way.
//!
//! The only import is `page.tell`, which is told how many bytes were read.
//!
//! Out of scope: what is judged and how (`carbon-ops-report`).
#![cfg(target_family = "wasm")]
#![expect(
    unsafe_code,
    reason = "a page calls by names, and passes bytes by their place; all of that is here"
)]

use std::cell::RefCell;

use carbon_ops_report::{Finding, Question, body, judge as judge_packs};
use serde_json::{Value, json};

#[link(wasm_import_module = "page")]
unsafe extern "C" {
    /// How many bytes of the packs were read.
    safe fn tell(bytes: f64);
}

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static FOUND: RefCell<Option<Finding>> = const { RefCell::new(None) };
}

/// Room for an input of so many bytes; it is the caller's to write until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn alloc(len: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        *input = vec![0; len];
        input.as_mut_ptr()
    })
}

/// Judges the packs of the input.
#[unsafe(no_mangle)]
pub extern "C" fn judge() -> *const u8 {
    let input = INPUT.take();
    let answer = match parts(&input).as_deref() {
        Some([question, packs @ ..]) => judged(question, packs),
        _ => json!({ "fault": "not an input of the judge" }),
    };
    answered(&answer)
}

/// Holds what was judged last against the input: keys, fingerprints or a checkpoint.
#[unsafe(no_mangle)]
pub extern "C" fn verdict() -> *const u8 {
    let known = String::from_utf8_lossy(&INPUT.take()).into_owned();
    answered(&FOUND.with_borrow(|found| match found {
        Some(found) => told(found, &known),
        None => json!({ "colour": "red", "words": "nothing was judged" }),
    }))
}

fn judged(question: &[u8], packs: &[&[u8]]) -> Value {
    FOUND.set(None);
    let question = std::str::from_utf8(question).ok().and_then(|text| Question::parse(text).ok());
    let Some(question) = question else { return json!({ "fault": "not a question of a report" }) };
    #[expect(clippy::cast_precision_loss, reason = "no page has 2^53 bytes")]
    let found = judge_packs(packs, &question, &|bytes| tell(bytes as f64));
    let mut answer = told(&found, "");
    let keys = found.packs.iter().map(|report| report.genesis_key.clone().into());
    if let Some(members) = answer.as_object_mut() {
        members.insert("body".to_owned(), body(&found, &question).into());
        members.insert("keys".to_owned(), keys.collect::<Vec<Value>>().into());
    }
    FOUND.set(Some(found));
    answer
}

fn told(found: &Finding, known: &str) -> Value {
    let verdict = found.verdict(known);
    json!({ "colour": verdict.colour.as_str(), "words": verdict.words })
}

fn answered(answer: &Value) -> *const u8 {
    let text = answer.to_string();
    let len = u32::try_from(text.len()).unwrap_or(0);
    ANSWER.with_borrow_mut(|answer| {
        *answer = [&len.to_le_bytes(), text.as_bytes()].concat();
        answer.as_ptr()
    })
}

/// The parts of an input, each after its length.
fn parts(mut input: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !input.is_empty() {
        let (len, rest) = input.split_first_chunk()?;
        let (part, rest) =
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        parts.push(part);
        input = rest;
    }
    Some(parts)
}
