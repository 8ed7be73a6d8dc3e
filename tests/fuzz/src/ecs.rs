//! The metadata of an ECS task: anything that speaks HTTP can be at its address.

use mackerel_plugin_wasm::internals::{Scope, Target, TaskContainer, Wanted, choose_task_target, parse_task};

use crate::engine::assert_distinct;
use crate::rules::assert_diagnostic;

/// The task: its targets have valid addresses and distinct names.
pub fn task(bytes: &[u8]) {
    let Ok((containers, unreadable)) = parse_task(bytes) else { return };
    assert_diagnostic("task", &unreadable.to_string());
    for wanted in [None, Some(80)] {
        let targets = targets(&containers, Scope::Endpoint, wanted);
        for address in targets.iter().map(|target| target.address().expect("an endpoint has an address")) {
            assert!(address.port > 0);
            assert!(!matches!(address.host.as_str(), "" | "0.0.0.0" | "::"), "{address}");
        }
        assert_distinct(&targets);
    }
    assert_distinct(&targets(&containers, Scope::Container, None));
}

/// Returns the targets among `containers`. Asserts that the reasons of all others are valid lines.
fn targets(containers: &[TaskContainer], scope: Scope, wanted: Option<u16>) -> Vec<Target> {
    let mut targets = Vec::new();
    for one in containers {
        match choose_task_target(one, scope, wanted.map(Wanted::by_option)) {
            Ok(target) => targets.push(target),
            Err(reason) => assert_diagnostic(&one.container.name, &reason.to_string()),
        }
    }
    targets
}
