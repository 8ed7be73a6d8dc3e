//! The layout of `host/src`: no circle between files, and no dependency from a lower layer to a higher one.
//!
//! The layers are the rows of the table in `lib.rs`, from the top down. A file or folder can use those of its own row
//! and of lower rows. An exception is a line `//! Upward: a → b: reason` in `lib.rs`. Dependencies are paths of
//! modules: those that begin with `crate::`, `super::` or `self::`, and in a folder's `mod.rs` those that begin with a
//! child. Comments and unit tests do not count.
//!
//! A folder's `mod.rs` is a file like any other: a child that uses its `mod.rs` while that uses the child is a circle.
//! Declaring a child (`mod child;`) and exporting its items (`pub use self::child::…`) are not uses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use crate::files;

/// The lines that a file can have, unless its header gives the reason for more.
const LINES: usize = 500;

/// Returns the faults, a line each.
pub(crate) fn check(source: &Path) -> Vec<String> {
    let texts: BTreeMap<String, String> = files(source, "rs")
        .into_iter()
        .map(|path| (module(source, &path), fs::read_to_string(&path).unwrap_or_default()))
        .collect();
    let modules: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
    let uses: BTreeMap<&str, BTreeSet<String>> =
        texts.iter().map(|(name, text)| (name.as_str(), dependencies(name, text, &modules))).collect();
    let header = texts.get("").map(String::as_str).unwrap_or_default();
    let mut faults = circles(&uses);
    faults.extend(upward(&uses, header));
    for (name, text) in &texts {
        let lines = text.lines().count();
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let is_long = lines > LINES || text.contains("clippy::too_many_lines");
        if is_long && !header.iter().any(|line| line.contains("lines")) {
            faults.push(format!(
                "{name}: {lines} lines, or a function that is too long for clippy: split it, or give the reason in its \
                 header (limit {LINES})"
            ));
        }
    }
    faults
}

/// Returns the path of a module below `crate`, such as `commands::run`; `lib.rs` is the empty path.
fn module(source: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(source).unwrap_or(path).with_extension("");
    let parts: Vec<&str> = relative.iter().filter_map(|part| part.to_str()).collect();
    let parts = match parts[..] {
        [.., "mod" | "lib"] => &parts[..parts.len() - 1],
        _ => &parts[..],
    };
    parts.join("::")
}

/// Returns the modules that `text`, the module `name`, uses.
fn dependencies(name: &str, text: &str, modules: &BTreeSet<&str>) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .map(|line| line.split("//").next().unwrap_or_default())
        .filter(|line| !line.trim_start().starts_with("pub use self::"))
        .fold(String::new(), |code, line| code + line + "\n");
    let parent = parent(name);
    let mut bases = vec![("crate", ""), ("super", parent), ("self", name)];
    // lib.rs declares and exports; nothing else is in it.
    if !name.is_empty() {
        let children = modules.iter().filter(|module| !module.is_empty() && self::parent(module) == name);
        bases.extend(children.map(|child| (child.rsplit("::").next().unwrap_or_default(), *child)));
    }
    let mut found = BTreeSet::new();
    for (first, base) in bases {
        for (place, _) in code.match_indices(&format!("{first}::")) {
            let before = code[..place].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "_:$.".contains(c)) {
                let tree = &code[place + first.len() + 2..];
                found.extend(expand(tree).iter().map(|path| longest(base, path, modules)));
            }
        }
    }
    found.remove(name);
    found.remove("");
    found
}

/// Returns the module that declares the module `name`.
fn parent(name: &str) -> &str {
    name.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// Returns the paths of a use tree, which other code follows: `a::{b, c::d};` has `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let end = tree.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(tree.len());
    let (path, rest) = tree.split_at(end);
    let Some(list) = rest.strip_prefix('{') else { return vec![path.to_owned()] };
    let (mut branches, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (place, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                branches.push(list[begin..place].trim_start());
                begin = place + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    branches.iter().flat_map(|branch| expand(branch)).map(|branch| format!("{path}{branch}")).collect()
}

/// Returns the longest beginning of `path`, as seen from `base`, that is a module.
fn longest(base: &str, path: &str, modules: &BTreeSet<&str>) -> String {
    let mut module = base.to_owned();
    for part in path.split("::") {
        if part == "super" {
            module = parent(&module).to_owned();
            continue;
        }
        let next = if module.is_empty() { part.to_owned() } else { format!("{module}::{part}") };
        if !modules.contains(next.as_str()) {
            break;
        }
        module = next;
    }
    module
}

/// Returns one line for each circle: the shortest through its first file. Further ones through the same files can
/// remain.
fn circles(uses: &BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    let (mut faults, mut reported) = (Vec::new(), BTreeSet::new());
    for name in uses.keys() {
        let Some(circle) = circle(name, uses) else { continue };
        if !circle.iter().any(|file| reported.contains(file)) {
            faults.push(format!("a circle in host/src: {} → {name}", circle.join(" → ")));
        }
        reported.extend(circle);
    }
    faults
}

/// Returns the shortest way from `name` back to it, or `None`.
fn circle(name: &str, uses: &BTreeMap<&str, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = VecDeque::from([vec![name.to_owned()]]);
    while let Some(way) = ways.pop_front() {
        for next in uses.get(way.last()?.as_str()).into_iter().flatten() {
            if next == name {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back([&way[..], std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

/// Returns one line for each dependency from a lower layer to a higher one.
fn upward(uses: &BTreeMap<&str, BTreeSet<String>>, header: &str) -> Vec<String> {
    let rows = header.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let names = |row: &str| -> Vec<String> {
        let first = row.split(" | ").next().unwrap_or_default();
        first.split(", ").map(|name| name.trim_matches(|c| "[]`".contains(c)).to_owned()).collect()
    };
    let layers: BTreeMap<String, usize> =
        rows.enumerate().flat_map(|(layer, row)| names(row).into_iter().map(move |name| (name, layer))).collect();
    let allowed: BTreeSet<(String, String)> = header
        .lines()
        .filter_map(|line| line.strip_prefix("//! Upward: ")?.split_once(": "))
        .filter_map(|(pair, _)| pair.split_once(" → "))
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .collect();
    let top = |name: &str| name.split("::").next().unwrap_or_default().to_owned();
    let (mut faults, mut present) = (BTreeSet::new(), BTreeSet::new());
    for (from, targets) in uses.iter().filter(|(from, _)| !from.is_empty()) {
        let (Some(own), from_top) = (layers.get(&top(from)), top(from)) else {
            faults.insert(format!("{from}: not in the table of lib.rs"));
            continue;
        };
        for to in targets {
            let pair = (from_top.clone(), top(to));
            if layers.get(&pair.1).is_none_or(|layer| layer >= own) {
                continue;
            }
            if !allowed.contains(&pair) {
                faults.insert(format!("an upward dependency in host/src: {from} → {to}"));
            }
            present.insert(pair);
        }
    }
    for (from, to) in allowed.difference(&present) {
        faults.insert(format!("an upward dependency that lib.rs explains, but that is gone: {from} → {to}"));
    }
    faults.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(pairs: &[(&'static str, &[&str])]) -> BTreeMap<&'static str, BTreeSet<String>> {
        pairs.iter().map(|(name, targets)| (*name, targets.iter().map(|to| (*to).to_owned()).collect())).collect()
    }

    #[test]
    fn a_circle_is_reported_once_with_its_members() {
        let clean = uses(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]);
        assert!(circles(&clean).is_empty());
        let circle = uses(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]);
        assert_eq!(circles(&circle), ["a circle in host/src: a → b → c → a"]);
    }

    #[test]
    fn an_upward_dependency_is_reported_unless_it_is_explained() {
        let header = "//! | [`top`], [`beside`] | x |\n//! | [`base`] | y |\n";
        let upwards = uses(&[("top", &["base"]), ("base::file", &["top::other"])]);
        assert_eq!(upward(&upwards, header), ["an upward dependency in host/src: base::file → top::other"]);
        assert!(upward(&upwards, &format!("{header}//! Upward: base → top: it must\n")).is_empty());
    }

    #[test]
    fn an_explanation_without_its_dependency_is_reported() {
        let header = "//! | [`top`] | x |\n//! | [`base`] | y |\n//! Upward: base → top: it must\n";
        let faults = upward(&uses(&[("top", &["base"]), ("base", &[])]), header);
        assert_eq!(faults, ["an upward dependency that lib.rs explains, but that is gone: base → top"]);
    }

    #[test]
    fn dependencies_are_paths_of_code() {
        let modules = BTreeSet::from(["", "a", "a::b", "c", "d"]);
        let text = "use crate::c::{Thing};\n// crate::d\nfn f() { super::b::g(); my_crate::d(); }\n\
                    #[cfg(test)]\nmod t { use crate::d; }\n";
        assert_eq!(dependencies("a::e", text, &modules), BTreeSet::from(["a::b".to_owned(), "c".to_owned()]));
        let text = "use crate::{a::{self, b::{X, Y}}, c};\n";
        assert_eq!(dependencies("d", text, &modules), ["a", "a::b", "c"].map(str::to_owned).into());
        assert_eq!(dependencies("a::b", "super::super::c::f()", &modules), ["c".to_owned()].into());
    }

    #[test]
    fn a_folder_uses_its_children_unless_it_only_exports_them() {
        let modules = BTreeSet::from(["", "a", "a::b", "a::d"]);
        let text = "mod b;\nmod d;\npub use self::d::X;\nfn f() { b::g(); other::d::h(); }\n";
        assert_eq!(dependencies("a", text, &modules), BTreeSet::from(["a::b".to_owned()]));
    }
}
