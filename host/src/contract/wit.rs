//! The contract with collectors as text, from `wit/`: what a new project of [`scaffold`](mod@crate::authors::new) carries, and what
//! [`componentize`](mod@crate::authors::componentize) wraps a module by.

use wit_parser::{Resolve, SourceMap, WorldId};

/// The world of collectors.
pub const WORLD: &str = "plugin";

/// The files of `wit/`: name and text.
pub const FILES: &[(&str, &str)] = &[
    ("container.wit", include_str!("../../../wit/container.wit")),
    ("http.wit", include_str!("../../../wit/http.wit")),
    ("metrics.wit", include_str!("../../../wit/metrics.wit")),
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("world.wit", include_str!("../../../wit/world.wit")),
];

/// The contract as tools take it, and its world.
///
/// # Errors
/// Where the files contradict each other, which a test diagnostics.
pub fn resolve() -> Result<(Resolve, WorldId), String> {
    let mut sources = SourceMap::new();
    for (name, text) in FILES {
        sources.push_str(name, *text);
    }
    let mut resolve = Resolve::default();
    let group = sources.parse().map_err(|(_, error)| format!("the contract cannot be read: {error}"))?;
    let package = resolve.push_group(group).map_err(|error| format!("the contract cannot be read: {error}"))?;
    let world = resolve.select_world(&[package], Some(WORLD));
    let world = world.map_err(|error| format!("the contract has no world {WORLD}: {error:#}"))?;
    Ok((resolve, world))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn all_files_of_the_contract_are_here_letter_for_letter() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let file = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path()).expect("a file of text");
            (entry.file_name().into_string().expect("a name of text"), text)
        };
        let there: BTreeMap<_, _> = fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap())).collect();
        let here = FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(there, here);
        let (resolve, world) = resolve().unwrap();
        let package = resolve.worlds[world].package.expect("the package of wit/");
        assert_eq!(
            resolve.packages[package].name.to_string(),
            format!("mackerel:collector@{}", crate::contract::VERSION)
        );
    }
}
