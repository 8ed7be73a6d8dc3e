//! The lists of dependencies of a release: what is inside of the program, and its licences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The targets of the program and of the built-in collectors.
const TARGETS: &[&str] = &["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "wasm32-wasip2"];

/// The beginnings of the names of files with licences, in lower case.
const LICENCE_FILES: &[&str] = &["license", "licence", "copying", "notice", "unlicense", "copyright"];

/// The beginning of the list of licences.
const HEADER: &str = "\
mackerel-plugin-wasm is licensed under MIT or Apache-2.0, at your option. The program contains the libraries below,
Rust's standard library (MIT OR Apache-2.0, with LLVM's compiler-rt and libunwind: Apache-2.0 WITH LLVM-exception) and
musl (MIT, Copyright 2005-2020 Rich Felker, et al.). The container image also contains Mozilla's list of certificate
authorities (MPL-2.0).
";

/// The beginning of the list of licences of the ready-made collectors.
const COLLECTORS_HEADER: &str = "\
The ready-made collectors are licensed under MIT or Apache-2.0, at your option. Those in Rust contain the libraries below,
Rust's standard library (MIT OR Apache-2.0) and wasi-libc (MIT OR Apache-2.0). Those in Go contain Go's standard library
(BSD-3-Clause) and runtime packages of wit-bindgen (Apache-2.0 WITH LLVM-exception). Those in Python contain CPython
(PSF-2.0), componentize-py (Apache-2.0 WITH LLVM-exception) and wasi-libc.
";

/// A library that is part of the program.
struct Package {
    name: String,
    version: String,
    /// An SPDX expression.
    licence: String,
    manifest: String,
    /// The SHA-256 of its archive; empty for a package of this repository.
    checksum: String,
    /// The package URLs of its own dependencies.
    uses: BTreeSet<String>,
}

/// Writes the list of dependencies (`CycloneDX`) to `sbom` and their licences to `licences`. `time` is the time of the
/// commit, so that the same commit gives the same files.
pub(crate) fn write(root: &Path, sbom: &Path, licences: &Path, time: &str) -> Result<()> {
    let packages = packages(root, TARGETS)?;
    ensure!(packages.len() > 100, "only {} dependencies: cargo metadata has another form", packages.len());
    fs::write(sbom, format!("{:#}\n", bom(&packages, time)))?;
    fs::write(licences, licence_texts(HEADER, &packages)?)?;
    println!("{} dependencies", packages.len());
    Ok(())
}

/// Writes the licences of the ready-made collectors in Rust to `licences`.
pub(crate) fn write_collectors(root: &Path, licences: &Path) -> Result<()> {
    let packages = packages(&root.join("collectors"), &["wasm32-wasip2"])?;
    ensure!(packages.len() > 5, "only {} dependencies: cargo metadata has another form", packages.len());
    Ok(fs::write(licences, licence_texts(COLLECTORS_HEADER, &packages)?)?)
}

/// Returns the libraries of the program or of the ready-made collectors by package URL, without those that only build
/// scripts and tests use.
fn packages(root: &Path, targets: &[&str]) -> Result<BTreeMap<String, Package>> {
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let mut found = BTreeMap::new();
    for target in targets {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(root).args(["metadata", "--format-version=1", "--locked", "--filter-platform", target]);
        let output = command.output().context("cannot run cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        collect(&metadata, target.starts_with("wasm32"), &lock, &mut found)?;
    }
    Ok(found)
}

/// Adds the dependencies of the program, or of collectors, to `found`.
fn collect(metadata: &Value, of_guests: bool, lock: &str, found: &mut BTreeMap<String, Package>) -> Result<()> {
    let items = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all: BTreeMap<String, Value> =
        items(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<String, Value> =
        items(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
    let is_root = |package: &Value| {
        let name = text(&package["name"]);
        if of_guests { is_collector(package) } else { name == "mackerel-plugin-wasm" }
    };
    let mut left: Vec<String> = all.iter().filter(|(_, package)| is_root(package)).map(|(id, _)| id.clone()).collect();
    let mut seen: BTreeSet<String> = left.iter().cloned().collect();
    while let Some(id) = left.pop() {
        let package = all.get(&id).context("cargo metadata lists every package")?;
        let mut uses = BTreeSet::new();
        for dependency in nodes.get(&id).map(|node| items(&node["deps"])).unwrap_or_default() {
            let of = text(&dependency["pkg"]);
            let is_linked = items(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            // A macro runs in the compiler.
            let is_macro = items(&all[&of]["targets"]).iter().any(|target| target["kind"][0] == "proc-macro");
            if is_linked && !is_macro {
                uses.insert(url(&all[&of]));
                if seen.insert(of.clone()) {
                    left.push(of);
                }
            }
        }
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let place = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let checksum = lock
            .split_once(&place)
            .and_then(|(_, rest)| rest.split("\n\n").next()?.split_once("checksum = \"")?.1.split('"').next())
            .unwrap_or_default();
        let entry = found.entry(url(package)).or_insert_with(|| Package {
            name,
            version,
            // The older spelling of some crates.
            licence: text(&package["license"]).replace('/', " OR "),
            manifest: text(&package["manifest_path"]),
            checksum: checksum.to_owned(),
            uses: BTreeSet::new(),
        });
        entry.uses.extend(uses);
    }
    Ok(())
}

/// Returns true for a built-in or a ready-made collector. Those of tests are not listed.
fn is_collector(package: &Value) -> bool {
    package["description"].as_str().is_some_and(|text| text.starts_with("Collector for "))
}

/// Returns the package URL, which identifies a crate and its version.
fn url(package: &Value) -> String {
    let text = |field: &str| package[field].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

/// Formats the list of dependencies.
fn bom(packages: &BTreeMap<String, Package>, time: &str) -> Value {
    let component = |(url, package): (&String, &Package)| {
        let is_program = package.name == "mackerel-plugin-wasm";
        let mut component = json!({
            "type": if is_program { "application" } else { "library" },
            "bom-ref": url,
            "name": package.name,
            "version": package.version,
            "purl": url,
            "licenses": [{ "expression": package.licence }],
        });
        if !package.checksum.is_empty() {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": package.checksum }]);
        }
        component
    };
    let (program, libraries): (Vec<_>, Vec<_>) =
        packages.iter().partition(|(_, package)| package.name == "mackerel-plugin-wasm");
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "component": program.into_iter().map(component).next(),
        },
        "components": libraries.into_iter().map(component).collect::<Vec<_>>(),
        "dependencies": packages
            .iter()
            .map(|(url, package)| json!({ "ref": url, "dependsOn": package.uses }))
            .collect::<Vec<_>>(),
    })
}

/// Lists the libraries with their licences, and every text once.
fn licence_texts(header: &str, packages: &BTreeMap<String, Package>) -> Result<String> {
    let mut list = format!("{header}\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // The packages of this repository have the licence of the program.
    for package in packages.values().filter(|package| !package.checksum.is_empty()) {
        let Package { name, version, licence, manifest, .. } = package;
        ensure!(!licence.is_empty(), "{name} {version} has no licence");
        let _ = writeln!(list, "{name} {version}: {licence}");
        let folder = Path::new(manifest).parent().context("a manifest lies in a folder")?;
        let mut files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files.iter().filter(|file| is_licence(file)) {
            let text = String::from_utf8_lossy(&fs::read(file)?).trim().replace('\r', "");
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    for (text, names) in texts {
        let _ = write!(list, "\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join(", "));
    }
    Ok(list)
}

fn is_licence(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    file.is_file() && LICENCE_FILES.iter().any(|start| name.starts_with(start))
}
