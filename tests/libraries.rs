//! The addresses that ordinary libraries reach from a sandbox: only their target, by `wasi:sockets` as in Python, or by
//! `wasi:http` as in JavaScript's `fetch`. Rust's standard library is part of the attacks in `evil`.

use std::fs;

use scenarios::agent::Agent;
use scenarios::attack::{lines, one_line};
use scenarios::project::{JAVASCRIPT, Language, PYTHON, Project};
use scenarios::witness::Witness;

/// Builds a collector that tries many addresses, runs it, and returns its one error.
fn explore(language: Language, files: &[(&str, &str)], commands: &[&str]) -> Option<String> {
    let project = Project::new("curious", language)?;
    for (path, text) in files {
        fs::write(project.path().join(path), text).expect("a file");
    }
    for command in commands {
        project.run(command);
    }
    let agent = Agent::without_engine();
    // It is compiled here, because that takes longer than a run may.
    let component = project.path().join("curious.wasm");
    let installed = agent.run(&format!("install {}", component.display())).exits(0).without_diagnostics();
    println!("{installed}");
    let target = Witness::new();
    let output = agent.run(&format!("run curious --target {} --cpu-limit 4s", target.target())).exits(1);
    target.assert_nothing_elsewhere();
    assert_eq!(output.stdout, "", "{output}");
    let line = one_line(&output);
    assert_eq!(line, lines(&output));
    let ports = [(target.port(), ":OWN"), (target.other(), ":OTHER")];
    Some(ports.iter().fold(output.stderr.clone(), |line, (port, name)| line.replace(&format!(":{port}"), name)))
}

#[test]
fn python_socket_and_urllib_reach_only_their_target() {
    let app = ("app.py", include_str!("libraries/curious.py"));
    let commands = [
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        ".venv/bin/componentize-py -d wit -w plugin componentize app -o curious.wasm",
    ];
    let Some(line) = explore(PYTHON, &[app], &commands) else { return };
    insta::assert_snapshot!(line, @"mackerel-plugin-wasm: curious: 127.0.0.1:OWN: 62 refused, reached by_socket 127.0.0.1:OWN, by_urllib 127.0.0.1:OWN; denied: 127.0.0.1:OTHER (TCP), 127.0.0.2:OWN (TCP), 127.0.0.2:OTHER (TCP) and 40 more (a collector can only reach its own target)");
}

#[test]
fn javascript_fetch_reaches_only_its_target() {
    let app = ("curious.js", include_str!("libraries/curious.js"));
    let package =
        r#"{"private": true, "type": "module", "dependencies": {"@bytecodealliance/componentize-js": "0.23.0"}}"#;
    let commands = ["npm install", "npx componentize-js curious.js -w wit -n plugin -o curious.wasm"];
    let Some(line) = explore(JAVASCRIPT, &[app, ("package.json", package)], &commands) else { return };
    insta::assert_snapshot!(line, @"mackerel-plugin-wasm: curious: 127.0.0.1:OWN: 24 refused, reached 127.0.0.1:OWN/ 200, 127.1:OWN/ 200, 0x7f000001:OWN/ 200, [::ffff:127.0.0.1]:OWN/ 200, 127.0.0.1:OWN/redirect 302, 127.1:OWN/redirect 302, 0x7f000001:OWN/redirect 302, [::ffff:127.0.0.1]:OWN/redirect 302; the target returned HTTP 302 Found; Location: http://127.0.0.1:OTHER/; denied: http://127.0.0.1:OTHER (GET), http://127.0.0.2:OWN (GET), http://127.0.0.2:OTHER (GET) and 14 more (a collector can only reach its own target)");
}
