//! The contract as text, from `wit/`: `new` writes it into projects, and `componentize` wraps modules with it.

use wit_parser::{Resolve, SourceMap, WorldId};

/// The world of collectors.
pub const WORLD: &str = "plugin";

/// The files of `wit/`: name and text.
pub const FILES: &[(&str, &str)] = &[
    ("container.wit", include_str!("../../../wit/container.wit")),
    ("http.wit", include_str!("../../../wit/http.wit")),
    ("metrics.wit", include_str!("../../../wit/metrics.wit")),
    ("notes.wit", include_str!("../../../wit/notes.wit")),
    ("tls.wit", include_str!("../../../wit/tls.wit")),
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("world.wit", include_str!("../../../wit/world.wit")),
];

/// A contract that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("invalid WIT files: {0}")]
pub struct WitError(String);

/// Parses the contract, and returns it with its world.
///
/// # Errors
/// If the files contradict each other, which a test notices.
pub fn resolve() -> Result<(Resolve, WorldId), WitError> {
    let mut sources = SourceMap::new();
    for (name, text) in FILES {
        sources.push_str(name, *text);
    }
    let mut resolve = Resolve::default();
    let group = sources.parse().map_err(|(_, error)| WitError(format!("{error}")))?;
    let package = resolve.push_group(group).map_err(|error| WitError(format!("{error}")))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| WitError(format!("{error:#}")))?;
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
