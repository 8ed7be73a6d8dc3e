//! The layout of `host/src`: no circle between files, and no dependency from a lower layer to a higher one.
//!
//! The layers are the rows of the table in `lib.rs`, from the top down. A file or folder may use those of its own row
//! and of lower rows. An exception is a line `//! Upward: a → b: reason` in `lib.rs`. Dependencies are the paths that
//! begin with `crate::`, `super::` or `self::`, outside of comments and unit tests.
//!
//! A folder's `mod.rs` is a file like any other: a child that uses its `mod.rs` while that uses the child is a circle.
//! Declaring a child (`mod child;`) and passing on its items (`pub use self::child::…`) are not uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::files;

/// A file may have this many lines, unless the text of its header says why it is longer.
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
        if lines > LINES && !text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("lines"))
        {
            faults.push(format!(
                "{name}: {lines} lines, {LINES} are the limit; split it, or give the reason in its header"
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
    let parent = name.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = BTreeSet::new();
    for (prefix, base) in [("crate::", ""), ("super::", parent), ("self::", name)] {
        for (place, _) in code.match_indices(prefix) {
            let is_whole = !code[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
            let rest = &code[place + prefix.len()..];
            let targets: Vec<String> = match rest.strip_prefix('{') {
                // A list of paths, which may be nested; the first level names the modules.
                Some(list) => {
                    list.split('}').next().unwrap_or_default().split(',').map(|path| path.trim().to_owned()).collect()
                }
                None => vec![rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect()],
            };
            if is_whole {
                found.extend(targets.iter().map(|path| longest(base, path, modules)));
            }
        }
    }
    found.remove(name);
    // `lib.rs` declares and exports; nothing else is in it.
    found.remove("");
    found
}

/// Returns the longest beginning of `path`, as seen from `base`, that is a module.
fn longest(base: &str, path: &str, modules: &BTreeSet<&str>) -> String {
    let mut module = base.to_owned();
    for part in path.split("::") {
        let next = if module.is_empty() { part.to_owned() } else { format!("{module}::{part}") };
        if !modules.contains(next.as_str()) {
            break;
        }
        module = next;
    }
    module
}

/// Returns one line for each circle: files that can reach each other.
fn circles(uses: &BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![from.to_owned()];
        while let Some(name) = waiting.pop() {
            for next in uses.get(name.as_str()).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    waiting.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = uses.keys().map(|name| (*name, reach(name))).collect();
    let mut circles = BTreeSet::new();
    for (name, targets) in &reached {
        if targets.contains(*name) {
            let members: BTreeSet<&str> = targets
                .iter()
                .filter(|other| reached.get(other.as_str()).is_some_and(|back| back.contains(*name)))
                .map(String::as_str)
                .collect();
            circles.insert(members.into_iter().collect::<Vec<_>>().join(" ↔ "));
        }
    }
    circles.into_iter().map(|circle| format!("a circle in host/src: {circle}")).collect()
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
    let mut faults = BTreeSet::new();
    for (from, targets) in uses.iter().filter(|(from, _)| !from.is_empty()) {
        let (Some(own), from_top) = (layers.get(&top(from)), top(from)) else {
            faults.insert(format!("{from}: not in the table of lib.rs"));
            continue;
        };
        for to in targets {
            let is_upward = layers.get(&top(to)).is_some_and(|layer| layer < own);
            if is_upward && !allowed.contains(&(from_top.clone(), top(to))) {
                faults.insert(format!("an upward dependency in host/src: {from} → {to}"));
            }
        }
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
    fn a_circle_is_reported_with_all_its_members() {
        let clean = uses(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]);
        assert!(circles(&clean).is_empty());
        let circle = uses(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]);
        assert_eq!(circles(&circle), ["a circle in host/src: a ↔ b ↔ c"]);
    }

    #[test]
    fn an_upward_dependency_is_reported_unless_it_is_explained() {
        let header = "//! | [`top`], [`beside`] | x |\n//! | [`base`] | y |\n";
        let upwards = uses(&[("top", &["base"]), ("base::file", &["top::other"])]);
        assert_eq!(upward(&upwards, header), ["an upward dependency in host/src: base::file → top::other"]);
        assert!(upward(&upwards, &format!("{header}//! Upward: base → top: it must\n")).is_empty());
    }

    #[test]
    fn dependencies_are_paths_of_code() {
        let modules = BTreeSet::from(["", "a", "a::b", "c", "d"]);
        let text =
            "use crate::c::{Thing};\n// crate::d\nfn f() { super::b::g(); }\n#[cfg(test)]\nmod t { use crate::d; }\n";
        assert_eq!(dependencies("a::e", text, &modules), BTreeSet::from(["a::b".to_owned(), "c".to_owned()]));
    }
}
