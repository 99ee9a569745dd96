//! A command and what it prints, as the picture of a terminal.
//!
//! Light letters on a dark ground of its own, so that it reads the same on a light and on a dark page.
//! Out of scope: colours of the program, which prints none.

use std::fmt::Write as _;

/// Width of a letter of the usual monospace fonts at 14 px, rounded up.
const LETTER: usize = 9;
const LINE: usize = 20;
const MARGIN: usize = 16;

/// The picture as SVG.
pub(super) fn picture(title: &str, command: &str, printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    let prompt = format!("$ {command}");
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = 2 * MARGIN + LETTER * longest.max(prompt.chars().count());
    let height = 2 * MARGIN + LINE * (lines.len() + 1) - 4;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#16191d\"/>\n",
        escaped(title)
    );
    let all = [(prompt.as_str(), "#8fd18f")].into_iter();
    for (row, (line, colour)) in
        all.chain(lines.into_iter().map(|line| (line, "#d6dce2"))).enumerate()
    {
        let y = MARGIN + 14 + LINE * row;
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{colour}\" xml:space=\"preserve\">{}</text>",
            escaped(line)
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_every_line_has_its_row() {
        let svg = picture("a & b", "x > y", "one\n  two <3");
        assert!(svg.contains("<title>a &amp; b</title>") && svg.contains("$ x &gt; y"));
        assert!(svg.contains("y=\"70\"") && svg.contains("  two &lt;3</text>"), "{svg}");
        // Two margins and eight letters of nine pixels; three rows of twenty.
        assert!(svg.contains("viewBox=\"0 0 104 88\""), "{svg}");
    }
}
