//! The policy of signatures: which sources need which keys, and that it cannot be turned off.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use rustix::fs::{FileType, Mode};
use scenarios::registry::Registry;
use scenarios::signing::Signing;
use scenarios::skip;
use scenarios::third_party::named;
use serde_json::{Value, json};

#[test]
fn policy_requires_the_keys_of_the_most_specific_rule() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let address = registry.address();
    let reference = |repository: &str| format!("oci://{address}/{repository}:1");
    let digest = signing.push("strange.wasm", &reference("team/strange"), Some(&signing.ops));
    let _ = signing.push("strange.wasm", &reference("team/eves/strange"), Some(&signing.eve));
    let _ = signing.push("strange.wasm", &reference("teams/strange"), None);
    let [all, team, eves] = [address.to_string(), format!("{address}/team"), format!("oci://{address}/team/eves")];
    let accepted = |source: &str, key| drop(signing.install(source, key).exits(0).without_diagnostics());
    let refused = |source: &str| signing.refused(&format!("install {source}"));
    let mut lines = Vec::new();

    signing.policy(&[(&team, &["ops.pub"]), (&eves, &["eve.pub"])]);
    accepted(&reference("team/strange"), None);
    accepted(&reference("team/eves/strange"), None);
    // Another repository, although its name begins alike, and a file.
    accepted(&reference("teams/strange"), None);
    accepted(&signing.path("strange.wasm").display().to_string(), None);

    signing.policy(&[(&team, &["eve.pub"]), (&all, &["ops.pub", "eve.pub"])]);
    lines.push(refused(&reference("team/strange")));
    lines.push(refused(&format!("oci://{address}/team/strange@{digest}")));
    lines.push(refused(&reference("teams/strange")));
    accepted(&reference("team/eves/strange"), None);
    // An option does not replace the policy.
    lines.push(signing.install_is_refused(&reference("team/strange"), &signing.ops));
    lines.push(signing.install_is_refused(&reference("team/eves/strange"), &signing.ops));
    accepted(&reference("team/eves/strange"), Some(&signing.eve));

    signing.policy(&[("*", &["ops.pub"])]);
    accepted(&reference("team/strange"), None);
    let file = signing.path("strange.wasm").display().to_string();
    lines.push(refused(&file));
    signing.file("strange.wasm.sig", signing.ops.sign(&named("strange")).as_bytes());
    accepted(&file, None);
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn install_all_names_collectors_without_the_signature_that_the_policy_requires() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let _ = signing.push("strange.wasm", &reference, None);
    let _ = signing.install(&reference, None).exits(0).without_diagnostics();
    let of_file = signing.file("another.wasm", &named("another"));
    let _ = signing.install(&of_file.display().to_string(), None).exits(0).without_diagnostics();
    signing.policy(&[(&registry.address().to_string(), &["ops.pub"])]);
    let before = signing.store();
    let output = signing.agent.run("install --all").exits(1);
    assert_eq!(output.stdout, "another is compiled for this version already\n");
    assert_eq!(signing.store(), before);
    let unsigned = signing.mask(&output.stderr);
    // The installed collector still runs: a new policy stops no metrics.
    let _ = signing.agent.definitions("run strange").exits(0).without_diagnostics();

    let _ = signing.push("strange.wasm", &reference, Some(&signing.ops));
    let _ = signing.install(&reference, None).exits(0).without_diagnostics();
    let _ = signing.agent.run("install --all").exits(0).without_diagnostics();
    signing.policy(&[("*", &["eve.pub"])]);
    insta::assert_snapshot!(unsigned + &signing.mask(&signing.agent.run("install --all").exits(1).stderr));
}

#[test]
fn list_and_check_name_a_collector_that_the_policy_does_not_allow_any_more() {
    let Some(signing) = Signing::new() else { return };
    let of_file = |name: &str| signing.file(&format!("{name}.wasm"), &named(name)).display().to_string();
    let _ = signing.install(&of_file("another"), None).exits(0).without_diagnostics();
    signing.policy(&[("*", &["ops.pub"])]);
    signing.file("strange.wasm.sig", signing.ops.sign(&named("strange")).as_bytes());
    let _ = signing.install(&of_file("strange"), None).exits(0).without_diagnostics();
    let stderr = |command: &str, code: i32| signing.mask(&signing.agent.run(command).exits(code).stderr);
    let list = stderr("list", 0);
    assert_eq!(stderr("check another --target 127.0.0.1:1", 2).lines().next(), list.lines().next());
    assert!(!stderr("check strange --target 127.0.0.1:1", 2).contains("policy"));
    signing.in_store("policy", "");
    let unusable = stderr("list", 0);
    assert!(stderr("check strange --target 127.0.0.1:1", 2).contains("policy"));
    insta::assert_snapshot!(list + &unusable);
}

#[test]
fn unusable_policy_is_reported_before_an_empty_folder() {
    let Some(signing) = Signing::new() else { return };
    signing.in_store("policy", "");
    signing.refused("install --all");
    signing.policy(&[]);
    assert_eq!(signing.agent.run("install --all").exits(0).stdout, "no collectors are installed\n");
}

#[test]
fn unusable_policy_refuses_every_install() {
    let Some(signing) = Signing::new() else { return };
    let file = signing.path("strange.wasm").display().to_string();
    let _ = signing.install(&file, None).exits(0).without_diagnostics();
    let refused = || {
        let install = signing.refused(&format!("install {file}"));
        assert_eq!(signing.refused("install --all"), install);
        install
    };
    let rules = |rules: &Value| json!({"format": 1, "require": rules}).to_string();
    let contents = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        json!({"format": 2, "require": []}).to_string(),
        json!({"format": 1, "requires": []}).to_string(),
        json!({"format": 1, "require": [], "default": "accept"}).to_string(),
        rules(&json!([{"from": "*"}])),
        rules(&json!([{"from": "*", "keys": []}])),
        rules(&json!([{"from": "registry.example.com/a:1", "keys": ["ops.pub"]}])),
        rules(&json!([{"from": "https://registry.example.com", "keys": ["ops.pub"]}])),
        rules(&json!([{"from": "registry.example.com/*", "keys": ["ops.pub"]}])),
        rules(&json!([{"from": "team", "keys": ["ops.pub"]}])),
        rules(&json!([
            {"from": "registry.example.com", "keys": ["ops.pub"]},
            {"from": "Registry.example.com:443", "keys": ["eve.pub"]},
        ])),
        rules(&json!([{"from": "*", "keys": ["../ops.pub"]}])),
        rules(&json!([{"from": "registry.example.com", "keys": ["missing.pub"]}])),
        rules(&json!([{"from": "registry.example.com", "keys": ["strange.json"]}])),
        "x".repeat((64 << 10) + 1),
    ];
    signing.policy(&[]);
    let mut lines: Vec<String> = contents
        .iter()
        .map(|content| {
            signing.in_store("policy", content);
            refused()
        })
        .collect();

    let policy = signing.path("store/policy");
    let key = signing.path("store/ops.pub");
    let reset = || {
        for path in [&policy, &key] {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
        signing.policy(&[("registry.example.com", &["ops.pub"])]);
    };
    for path in [&policy, &key] {
        for mode in [0o620, 0o602] {
            reset();
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
            lines.push(refused());
        }
        reset();
        let elsewhere = signing.file("elsewhere", &fs::read(path).expect("our own file"));
        fs::remove_file(path).expect("our own file");
        symlink(elsewhere, path).expect("a link");
        lines.push(refused());
        fs::remove_file(path).expect("our own link");
        fs::create_dir(path).expect("a folder");
        lines.push(refused());
        fs::remove_dir(path).expect("our own folder");
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        // Without `refused`, which reads all files of the store and would wait for the pipe.
        let output = signing.agent.run(&format!("install {file}")).exits(1);
        lines.push(signing.mask(&output.stderr));
        fs::remove_file(path).expect("our own pipe");
    }
    reset();
    let is_root = skip::is_root("a policy of another user");
    if is_root {
        chown(&policy, Some(12345), None).expect("root can");
        assert_eq!(refused(), signing.mask(&unusable(&policy, "it belongs to another user")));
        chown(&policy, Some(0), None).expect("root can");
    }
    insta::assert_snapshot!(lines.concat());
    // Readable by all, as an editor writes it.
    for path in [&policy, &key] {
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("our own file");
    }
    let _ = signing.install(&file, None).exits(0).without_diagnostics();
}

fn unusable(path: &Path, fault: &str) -> String {
    let path = path.display();
    format!(
        "mackerel-plugin-wasm: no collector can be installed: the policy of signatures cannot be used: {path}: {fault}\n"
    )
}
