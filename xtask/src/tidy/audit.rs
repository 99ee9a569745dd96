//! The dependencies of the only privileged program: few enough to be read on one screen, and none
//! that nobody looked at.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The committed list.
pub(crate) const LIST: &str = "crates/carbon-ops-governor/dependencies.txt";

/// Crates that are linked into the governor.
const LINKED_MAX: usize = 40;

/// The same with those that only write code while it is built.
const ALL_MAX: usize = 60;

/// Crates in the governor's tree, ours included; a macro's own dependencies stand with the macros.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// All of them, sorted.
    pub(crate) all: Vec<String>,
    /// Those that no macro brings alone.
    pub(crate) linked: Vec<String>,
}

/// What cargo says now.
pub(crate) fn tree(root: &Path) -> Result<Tree> {
    Ok(Tree { all: names(root, "normal")?, linked: names(root, "normal,no-proc-macro")? })
}

fn names(root: &Path, edges: &str) -> Result<Vec<String>> {
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "--package", "carbon-ops-governor", "--prefix", "none"]);
    let output =
        command.args(["--edges", edges]).current_dir(root).output().context("cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    Ok(names)
}

/// The text of the list.
pub(crate) fn list(tree: &Tree) -> String {
    let mut text = String::from(
        "# Every crate in the tree of carbon-governor, the only privileged program. A change here is\n\
         # a decision: read the newcomer first. `cargo xtask tidy --bless` writes this file.\n\
         # A crate marked * only writes code while the governor is built.\n",
    );
    for name in &tree.all {
        text.push_str(name);
        text.push_str(if tree.linked.contains(name) { "\n" } else { " *\n" });
    }
    text
}

pub(crate) fn complaints(tree: &Tree, committed: Option<&str>) -> Vec<String> {
    let mut complaints = Vec::new();
    if committed != Some(list(tree).as_str()) {
        complaints.push(format!(
            "{LIST}: the governor's dependencies are others now; read what is new, then run `cargo \
             xtask tidy --bless`"
        ));
    }
    for (count, most, what) in
        [(tree.linked.len(), LINKED_MAX, "linked into"), (tree.all.len(), ALL_MAX, "needed for")]
    {
        if count > most {
            complaints.push(format!("{count} crates are {what} the governor, and {most} may be"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(all: usize, linked: usize) -> Tree {
        let names = |count| (0..count).map(|n| format!("crate-{n:03}")).collect();
        Tree { all: names(all), linked: names(linked) }
    }

    #[test]
    fn a_list_that_is_not_that_of_the_tree_is_complained_of() {
        let now = tree(5, 4);
        assert_eq!(complaints(&now, Some(&list(&now))), [""; 0]);
        assert_eq!(complaints(&now, Some(&list(&tree(6, 4)))).len(), 1);
        assert_eq!(complaints(&now, Some(&list(&tree(5, 5)))).len(), 1);
        assert_eq!(complaints(&now, None).len(), 1);
    }

    #[test]
    fn a_tree_that_fits_no_screen_is_complained_of() {
        for (all, linked, expected) in [(60, 40, 0), (60, 41, 1), (61, 40, 1)] {
            let now = tree(all, linked);
            assert_eq!(complaints(&now, Some(&list(&now))).len(), expected);
        }
    }
}
