//! How large the product is: lines of code by crate, without blanks, comments and tests.
//!
//! Out of scope: whether a line is worth its place.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A longer file is counted as long.
const LONG: usize = 500;

#[derive(Default)]
struct Size {
    code: usize,
    files: usize,
    public: usize,
    long: usize,
}

/// Prints a line for each crate of a checkout, and their sum.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut sizes: BTreeMap<String, Size> = BTreeMap::new();
    for entry in fs::read_dir(root.join("crates")).context("no crates here")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with("-testkit") {
            count(&entry.path().join("src"), sizes.entry(name).or_default())?;
        }
    }
    println!("{:<22} {:>6} {:>6} {:>6} {:>10}", "crate", "code", "files", "pub", "files > 500");
    let mut sum = Size::default();
    for (name, Size { code, files, public, long }) in &sizes {
        println!("{name:<22} {code:>6} {files:>6} {public:>6} {long:>10}");
        sum = Size {
            code: sum.code + code,
            files: sum.files + files,
            public: sum.public + public,
            long: sum.long + long,
        };
    }
    println!("{:<22} {:>6} {:>6} {:>6} {:>10}", "all", sum.code, sum.files, sum.public, sum.long);
    Ok(())
}

fn count(folder: &Path, size: &mut Size) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "calibration"].contains(&&*name) {
            count(&path, size)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path)?;
            let product = without_tests(&text);
            size.code += product.lines().filter(|line| is_code(line)).count();
            size.public += product.lines().filter(|line| is_public_item(line)).count();
            size.long += usize::from(text.lines().count() > LONG);
            size.files += 1;
        }
    }
    Ok(())
}

fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Members of a structure are none of their own.
fn is_public_item(line: &str) -> bool {
    let item = line.trim_start().strip_prefix("pub ").and_then(|rest| rest.split(' ').next());
    let kinds =
        ["fn", "const", "struct", "enum", "trait", "type", "static", "mod", "use", "unsafe"];
    item.is_some_and(|kind| kinds.contains(&kind))
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_tests_are_not_code() {
        let text = "//! Head.\n\nuse a;\n/// Doc.\npub fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
        let code: Vec<_> = without_tests(text).lines().filter(|line| is_code(line)).collect();
        assert_eq!(code, ["use a;", "pub fn f() {}"]);
    }
}
