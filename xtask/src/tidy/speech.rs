//! A library states facts: none of its messages names a flag of a command, a variable of the environment,
//! an exit code, or gives a hint. What a user can do about it is said by the front, in one table.
//!
//! Out of scope: comments, and tests, which may show what a front makes of a message.

use super::{File, texts};

/// Where the words of fronts belong: the command, the governor's command line, and what only tests use.
/// The library's two tables of names of variables are theirs, too.
const FRONTS: [&str; 9] = [
    "crates/carbon-ops-cli/",
    "crates/carbon-ops-verify/",
    "crates/carbon-ops-words/",
    "crates/carbon-ops/src/identity.rs",
    "crates/carbon-ops/src/settings.rs",
    "crates/carbon-ops/src/sources.rs",
    "crates/carbon-ops-governor/src/main.rs",
    "crates/carbon-ops-governor/src/settings.rs",
    "crates/carbon-ops-testkit/",
];

/// The prefixes of our variables.
const VARIABLES: [&str; 2] = ["CARBON_OPS_", "DCL_"];

pub(super) fn complaints(files: &[File]) -> Vec<String> {
    let libraries = texts(files, ".rs").filter(|(path, _)| is_library(path));
    libraries.flat_map(|(path, text)| faults(path, text)).collect()
}

fn is_library(path: &str) -> bool {
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    path.starts_with("crates/")
        && path.contains("/src/")
        && !is_test
        && !FRONTS.iter().any(|front| path.starts_with(front))
}

fn faults(path: &str, text: &str) -> Vec<String> {
    // By convention, tests stand last.
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let fault = |(line, literal): (usize, String)| {
        let what = fault(&literal)?;
        Some(format!("{path}:{line}: a message {what}, and only a front may"))
    };
    literals(code).into_iter().filter_map(fault).collect()
}

/// What a string says that only a front may say.
fn fault(literal: &str) -> Option<String> {
    if literal.contains("\nhint:") {
        return Some("gives a hint".to_owned());
    }
    if literal.contains("exit code") {
        return Some("speaks of an exit code".to_owned());
    }
    let words = || literal.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
    let is_flag = |word: &&str| {
        word.strip_prefix("--").is_some_and(|rest| rest.starts_with(|c: char| c.is_lowercase()))
    };
    if let Some(flag) = words().find(is_flag) {
        return Some(format!("names the flag {flag}"));
    }
    let is_variable = |word: &&str| VARIABLES.iter().any(|prefix| word.starts_with(prefix));
    words().find(is_variable).map(|variable| format!("names the variable {variable}"))
}

/// The string literals of Rust code with the lines on which they begin; comments and characters are
/// passed over, `\n` is a line end, and a line that goes on is joined.
fn literals(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = code;
    let line_at = |rest: &str| {
        let before = code.len().saturating_sub(rest.len());
        1 + code.bytes().take(before).filter(|byte| *byte == b'\n').count()
    };
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            '/' if after.starts_with('/') => after.split_once('\n').map_or("", |(_, next)| next),
            '/' if after.starts_with('*') => after.split_once("*/").map_or("", |(_, next)| next),
            '\'' => behind_character(after),
            '"' => {
                let (literal, next) = quoted(after);
                found.push((line_at(rest), literal));
                next
            }
            'r' if after.trim_start_matches('#').starts_with('"') => {
                let fence = after.len() - after.trim_start_matches('#').len();
                let end = format!("\"{}", "#".repeat(fence));
                let text = after.get(fence + 1..).unwrap_or_default();
                let (literal, next) = text.split_once(end.as_str()).unwrap_or((text, ""));
                found.push((line_at(rest), literal.to_owned()));
                next
            }
            c if c.is_alphanumeric() || c == '_' => {
                // The `r` that ends a name begins no raw string.
                let name = |c: char| c.is_alphanumeric() || c == '_';
                if matches!(first, 'b' | 'c') && after.starts_with('r') {
                    after
                } else {
                    after.trim_start_matches(name)
                }
            }
            _ => after,
        };
    }
    found
}

/// What follows a character such as `'"'`, or the apostrophe of a lifetime.
fn behind_character(text: &str) -> &str {
    let mut characters = text.char_indices();
    match characters.next() {
        Some((_, '\\')) => {
            characters.next();
            let rest = text.get(2..).unwrap_or_default();
            rest.split_once('\'').map_or("", |(_, next)| next)
        }
        Some((_, first)) => {
            let next = text.get(first.len_utf8()..).unwrap_or_default();
            next.strip_prefix('\'').unwrap_or(next)
        }
        None => "",
    }
}

/// The text of a literal whose quotation mark was passed, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => match characters.next() {
                Some('n') => literal.push('\n'),
                Some('\n') => characters = characters.as_str().trim_start().chars(),
                Some(other) => literal.push(other),
                None => {}
            },
            other => literal.push(other),
        }
    }
    (literal, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    const LIBRARY: &str = "crates/carbon-ops-meter/src/a.rs";

    #[test]
    fn what_a_front_says_is_found_in_the_strings_of_a_library() {
        for (code, what) in [
            (r#"f("use --state-dir")"#, "the flag --state-dir"),
            (r##"#[error(r#"no "x": `--all`"#)]"##, "the flag --all"),
            (r#"f("set CARBON_OPS_KEY")"#, "the variable CARBON_OPS_KEY"),
            (r#"f("$DCL_REGION")"#, "the variable DCL_REGION"),
            (r#"f("no such thing\nhint: look")"#, "gives a hint"),
            ("f(\"no such thing\\n\\\n   hint: look\")", "gives a hint"),
            (r#"f('"', '\'', "exit code 3")"#, "an exit code"),
            (r#"fn f<'a>() { b"see --help" }"#, "the flag --help"),
        ] {
            let text = format!("//! A.\n{code}\n");
            let found = complaints(&[file(LIBRARY, &text)]);
            assert_eq!(found.len(), 1, "{code}: {found:?}");
            assert!(
                found.iter().all(|one| one.contains(what) && one.contains(".rs:2:")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn other_strings_comments_tests_and_fronts_are_left_alone() {
        let fine = r#"
            //! Use --state-dir, CARBON_OPS_KEY and exit code 3.
            /* "--all" */
            const A: &str = "-----BEGIN KEY-----, a -- b, --, hint: none";
            fn f<'a>(c: char) -> bool { c == '"' /* --x */ }
            // the end of "a string
            #[cfg(test)]
            mod tests {}
        "#;
        let tests = "//! A.\n#[cfg(test)]\nmod tests {\n    const A: &str = \"--all\";\n}\n";
        assert_eq!(complaints(&[file(LIBRARY, fine), file(LIBRARY, tests)]), [""; 0]);
        let all = "f(\"--all\")";
        for path in [
            "crates/carbon-ops-cli/src/a.rs",
            "crates/carbon-ops-governor/src/settings.rs",
            "crates/carbon-ops-meter/src/a/tests.rs",
            "crates/carbon-ops-meter/tests/it/a.rs",
            "examples/aliasing/src/main.rs",
            "xtask/src/ci.rs",
        ] {
            assert_eq!(complaints(&[file(path, all)]), [""; 0], "{path}");
        }
        assert_eq!(complaints(&[file("crates/carbon-ops-governor/src/socket.rs", all)]).len(), 1);
    }
}
