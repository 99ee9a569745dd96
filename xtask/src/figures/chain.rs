//! The picture of the chain: a frozen ledger's entries, how each names the one before, the tree over all of them, and
//! the checkpoint that a key signed.
//!
//! Every figure in it is a member of a stored line or a line of the stored checkpoint; nothing is computed here.
//! Colours follow the page that shows it, light or dark, and letters say what they mean.
//!
//! Out of scope: the formats, which `docs/formats` has byte by byte.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Width of a box, and from one to the next.
const BOX: usize = 122;
const STEP: usize = 138;
const LEFT: usize = 16;

/// Where the rows are: checkpoint, root, boxes.
const ROOT_Y: usize = 118;
const ENTRY_Y: usize = 300;

const STYLE: &str = "svg { color-scheme: light dark; } .paper { fill: #ffffff; } text { fill: #1b1f24; font: 13px \
    system-ui, sans-serif; } .code { font-family: ui-monospace, monospace; font-size: 12px; } .soft { fill: #57606a; } \
    rect.box { fill: #f3f6f9; stroke: #57606a; } .link { stroke: #2f6f9f; stroke-width: 2; fill: none; } .tree { stroke: \
    #57606a; fill: none; } .head { fill: #2f6f9f; } .title { font-size: 15px; font-weight: 600; } @media \
    (prefers-color-scheme: dark) { .paper { fill: #0d1117; } text { fill: #e6edf3; } .soft { fill: #9da7b1; } rect.box { \
    fill: #161b22; stroke: #9da7b1; } .link { stroke: #6cb6ff; } .tree { stroke: #9da7b1; } .head { fill: #6cb6ff; } }";

/// Of the lines of a ledger and its checkpoint.
pub(super) fn picture(lines: &str, checkpoint: &str) -> Result<String> {
    let entries: Vec<Value> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("a line")?;
    let mut note = checkpoint.lines();
    let size = note.nth(1).context("the checkpoint has no size")?;
    let root = note.next().context("the checkpoint has no root")?;
    ensure!(size.parse() == Ok(entries.len()), "the checkpoint is of {size} entries");
    let width = 2 * LEFT + STEP * entries.len() - (STEP - BOX);
    let height = ENTRY_Y + 150;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">How a ledger holds together</title>\n\
         <desc id=\"desc\">{} entries, each signed and naming the hash of the one before; a tree of hashes over all of \
         their lines; a checkpoint with the root of the tree, signed.</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n",
        entries.len()
    );
    let mut put = |x: usize, y: usize, class: &str, text: &str| {
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>");
    };
    put(LEFT, 28, "title", "A checkpoint: what its holder can prove a later change by");
    put(LEFT, 52, "code", &format!("{size} entries, root {root}"));
    put(
        LEFT,
        72,
        "soft",
        "signed by the ledger's key; witnesses add their signatures to the same text",
    );
    put(LEFT, ENTRY_Y - 14, "soft", "the hash of each stored line is a leaf of the tree");
    for (at, entry) in entries.iter().enumerate() {
        let x = LEFT + STEP * at + 8;
        let what = entry.get("type").or_else(|| entry.get("kind")).and_then(Value::as_str);
        put(x, ENTRY_Y + 22, "title", &format!("entry {at}"));
        put(x, ENTRY_Y + 42, "", what.unwrap_or("entry"));
        let before = entry.get("prev_hash").and_then(Value::as_str).map(short);
        put(x, ENTRY_Y + 66, "soft", if before.is_some() { "after" } else { "the first one" });
        put(x + 38, ENTRY_Y + 66, "code", &before.unwrap_or_default());
        put(x, ENTRY_Y + 88, "soft", "signed");
        let signature = entry.get("signature").and_then(Value::as_str).map(short);
        put(x + 46, ENTRY_Y + 88, "code", &signature.context("an entry is not signed")?);
    }
    put(
        LEFT,
        height - 14,
        "soft",
        "each entry names the hash of the one before: none can be changed, left out or moved",
    );
    boxes(&mut svg, entries.len());
    tree(&mut svg, entries.len());
    Ok(svg + "</svg>\n")
}

fn short(hex: &str) -> String {
    hex.chars().take(8).collect()
}

/// A box around each entry, below its letters, and an arrow to the one before.
fn boxes(svg: &mut String, count: usize) {
    let mut below = String::new();
    for at in 0..count {
        let x = LEFT + STEP * at;
        let _ = writeln!(
            below,
            "<rect class=\"box\" x=\"{x}\" y=\"{ENTRY_Y}\" width=\"{BOX}\" height=\"100\" rx=\"6\"/>"
        );
        if at > 0 {
            let y = ENTRY_Y + 62;
            let end = x - (STEP - BOX);
            let _ = writeln!(
                below,
                "<path class=\"link\" d=\"M{x} {y}H{}\"/><path class=\"head\" d=\"M{end} {y}l8 -5v10z\"/>",
                end + 8
            );
        }
    }
    let at = svg.find("<text").unwrap_or(svg.len());
    svg.insert_str(at, &below);
}

/// The tree over the leaves as RFC 6962 splits it: the largest power of two to the left.
fn tree(svg: &mut String, count: usize) {
    let mut lines = String::new();
    let top = node(0, count, &mut lines);
    let _ = writeln!(lines, "<path class=\"tree\" d=\"M{top} {ROOT_Y}V84\"/>");
    let _ = writeln!(lines, "<circle class=\"head\" cx=\"{top}\" cy=\"{ROOT_Y}\" r=\"6\"/>");
    svg.push_str(&lines);
}

/// Draws what is below a node; where it stands. The level of a node is that of the leaves below it.
fn node(first: usize, count: usize, lines: &mut String) -> usize {
    if count <= 1 {
        return LEFT + STEP * first + BOX / 2;
    }
    let left = count.next_power_of_two() / 2;
    let y = level(count);
    let halves = [(first, left), (first + left, count - left)];
    let [a, b] = halves.map(|(first, count)| node(first, count, lines));
    for ((_, count), x) in halves.into_iter().zip([a, b]) {
        let below = if count <= 1 { ENTRY_Y - 30 } else { level(count) };
        let _ = writeln!(lines, "<path class=\"tree\" d=\"M{x} {below}V{y}\"/>");
        if count > 1 {
            let _ = writeln!(lines, "<circle class=\"head\" cx=\"{x}\" cy=\"{below}\" r=\"4\"/>");
        }
    }
    let _ = writeln!(lines, "<path class=\"tree\" d=\"M{a} {y}H{b}\"/>");
    usize::midpoint(a, b)
}

fn level(count: usize) -> usize {
    match count {
        0..=2 => ROOT_Y + 100,
        3..=4 => ROOT_Y + 50,
        _ => ROOT_Y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_box_and_every_one_but_the_first_an_arrow() {
        let entry = |n| {
            format!(
                "{{\"kind\":\"k\",\"prev_hash\":\"00{n}00000000\",\"seq\":{n},\"signature\":\"ab\"}}\n"
            )
        };
        let lines: String = (0..5).map(entry).collect();
        let svg = picture(&lines, "name\n5\nROOT\n").unwrap();
        assert_eq!(
            (svg.matches("class=\"box\"").count(), svg.matches("class=\"link\"").count()),
            (5, 4)
        );
        assert!(svg.contains("5 entries, root ROOT") && svg.contains("00300000"), "{svg}");
        // Nodes below the root: two of two leaves, and one of four.
        assert_eq!(svg.matches("r=\"4\"").count(), 3, "{svg}");
        assert!(picture(&lines, "name\n4\nROOT\n").is_err());
    }
}
