//! The contract with third parties: published versions do not change, later versions of 0.1.x only add to it, and a
//! component of an older version runs unchanged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use scenarios::agent::{Agent, component};
use scenarios::stats::Values;
use scenarios::stub_target::StubTarget;
use serde_json::json;
use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve, WorldId};

/// The folder of the current contract.
const CURRENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");

/// The folder of published versions, as VERSION.wit.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contract");

/// Parses a version of the contract.
fn read(resolve: &mut Resolve, path: &Path) -> PackageId {
    let (package, _) = resolve.push_path(path).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
    package
}

fn world(resolve: &Resolve, package: PackageId) -> WorldId {
    resolve.select_world(&[package], Some("plugin")).expect("a contract has the world `plugin`")
}

/// Returns the major, minor and patch number of a version.
fn version(resolve: &Resolve, package: PackageId) -> [u64; 3] {
    let version = resolve.packages[package].name.version.as_ref().expect("a contract has a version");
    [version.major, version.minor, version.patch]
}

fn to_text(version: [u64; 3]) -> String {
    version.map(|number| number.to_string()).join(".")
}

/// Prints a version of the contract, with or without its documentation.
fn printed(resolve: &Resolve, package: PackageId, has_docs: bool) -> String {
    let mut printer = WitPrinter::default();
    printer.emit_docs(has_docs).print(resolve, package, &[]).expect("a printable contract");
    printer.output.to_string()
}

#[test]
fn changed_contract_has_a_new_version() {
    let mut resolve = Resolve::default();
    let package = read(&mut resolve, Path::new(CURRENT));
    let version = to_text(version(&resolve, package));
    let path = PathBuf::from(PUBLISHED).join(format!("{version}.wit"));
    if !path.exists() {
        fs::write(&path, printed(&resolve, package, true)).expect("a new version can be saved");
        panic!("wit/ has the version {version}, which is new; its text was saved as {}: commit it", path.display());
    }
    // Documentation may change without a new version: only the meaning is compared.
    let mut published_resolve = Resolve::default();
    let published = read(&mut published_resolve, &path);
    let [current, published] = [(&resolve, package), (&published_resolve, published)]
        .map(|(resolve, package)| printed(resolve, package, false));
    assert!(
        current == published,
        "wit/ has changed, and its version has not: raise it in wit/world.wit (0.1.x only ever adds), or take the change \
         back. {} has what was published as {version}, and wit/ is now:\n{current}",
        path.display()
    );
}

#[test]
fn version_only_adds_to_older_compatible_ones() {
    let mut alone = Resolve::default();
    let current = read(&mut alone, Path::new(CURRENT));
    let current = version(&alone, current);
    let mut older = 0;
    for file in fs::read_dir(PUBLISHED).expect("the published versions").flatten() {
        if file.file_name().to_string_lossy() == format!("{}.wit", to_text(current)) {
            continue;
        }
        let mut resolve = Resolve::default();
        let old = read(&mut resolve, &file.path());
        let was = version(&resolve, old);
        assert_eq!(file.file_name().to_string_lossy(), format!("{}.wit", to_text(was)));
        if was > current || was[..2] != current[..2] {
            continue;
        }
        let new = read(&mut resolve, Path::new(CURRENT));
        let [old, new] = [old, new].map(|package| world(&resolve, package));
        wit_component::semver_check(resolve, old, new).unwrap_or_else(|error| {
            panic!("a component of {} would not run with {}: {error:#}", to_text(was), to_text(current));
        });
        older += 1;
    }
    assert!(older > 0, "0.1.0 is one");
}

#[test]
fn component_of_version_0_1_0_runs_unchanged() {
    let agent = Agent::without_engine();
    let bytes = fs::read(component("old")).expect("the old collector");
    assert!(bytes.windows(32).any(|name| name == b"mackerel:collector/metrics@0.1.0"), "an old collector");
    let stub_target =
        StubTarget::serving(json!({"memory_alloc": 7, "memory_mallocs": 100, "more": 2.5, "time": 1_000_000_000}));
    let run = format!("run {} --also more --quiet", component("old"));
    insta::assert_snapshot!(agent.definitions(&run).exits(0).without_diagnostics().stdout, @r#"
    # mackerel-agent-plugin
    {"graphs":{"old.#.old":{"label":"Old.# Old","unit":"bytes","metrics":[{"name":"memory_alloc","label":"memory_alloc","stacked":false},{"name":"memory_mallocs","label":"memory_mallocs","stacked":false},{"name":"more","label":"more","stacked":false}]}}}
    "#);
    let values = |run: &str| {
        let output = agent.run(&format!("{run} --target {}", stub_target.target())).exits(0).without_diagnostics();
        output.metrics().of(&format!("old.{}", stub_target.port()))
    };
    let gauges = [("old.memory_alloc".to_owned(), 7.0), ("old.more".to_owned(), 2.5)];
    assert_eq!(values(&run), Values::from(gauges.clone()));
    // 50 more in half a minute, by the target's own clock.
    agent.let_pass(Duration::from_secs(30));
    stub_target.serve(json!({"memory_alloc": 7, "memory_mallocs": 150, "more": 2.5, "time": 31_000_000_000_u64}));
    let rate = ("old.memory_mallocs".to_owned(), 100.0);
    assert_eq!(values(&run), gauges.into_iter().chain([rate]).collect::<Values>());
}

#[test]
fn option_that_only_some_commands_have_costs_a_collector_those_commands_alone() {
    // `--also` of `conf` is newer than the contract 0.1.0, whose collectors can have an option of this name.
    let stub_target = StubTarget::serving(json!({"memory_alloc": 7, "memory_mallocs": 100, "more": 2.5}));
    let agent = Agent::without_engine();
    let _ = agent.run(&format!("install {}", component("old"))).exits(0);
    let options = format!("old --target {} --also more", stub_target.target());
    for command in ["run", "plan", "explain"] {
        let _ = agent.run(&format!("{command} {options}")).exits(0);
    }
    let conf = agent.run(&format!("conf {options}")).exits(1);
    insta::assert_snapshot!(conf.stderr, @"mackerel-plugin-wasm: collector old declares --also, which is an option of the host: rename it in the collector, or use a version of mackerel-plugin-wasm without that option");
}
