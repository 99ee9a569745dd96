//! What the system and the libraries of others say of an error, in the product's own voice: no number of an error, no
//! place in a text that the reader did not write line by line, no picture of it, no name of a parser.
//!
//! Rule: what is left is one sentence on one line, with the line of a file where that has more than one.
//!
//! Out of scope: the errors of our own libraries, which are words of ours already, and hints ([`crate::hints`]).

use std::path::Path;

/// What others say, and what it means.
const WORDS: [(&str, &str); 7] = [
    ("EOF while parsing", "it ends in the midst of"),
    ("trailing characters", "something follows its end"),
    ("key must be a string", "a name without quotes"),
    ("stream did not contain valid UTF-8", "not UTF-8 text"),
    ("invalid type: ", "not of this type: "),
    ("entity not found", "not there"),
    ("failed to fill whole buffer", "it ends too early"),
];

/// One cause of an error as it is told.
pub fn plain(text: &str) -> String {
    let mut said = text.to_owned();
    for mend in [numbers, paths, utf8, toml, yaml, csv, places] {
        said = mend(&said);
    }
    for (theirs, ours) in WORDS {
        said = said.replace(theirs, ours);
    }
    said
}

/// The text without every part from `begin` to `end` whose middle is such.
fn without(text: &str, begin: &str, end: &str, such: impl Fn(&str) -> bool) -> String {
    let mut parts = text.split(begin);
    let mut said = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(end) {
            Some((middle, rest)) if such(middle) => said += rest,
            _ => said = said + begin + part,
        }
    }
    said
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of an error stands for the words before it.
fn numbers(text: &str) -> String {
    without(text, " (os error ", ")", is_number)
}

/// A temporary file is none of the reader's.
fn paths(text: &str) -> String {
    let is_temporary =
        |path: &str| path.contains("/.tmp") || Path::new(path).extension() == Some("tmp".as_ref());
    without(text, " at path \"", "\"", is_temporary)
}

/// `invalid utf-8 sequence of 1 bytes from index 0`
fn utf8(text: &str) -> String {
    match text.find("invalid utf-8 sequence of ") {
        Some(at) => format!("{}not UTF-8 text", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `TOML parse error at line 1, column 8`, a picture, and then what is wrong.
fn toml(text: &str) -> String {
    let Some((before, rest)) = text.split_once("TOML parse error at line ") else {
        return text.to_owned();
    };
    let line = rest.split(',').next().unwrap_or_default();
    let last = rest.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    format!("{before}line {line}: {last}")
}

/// `error: line 1 column 6: what is wrong`, and a picture.
fn yaml(text: &str) -> String {
    let Some((before, rest)) = text.split_once("error: line ") else { return text.to_owned() };
    let first = rest.lines().next().unwrap_or_default();
    match first.split_once(": ") {
        Some((place, what)) if place.contains(" column ") => {
            let line = place.split(' ').next().unwrap_or_default();
            format!("{before}line {line}: {what}")
        }
        _ => text.to_owned(),
    }
}

/// `CSV error: record 1 (line: 2, byte: 4): what is wrong`: who reads a table counts lines, and ours are named before.
fn csv(text: &str) -> String {
    let at = ["CSV error: record ", "CSV parse error: record "];
    let Some((before, rest)) = at.iter().find_map(|mark| text.split_once(mark)) else {
        return text.to_owned();
    };
    let what = rest.split_once("): ").map_or(rest, |(_, what)| what);
    let what = if what.starts_with("invalid utf-8") { "not UTF-8 text" } else { what };
    format!("{before}{what}")
}

/// ` at line 3 column 7`: the line, where there is more than one.
fn places(text: &str) -> String {
    let mut parts = text.split(" at line ");
    let mut said = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let line: String = part.chars().take_while(char::is_ascii_digit).collect();
        let rest = part.get(line.len()..).and_then(|rest| rest.strip_prefix(" column "));
        match rest {
            Some(rest) if !line.is_empty() => {
                if line != "1" {
                    said = said + " in line " + &line;
                }
                said += rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
            }
            _ => said = said + " at line " + part,
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn others_are_told_in_our_voice() {
        let toml = "c.toml: TOML parse error at line 12, column 8\n  |\n12 | [region\n  |        ^\n\
                    unclosed table, expected `]`\n";
        let yaml = "c.yml: error: line 3 column 6: unclosed bracket '['\n --> <input>:3:6\n  |\n3 | a: [\n";
        for (theirs, ours) in [
            ("a (os error 2): b (os error 13)", "a: b"),
            ("a (os error of b)", "a (os error of b)"),
            ("EOF while parsing an object at line 1 column 6", "it ends in the midst of an object"),
            ("expected value at line 7 column 1", "expected value in line 7"),
            ("unknown field `a` at line 1 column 4, in b", "unknown field `a`, in b"),
            ("the train leaves at line 3", "the train leaves at line 3"),
            (toml, "c.toml: line 12: unclosed table, expected `]`"),
            (yaml, "c.yml: line 3: unclosed bracket '['"),
            ("invalid utf-8 sequence of 1 bytes from index 0", "not UTF-8 text"),
            (
                "line 2: CSV error: record 1 (line: 2, byte: 4): found record with 1 fields",
                "line 2: found record with 1 fields",
            ),
            (
                "CSV parse error: record 0 (line 1, field: 0, byte: 0): invalid utf-8: in field 0",
                "not UTF-8 text",
            ),
            ("No such file or directory at path \"/x/.tmpAb\"", "No such file or directory"),
            ("not there at path \"/x/a.html.Ab.tmp\"", "not there"),
            ("not there at path \"/x/a.html\"", "not there at path \"/x/a.html\""),
        ] {
            assert_eq!(plain(theirs), ours);
        }
        assert_eq!(plain(&io::Error::from_raw_os_error(13).to_string()), "Permission denied");
    }
}
