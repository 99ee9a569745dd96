//! HTML as text: what is escaped, and tables.
//!
//! Out of scope: what is shown.

use std::fmt::Write as _;

/// Text between tags, or in an attribute in double quotes. Control characters, which a page cannot hold, and those
/// that turn the order of letters around become one sign.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                escaped.push('\u{fffd}');
            }
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A table: a caption, headings, rows. What stands in a cell is text, not HTML.
pub(crate) fn table(
    caption: &str,
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut html =
        format!("<div class=\"wide\"><table><caption>{}</caption><thead><tr>", escaped(caption));
    for heading in headings {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escaped(heading));
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for (at, cell) in row.iter().enumerate() {
            let cell = escaped(cell);
            let _ = if at == 0 {
                write!(html, "<th scope=\"row\">{cell}</th>")
            } else {
                write!(html, "<td>{cell}</td>")
            };
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// What is shown when somebody asks for it.
pub(crate) fn drawer(summary: &str, html: &str) -> String {
    format!("<details><summary>{}</summary>{html}</details>", escaped(summary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_tag_or_ends_an_attribute() {
        let text = "</script><img src=x onerror='a'>\u{202e}\u{0}\"&";
        let html = escaped(text);
        assert!(!html.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}']), "{html}");
        assert_eq!(escaped("a & b"), "a &amp; b");
    }
}
