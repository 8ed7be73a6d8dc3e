//! All scenarios, as modules of one binary: one link in place of one for each file.
//!
//! libtest runs tests in the order of their names, so the scenarios of one file run beside each other.

// Releases
mod artifacts;
mod fleet;
mod window;
mod workflows;

// The command line and its texts
mod budget;
mod completions;
mod definitions;
mod drop_in;
mod names;
mod otlp;
mod rates;
mod readme;
mod sections;
mod selection;
mod signals;
mod slots;
mod state;
mod totals;
mod usage;

// HTTP targets
mod faults;
mod requests;
mod tls;

// Engines and containers
mod containers;
mod ecs_instance;
mod ecs_task;
mod engine_list;
mod engines;
mod labels;
mod left_out;
mod podman;
mod ports;
mod shared_networks;
mod soak;
mod unmatched;
mod vanishing;

// Resource use of containers
mod addresses;
mod cgroups;
mod container_stats;
mod docker;
mod known_work;

// Other built-in collectors
mod prometheus;
mod redis;

// Commands for operators
mod check;
mod conf;
mod dashboards;
mod explain;
mod plan;
mod watch;

// Collectors of third parties
mod catalogue;
mod components;
mod contract;
mod libraries;
mod policy;
mod registry;
mod signatures;
mod store;
mod templates;
mod test_command;

// Attacks
mod compilation;
mod evil;
mod files;
mod memory;

/// A file that is not a module of this one would never run.
#[test]
fn every_file_is_a_module() {
    let this = include_str!("main.rs");
    for entry in std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).expect("the folder of the scenarios") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(this.contains(&format!("\nmod {name};\n")), "tests/{name}.rs is not a module of tests/main.rs");
        }
    }
}
