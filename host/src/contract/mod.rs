//! The contract: checks that a file is a collector that this program can run, before anything of it is compiled.
//!
//! Many files that end in `.wasm` are not collectors, so the error names what the file is, and what was expected. This
//! is not a guard: a file that passes is still checked in full when it is compiled and linked. It bounds the number of
//! parts, because the compiler takes memory for each.

pub mod wit;

use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use crate::limits;
use crate::text::Foreign;

/// The contract's version, from the package line in `wit/world.wit`. Components of an older patch version run too.
pub const VERSION: &str = env!("CONTRACT_VERSION");

/// The contract's package.
const PACKAGE: &str = "mackerel:collector";

/// The packages, or their interfaces, that collectors can import.
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

/// A file that is not a collector, or one that this program cannot run. The text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not WebAssembly, or not a collector's component.
    #[error("not a collector: {found}; expected {EXPECTED}")]
    NotACollector {
        /// A description of the file.
        found: Foreign,
    },
    /// The file is a core module.
    #[error(
        "not a collector but a core module; expected {EXPECTED}: build for a component target such as Rust's wasm32-wasip2, or \
         convert it with: mackerel-plugin-wasm componentize"
    )]
    CoreModule,
    /// The component is made for another version of the contract.
    #[error("made for version {version} of {PACKAGE}, but this program runs {}: {fix}", accepted())]
    Version {
        /// The component's version.
        version: Foreign,
        /// The next step.
        fix: &'static str,
    },
    /// The file ends early or is damaged.
    #[error("not a collector, or an incomplete one: {0}; expected {EXPECTED}")]
    Damaged(Foreign),
    /// It has more parts than compiling it may take memory for.
    #[error("too complex: more than {limit} {what} (fixed limit)")]
    TooComplex {
        /// The parts.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The component cannot be compiled or linked.
    #[error("not a collector: {0}; expected {EXPECTED}")]
    Invalid(Foreign),
    /// The component imports something that collectors do not get.
    #[error("unsupported imports: {0}; collectors can import {PACKAGE} and WASI 0.2")]
    UnsupportedImports(Foreign),
}

/// The description of a collector in error texts.
const EXPECTED: &str = concat!("a component of the world mackerel:collector/plugin@", env!("CONTRACT_VERSION"));

/// Checks that a file is a collector.
///
/// # Errors
/// If it is not a collector, or one that this program cannot run.
pub fn check(bytes: &[u8]) -> Result<(), Error> {
    let not_a_collector = |found: &str| Error::NotACollector { found: Foreign::new(found) };
    if !bytes.starts_with(b"\0asm") {
        return Err(not_a_collector(describe_other_file(bytes)));
    }
    let Outline { encoding, imports, exports, damage, excess } = Outline::read(bytes);
    match encoding {
        Some(Encoding::Component) => {}
        Some(Encoding::Module) => return Err(Error::CoreModule),
        None => return Err(not_a_collector("WebAssembly of an unknown version")),
    }
    let of_contract = |name: &str| name.strip_prefix(PACKAGE)?.split_once('@').map(|(_, version)| version.to_owned());
    let all = exports.iter().map(|(name, _)| name).chain(&imports);
    if let Some(version) = all.filter_map(|name| of_contract(name)).find(|version| !runs(version)) {
        let fix = if is_newer(&version) { "update this program" } else { "build the component against that" };
        return Err(Error::Version { version: version.into(), fix });
    }
    let metrics = format!("{PACKAGE}/metrics@");
    let is_metrics =
        |(name, kind): &(String, _)| *kind == ComponentExternalKind::Instance && name.starts_with(&metrics);
    if let Some((what, limit)) = excess {
        return Err(Error::TooComplex { what, limit });
    }
    if exports.iter().any(is_metrics) {
        return Ok(());
    }
    Err(match damage {
        Some(damage) => Error::Damaged(damage.into()),
        None => not_a_collector(&describe_other_component(&exports)),
    })
}

/// Returns the names of a component's imports and exports.
pub fn names(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let Outline { imports, exports, .. } = Outline::read(bytes);
    (imports, exports.into_iter().map(|(name, _)| name).collect())
}

/// Returns the imports that collectors do not get.
pub fn unsupported(imports: &[String]) -> Vec<&str> {
    let is_unsupported = |name: &&str| !OFFERED.iter().any(|offered| is_of(name, offered));
    imports.iter().map(String::as_str).filter(is_unsupported).collect()
}

/// Returns true if `name` is covered by `offered`: anything in a package, or an interface in any version.
fn is_of(name: &str, offered: &str) -> bool {
    name.strip_prefix(offered).is_some_and(|rest| offered.ends_with('/') || rest.is_empty() || rest.starts_with('@'))
}

/// Describes a file that is not WebAssembly.
fn describe_other_file(bytes: &[u8]) -> &'static str {
    let is_text = |bytes: &[u8]| {
        let control = |b: &u8| b.is_ascii_control() && !b.is_ascii_whitespace();
        let cut = |error: std::str::Utf8Error| error.error_len().is_none();
        !bytes.iter().any(control) && std::str::from_utf8(bytes).map_or_else(cut, |_| true)
    };
    match bytes {
        [] => "an empty file",
        [b'(', ..] => "WebAssembly text, which must be converted to binary first",
        [0x7f, b'E', b'L', b'F', ..] => "a native program",
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] => "an archive",
        _ if is_text(&bytes[..bytes.len().min(512)]) => "a text file",
        _ => "a file without the WebAssembly header",
    }
}

/// Describes a component that does not export `metrics`.
fn describe_other_component(exports: &[(String, ComponentExternalKind)]) -> String {
    let has = |interface: &str| exports.iter().find(|(name, _)| is_of(name, interface)).map(|(name, _)| name);
    if let Some(name) = has("wasi:http/incoming-handler") {
        return format!("an HTTP server, which exports {name}");
    }
    if let Some(name) = has("wasi:cli/run") {
        return format!("a command-line program, which exports {name}");
    }
    if exports.is_empty() {
        return "a component without exports".to_owned();
    }
    if exports.iter().all(|(_, kind)| *kind == ComponentExternalKind::Type) {
        return "a WIT package, which describes interfaces and has no code".to_owned();
    }
    let names: Vec<&str> = exports.iter().map(|(name, _)| name.as_str()).collect();
    format!("a component that exports {}", names.join(", "))
}

/// Returns the three numbers of a version.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let parts: Vec<u64> = version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Returns true for versions of the contract that this program runs: its own, and older ones with a lower patch number.
fn runs(version: &str) -> bool {
    match (numbers(version), numbers(VERSION)) {
        (Some([major, minor, patch]), Some(own)) => [major, minor] == own[..2] && patch <= own[2],
        _ => false,
    }
}

fn is_newer(version: &str) -> bool {
    numbers(version) > numbers(VERSION)
}

/// Formats the versions that run.
fn accepted() -> String {
    match VERSION.rsplit_once('.') {
        Some((_, "0")) | None => VERSION.to_owned(),
        Some((series, _)) => format!("{series}.0 to {VERSION}"),
    }
}

/// The outermost imports and exports of a WebAssembly file.
#[derive(Default)]
struct Outline {
    encoding: Option<Encoding>,
    imports: Vec<String>,
    exports: Vec<(String, ComponentExternalKind)>,
    /// The error that ended reading.
    damage: Option<String>,
    /// The parts of which there are too many, and the limit that ended reading.
    excess: Option<(&'static str, usize)>,
}

/// The numbers of parts in a file, those of nested modules and components included.
#[derive(Default)]
struct Count {
    nested: usize,
    instances: usize,
    types: usize,
    functions: usize,
    imports: usize,
    exports: usize,
}

impl Count {
    /// Counts the parts in one section.
    fn add(&mut self, payload: &Payload<'_>) {
        let (count, more) = match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => (&mut self.nested, 1),
            Payload::InstanceSection(section) => (&mut self.instances, section.count()),
            Payload::ComponentInstanceSection(section) => (&mut self.instances, section.count()),
            Payload::TypeSection(section) => (&mut self.types, section.count()),
            Payload::CoreTypeSection(section) => (&mut self.types, section.count()),
            Payload::ComponentTypeSection(section) => (&mut self.types, section.count()),
            Payload::FunctionSection(section) => (&mut self.functions, section.count()),
            Payload::ComponentCanonicalSection(section) => (&mut self.functions, section.count()),
            Payload::ImportSection(section) => (&mut self.imports, section.count()),
            Payload::ComponentImportSection(section) => (&mut self.imports, section.count()),
            Payload::ExportSection(section) => (&mut self.exports, section.count()),
            Payload::ComponentExportSection(section) => (&mut self.exports, section.count()),
            Payload::ComponentAliasSection(section) => (&mut self.exports, section.count()),
            _ => return,
        };
        *count = count.saturating_add(more as usize);
    }

    /// Returns the parts of which there are too many, and their limit.
    fn excess(&self, depth: usize) -> Option<(&'static str, usize)> {
        let counts = [
            ("levels of nested components", depth, limits::COMPONENT_NESTING),
            ("nested modules and components", self.nested, limits::COMPONENT_PARTS),
            ("instances", self.instances, limits::COMPONENT_PARTS),
            ("types", self.types, limits::COMPONENT_ITEMS),
            ("functions", self.functions, limits::COMPONENT_ITEMS),
            ("imports", self.imports, limits::COMPONENT_ITEMS),
            ("exports and aliases", self.exports, limits::COMPONENT_ITEMS),
        ];
        counts.into_iter().find(|(_, count, limit)| count > limit).map(|(what, _, limit)| (what, limit))
    }
}

impl Outline {
    /// Reads as much as can be read.
    fn read(bytes: &[u8]) -> Outline {
        let mut outline = Outline::default();
        let mut depth = 0_usize;
        let mut count = Count::default();
        for payload in Parser::new(0).parse_all(bytes) {
            if let Ok(payload) = &payload {
                count.add(payload);
            }
            outline.excess = count.excess(depth);
            if outline.excess.is_some() {
                break;
            }
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
    fn the_version_is_that_of_the_wit_package() {
        let world = include_str!("../../../wit/world.wit");
        assert_eq!(world.matches(&format!("package {PACKAGE}@{VERSION};")).count(), 1);
    }
}
