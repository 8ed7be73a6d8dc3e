//! The contract: whether a file is a collector that this program can run, told before anything of it is compiled.
//!
//! People ship what their tools made, and there is much that ends in `.wasm` and is no collector. So what a file is instead is said,
//! and what was expected. This is no guard: what passes is still checked whole when it is compiled and linked.

pub mod wit;

use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use crate::text::foreign;

/// The contract's version, from the package's line in `wit/world.wit`. Components of an older patch version run too.
pub const VERSION: &str = env!("CONTRACT_VERSION");

/// The contract's package.
const PACKAGE: &str = "mackerel:collector";

/// What collectors may import: these packages, or these interfaces of them.
const OFFERED: &[&str] = &[
    "mackerel:collector/",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// What a collector is, for who handed in something else.
pub fn expected() -> String {
    format!("a collector is a component of the world {PACKAGE}/plugin@{VERSION}")
}

/// Looks at what a file is.
///
/// # Errors
/// Where it is no collector, or one that this program cannot run: what it is, and what was expected or is to be done.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(b"\0asm") {
        return Err(format!("is no collector: {}; {}", without_wasm(bytes), expected()));
    }
    let Outline { encoding, imports, exports, damage } = Outline::read(bytes);
    match encoding {
        Some(Encoding::Component) => {}
        Some(Encoding::Module) => {
            return Err(format!(
                "is no collector but a core module: {}; build it for a target of components, such as Rust's wasm32-wasip2, \
                 or make it one by `mackerel-plugin-wasm componentize`",
                expected()
            ));
        }
        None => return Err(format!("is no collector: it is WebAssembly of an unknown version; {}", expected())),
    }
    let of_contract = |name: &str| name.strip_prefix(PACKAGE)?.split_once('@').map(|(_, version)| version.to_owned());
    let all = exports.iter().map(|(name, _)| name).chain(&imports);
    if let Some(version) = all.filter_map(|name| of_contract(name)).find(|version| !runs(version)) {
        return Err(format!(
            "is made for version {} of {PACKAGE}, and this program runs {}: {}",
            foreign(&version),
            accepted(),
            if is_newer(&version) { "update this program" } else { "build the component against that" }
        ));
    }
    let metrics = format!("{PACKAGE}/metrics@");
    let is_metrics =
        |(name, kind): &(String, _)| *kind == ComponentExternalKind::Instance && name.starts_with(&metrics);
    if !exports.iter().any(is_metrics) {
        if let Some(damage) = damage {
            return Err(format!("is no collector, or not the whole of one: {}; {}", foreign(&damage), expected()));
        }
        return Err(format!("is no collector{}; {}", instead(&exports), expected()));
    }
    Ok(())
}

/// Returns the names of a component's imports and exports.
pub fn names(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let Outline { imports, exports, .. } = Outline::read(bytes);
    (imports, exports.into_iter().map(|(name, _)| name).collect())
}

/// Which of a component's imports no collector gets.
pub fn strangers(imports: &[String]) -> Vec<&str> {
    let is_strange = |name: &&str| !OFFERED.iter().any(|offered| is_of(name, offered));
    imports.iter().map(String::as_str).filter(is_strange).collect()
}

/// Whether `name` is one of `offered`: anything below a package, else the interface in any version.
fn is_of(name: &str, offered: &str) -> bool {
    name.strip_prefix(offered).is_some_and(|rest| offered.ends_with('/') || rest.is_empty() || rest.starts_with('@'))
}

/// What a file is that is no WebAssembly.
fn without_wasm(bytes: &[u8]) -> &'static str {
    let is_text = |bytes: &[u8]| {
        let control = |b: &u8| b.is_ascii_control() && !b.is_ascii_whitespace();
        let cut = |error: std::str::Utf8Error| error.error_len().is_none();
        !bytes.iter().any(control) && std::str::from_utf8(bytes).map_or_else(cut, |_| true)
    };
    match bytes {
        [] => "it is empty",
        [b'(', ..] => "it is WebAssembly as text, which has to be made binary first",
        [0x7f, b'E', b'L', b'F', ..] => "it is a native program",
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] => "it is an archive",
        _ if is_text(&bytes[..bytes.len().min(512)]) => "it is a text file",
        _ => "it does not begin like a WebAssembly file",
    }
}

/// What a component is that exports no `metrics`, as a part of a sentence.
fn instead(exports: &[(String, ComponentExternalKind)]) -> String {
    let has = |interface: &str| exports.iter().find(|(name, _)| is_of(name, interface)).map(|(name, _)| foreign(name));
    if let Some(name) = has("wasi:http/incoming-handler") {
        return format!(" but an HTTP server: it exports {name}");
    }
    if let Some(name) = has("wasi:cli/run") {
        return format!(" but a program for the command line: it exports {name}");
    }
    if exports.is_empty() {
        return ": it is a component that exports nothing".to_owned();
    }
    if exports.iter().all(|(_, kind)| *kind == ComponentExternalKind::Type) {
        return " but a WIT package: it describes interfaces, and has no code".to_owned();
    }
    let names: Vec<&str> = exports.iter().map(|(name, _)| name.as_str()).collect();
    format!(": it is a component that exports {}", foreign(&names.join(", ")))
}

/// A version's three numbers.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let parts: Vec<u64> = version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Whether this program runs components of that version of the contract: its own, and older ones that differ in the patch alone.
fn runs(version: &str) -> bool {
    match (numbers(version), numbers(VERSION)) {
        (Some([major, minor, patch]), Some(own)) => [major, minor] == own[..2] && patch <= own[2],
        _ => false,
    }
}

fn is_newer(version: &str) -> bool {
    numbers(version) > numbers(VERSION)
}

/// The versions that run, for people.
fn accepted() -> String {
    match VERSION.rsplit_once('.') {
        Some((_, "0")) | None => VERSION.to_owned(),
        Some((series, _)) => format!("{series}.0 to {VERSION}"),
    }
}

/// A WebAssembly file's outermost imports and exports.
#[derive(Default)]
struct Outline {
    encoding: Option<Encoding>,
    imports: Vec<String>,
    exports: Vec<(String, ComponentExternalKind)>,
    /// Why no more of it can be read.
    damage: Option<String>,
}

impl Outline {
    /// What can be read of it.
    fn read(bytes: &[u8]) -> Outline {
        let mut outline = Outline::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::Version { encoding, .. }) if depth == 0 && outline.encoding.is_none() => {
                    outline.encoding = Some(encoding);
                }
                Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                Ok(Payload::ComponentImportSection(section)) if depth == 0 => {
                    outline.imports.extend(section.into_iter().flatten().map(|import| import.name.name.to_owned()));
                }
                Ok(Payload::ComponentExportSection(section)) if depth == 0 => {
                    let exports = section.into_iter().flatten();
                    outline.exports.extend(exports.map(|export| (export.name.name.to_owned(), export.kind)));
                }
                Ok(_) => {}
                Err(error) => {
                    outline.damage = Some(error.to_string());
                    break;
                }
            }
        }
        outline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_patch_versions_run_and_no_others() {
        let [major, minor, patch] = numbers(VERSION).expect("three numbers");
        for older in 0..=patch {
            assert!(runs(&format!("{major}.{minor}.{older}")), "{older}");
        }
        let others = [
            format!("{major}.{minor}.{}", patch + 1),
            format!("{major}.{}.0", minor + 1),
            format!("{}.{minor}.{patch}", major + 1),
            format!("{major}.{minor}"),
            format!("{VERSION}-rc1"),
            String::new(),
        ];
        for other in others {
            assert!(!runs(&other), "{other}");
        }
    }

    #[test]
    fn the_contract_is_found_in_its_package() {
        let world = include_str!("../../../wit/world.wit");
        assert_eq!(world.matches(&format!("package {PACKAGE}@{VERSION};")).count(), 1);
    }
}
