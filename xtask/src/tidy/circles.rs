//! Files of one crate that need each other in a circle cannot be read, tested or moved one by one.
//!
//! Rule: of the modules that one module holds, each with all that is in it, none needs itself by way of the others. What a
//! module and those in it need of each other is its own affair, and tests may need everything.
//!
//! A name is followed through `use` to the file that has it, so that a name that is passed on hides nothing.
//!
//! Out of scope: crates among each other, whose arrows are a list.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::{File, texts};

/// Names from the root of a crate.
type Names = Vec<String>;

/// A module that is a file, or several such as `lib.rs` and `main.rs`.
#[derive(Debug, Default)]
struct Module {
    /// Names that `use` brings, and what they are.
    brought: BTreeMap<String, Names>,
    /// What it names of its own crate.
    named: BTreeSet<Names>,
}

type Modules = BTreeMap<Names, Module>;

/// Which module of a holder needs which, and the files where that is.
type Arrows<'m> = BTreeMap<(&'m str, String), (String, String)>;

pub(super) fn complaints(files: &[File]) -> Vec<String> {
    let mut crates: BTreeMap<&str, Vec<(Names, syn::File)>> = BTreeMap::new();
    for (path, text) in texts(files, ".rs") {
        let Some((home, inner)) = path.split_once("/src/") else { continue };
        let mut names: Names =
            inner.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if names.iter().any(|name| name == "tests") {
            continue;
        }
        if names.last().is_some_and(|name| ["lib", "main", "mod"].contains(&name.as_str())) {
            names.pop();
        }
        // What is no Rust the compiler tells better.
        if let Ok(file) = syn::parse_file(text) {
            crates.entry(home).or_default().push((names, file));
        }
    }
    crates.into_iter().flat_map(|(home, files)| of_crate(home, &files)).collect()
}

fn of_crate(home: &str, files: &[(Names, syn::File)]) -> Vec<String> {
    let mut modules: Modules =
        files.iter().map(|(names, _)| (names.clone(), Module::default())).collect();
    for (names, file) in files {
        let is_module = |of: &Names| files.iter().any(|(names, _)| names == of);
        let mut reader = Reader {
            at: names.clone(),
            depth: 0,
            is_module: &is_module,
            module: Module::default(),
        };
        reader.visit_file(file);
        let module = modules.entry(names.clone()).or_default();
        module.brought.extend(reader.module.brought);
        module.named.extend(reader.module.named);
    }
    // By the module that holds both: which of its modules needs which, and where that is written.
    let mut needs: BTreeMap<&[String], Arrows<'_>> = BTreeMap::new();
    for (from, module) in &modules {
        for to in module.named.iter().filter_map(|names| home_of(&modules, names, 0)) {
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) {
                let holder = from.get(..shared).unwrap_or_default();
                let arrow = (from.join("::"), to.join("::"));
                needs.entry(holder).or_default().insert((one, other.clone()), arrow);
            }
        }
    }
    let circles = needs.values().flat_map(|arrows| {
        let back = arrows.iter().filter(|((from, to), _)| reaches(arrows, to, from));
        back.map(|(_, (from, to))| format!("{home}: {from} needs {to}, which needs it back"))
    });
    circles.collect()
}

/// Whether a module needs another by way of any.
fn reaches(arrows: &Arrows<'_>, from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        let next = arrows.keys().filter(|(from, _)| *from == at).map(|(_, next)| next.as_str());
        open.extend(next.filter(|next| seen.insert(next)));
    }
    false
}

/// The file that has what is named.
fn home_of(modules: &Modules, names: &[String], followed: u8) -> Option<Names> {
    let longest = (0..=names.len()).rev().find_map(|count| {
        let names = names.get(..count)?;
        modules.get_key_value(names).map(|(home, module)| (count, home, module))
    });
    let (count, home, module) = longest?;
    let (name, rest) = names.get(count..)?.split_first().unzip();
    match name.and_then(|name| module.brought.get(name)) {
        Some(brought) if followed < 8 => {
            let whole = [brought.as_slice(), rest.unwrap_or_default()].concat();
            home_of(modules, &whole, followed + 1)
        }
        _ => Some(home.clone()),
    }
}

/// Reads a file: what it brings and names.
struct Reader<'a> {
    at: Names,
    /// How many modules deep within the file.
    depth: usize,
    is_module: &'a dyn Fn(&Names) -> bool,
    module: Module,
}

impl Reader<'_> {
    /// The names from the root of the crate; none of another crate.
    fn whole(&self, path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" if self.depth == 0 => Some([&self.at[..], rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                // A module within the file begins where the file does.
                let out = ups.saturating_sub(self.depth);
                let keep = self.at.len().checked_sub(out)?;
                Some([self.at.get(..keep)?, path.get(ups..)?].concat())
            }
            _ => {
                let inner = [&self.at[..], std::slice::from_ref(first)].concat();
                (self.is_module)(&inner).then(|| [&self.at[..], path].concat())
            }
        }
    }

    fn bring(&mut self, tree: &syn::UseTree, mut path: Names) {
        match tree {
            syn::UseTree::Path(of) => {
                path.push(of.ident.to_string());
                self.bring(&of.tree, path);
            }
            syn::UseTree::Group(of) => {
                for tree in &of.items {
                    self.bring(tree, path.clone());
                }
            }
            syn::UseTree::Name(of) => {
                let name = of.ident.to_string();
                if name != "self" {
                    path.push(name);
                }
                self.brought(path.last().cloned(), &path);
            }
            syn::UseTree::Rename(of) => {
                path.push(of.ident.to_string());
                self.brought(Some(of.rename.to_string()), &path);
            }
            syn::UseTree::Glob(_) => self.brought(None, &path),
        }
    }

    fn brought(&mut self, name: Option<String>, path: &[String]) {
        let Some(whole) = self.whole(path) else { return };
        self.module.named.insert(whole.clone());
        if let Some(name) = name.filter(|_| self.depth == 0) {
            self.module.brought.insert(name, whole);
        }
    }
}

/// Whether something is there for tests alone.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|of| {
        let is_cfg = of.path().is_ident("cfg");
        is_cfg && of.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() && !is_test(&item.attrs) {
            self.depth += 1;
            visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.bring(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path.segments.iter().map(|of| of.ident.to_string()).collect();
        if names.len() > 1
            && let Some(whole) = self.whole(&names)
        {
            self.module.named.insert(whole);
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_of(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File {
            path: format!("crates/a/src/{path}"),
            bytes: 0,
            text: Some((*text).to_owned()),
        };
        complaints(&files.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn a_circle_is_told_however_it_is_written() {
        let one = ("one.rs", "use crate::two::Two; pub struct One;");
        let lib =
            ("lib.rs", "mod one; mod two; mod three; pub use one::One; pub use three::Three;");
        for two in [
            "use super::one::One;",
            "use crate::{one::{self, One}};",
            "use crate::one::*;",
            "use crate::one as other;",
            "fn f() -> crate::one::One { todo() }",
            // By the name that the crate passes on.
            "use crate::One;",
            "mod inner { use super::super::one::One; }",
        ] {
            let told = complaints_of(&[lib, one, ("two.rs", two)]);
            assert_eq!(told.len(), 2, "{two}: {told:?}");
            assert!(told[0].contains("one needs two, which needs it back"), "{told:?}");
        }
        // By way of a third, and of what is in a module.
        let two = ("two.rs", "use crate::Three;");
        let three = ("three.rs", "mod inner; pub use inner::Three;");
        let inner = ("three/inner.rs", "use crate::one::One; pub struct Three;");
        assert_eq!(complaints_of(&[lib, one, two, three, inner]).len(), 3);
    }

    #[test]
    fn what_is_no_circle_is_not_told() {
        let lib = ("lib.rs", "mod one; mod two; pub use two::Two;");
        let one = ("one.rs", "use crate::Two;");
        for two in [
            "pub struct Two;",
            "#[cfg(test)] mod tests { use crate::one::One; }",
            "#[cfg(test)] use crate::one::One;",
            // Another crate's, and one's own.
            "use one::One; mod inner; use inner::Inner;",
        ] {
            let inner = ("two/inner.rs", "use super::Two;");
            assert_eq!(complaints_of(&[lib, one, ("two.rs", two), inner]), [""; 0], "{two}");
        }
        let tests = ("two/tests.rs", "use crate::one::One;");
        assert_eq!(complaints_of(&[lib, one, ("two.rs", "mod tests;"), tests]), [""; 0]);
    }
}
