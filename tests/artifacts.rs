//! The files of `make dist`, each installed and run on a machine of its own: an empty folder, a Debian, a root of rpm,
//! a container; and the arm64 program under emulation. `make dist-test` runs them, and `make test` does not, because a
//! build of the files takes half an hour.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use scenarios::agent::{Agent, component, program};
use scenarios::engine::Engine;
use scenarios::stub_target::StubTarget;
use scenarios::third_party::{named, sha256};
use scenarios::{skip, stats};
use tempfile::TempDir;

/// The time between two runs.
const MINUTE: Duration = Duration::from_mins(1);

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the path of a file of the release.
fn artifact(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/artifacts").join(name);
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: run `make dist` first", path.display()))
}

/// Runs a command with success, and returns its stdout.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}

/// Returns a command of these words.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// Returns a command with the `/proc` of a root mounted, if the root has that folder, and a clean environment.
fn mounted(root: &Path, words: &[&str]) -> Command {
    let order = r#"[ ! -d "$0/proc" ] || mount -t proc proc "$0/proc"; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", order]).arg(root).args(words);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", "/tmp");
    command
}

/// Returns a command in a root. Its network is that of this machine.
fn inside(root: &Path, words: &[&str]) -> Command {
    let root_name = root.display().to_string();
    mounted(root, &[&["chroot", &root_name], words].concat())
}

fn is_root_with(commands: &[&str], untested: &str) -> bool {
    skip::is_root(untested) && skip::has_commands(commands, untested)
}

/// Asserts that a program inside of a root lists its collectors, and collects from a target on this machine.
fn works_inside(root: &Path, program: &str) {
    assert_eq!(output(&mut inside(root, &[program, "--version"])), format!("mackerel-plugin-wasm {VERSION}\n"));
    assert_eq!(output(&mut inside(root, &[program, "list"])).lines().count(), 4);
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let values = output(&mut inside(root, &[program, "run", "gostats", "--target", &target.target()]));
    assert!(values.starts_with(&format!("gostats.{}.runtime.goroutine_num\t", target.port())), "{values}");
}

#[test]
#[ignore = "needs `make dist`"]
fn sums_are_those_of_the_files() {
    let folder = artifact("SHA256SUMS").parent().expect("a folder").to_owned();
    let listed = output(command(&["sha256sum", "--check", "SHA256SUMS"]).current_dir(&folder));
    let files = fs::read_dir(&folder).expect("the artifacts").count();
    assert_eq!(listed.lines().filter(|line| line.ends_with(": OK")).count(), files - 1, "{listed}");
}

#[test]
#[ignore = "needs `make dist`"]
fn programs_are_static_and_small() {
    for (arch, machine) in [("amd64", 62), ("arm64", 183)] {
        let bytes = fs::read(artifact(&format!("mackerel-plugin-wasm_linux_{arch}"))).expect("a program");
        assert!(bytes.len() <= 30_000_000, "{arch}: {} bytes", bytes.len());
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
        assert_eq!(u16::from_le_bytes([bytes[18], bytes[19]]), machine, "{arch}");
        // No program header names an interpreter (PT_INTERP, 3): the file needs no dynamic linker.
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (size, count) = (usize::from(number(54)), usize::from(number(56)));
        for header in bytes[64..].chunks(size).take(count) {
            assert_ne!(header[0], 3, "{arch}: dynamically linked");
        }
        let text = String::from_utf8_lossy(&bytes);
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").display().to_string();
        assert!(!text.contains(&here), "{arch}: a path of the build machine");
    }
}

#[test]
#[ignore = "needs `make dist`"]
fn archives_have_the_form_that_mkr_installs() {
    if !skip::has_commands(&["python3"], "archives for mkr") {
        return;
    }
    for arch in ["amd64", "arm64"] {
        // mkr derives the name of the asset from the repository's name and Go's names of system and architecture.
        let archive = artifact(&format!("mackerel-plugin-wasm_linux_{arch}.zip"));
        let script = "import sys, zipfile\n\
                      for file in zipfile.ZipFile(sys.argv[1]).infolist():\n    \
                      print(oct(file.external_attr >> 16), file.filename)";
        let listed = output(command(&["python3", "-c", script]).arg(&archive));
        let folders: BTreeSet<_> =
            listed.lines().filter_map(|line| line.split(' ').nth(1)?.split('/').next()).collect();
        assert_eq!(folders, BTreeSet::from([&*format!("mackerel-plugin-wasm_linux_{arch}")]), "one folder");
        // It copies executables whose names begin with mackerel-plugin- or check-.
        let executables: Vec<_> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(mode, name)| mode.ends_with("755") && !name.ends_with('/'))
            .map(|(_, name)| name.rsplit('/').next().unwrap_or_default())
            .collect();
        assert_eq!(executables, ["mackerel-plugin-wasm"], "{listed}");
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-LICENSES.txt"] {
            assert!(listed.contains(&format!("/{file}\n")), "{listed}");
        }
    }
}

#[test]
#[ignore = "needs `make dist`"]
fn static_file_runs_in_an_empty_folder() {
    if !is_root_with(&["chroot"], "the static program in an empty folder") {
        return;
    }
    let root = TempDir::new().expect("a temporary folder");
    fs::create_dir(root.path().join("tmp")).expect("a folder");
    fs::copy(artifact("mackerel-plugin-wasm_linux_amd64"), root.path().join("plugin")).expect("a copy");
    works_inside(root.path(), "/plugin");
}

/// Returns the server from which this machine's apt gets its release, and the name of the release.
fn debian() -> Option<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?.to_owned();
    let uris = output(&mut command(&["apt-get", "-o", "Debug::NoLocking=1", "update", "--print-uris"]));
    let end = format!("/dists/{name}/InRelease'");
    let server = uris.lines().find_map(|line| Some(line.strip_prefix('\'')?.split_once(&end)?.0.to_owned()))?;
    Some((server, name))
}

/// The folder of root's installed collectors.
const STORE: &str = "var/lib/mackerel-plugin-wasm";

#[test]
#[ignore = "needs `make dist`"]
fn deb_installs_on_debian_and_leaves_nothing_after_purge() {
    if !is_root_with(&["debootstrap", "chroot", "apt-get"], "the deb on a Debian of its own") {
        return;
    }
    let Some((server, release)) = debian() else { return skip::notice("no Debian", "the deb on a Debian of its own") };
    let root = TempDir::new().expect("a temporary folder");
    let path = root.path();
    output(command(&["debootstrap", "--variant=minbase", &release]).arg(path).arg(server));
    let files = || {
        output(command(&["find", ".", "-path", "*mackerel*", "-not", "-path", "./var/lib/dpkg/*"]).current_dir(path))
    };
    assert_eq!(files(), "");
    let package = format!("mackerel-plugin-wasm_{VERSION}-1_amd64.deb");
    fs::copy(artifact(&package), path.join("tmp/package.deb")).expect("a copy");
    output(&mut inside(path, &["dpkg", "--install", "/tmp/package.deb"]));
    works_inside(path, "mackerel-plugin-wasm");
    for file in [
        "usr/share/man/man1/mackerel-plugin-wasm.1.gz",
        "usr/share/man/man1/mackerel-plugin-wasm-run-gostats.1.gz",
        "usr/share/bash-completion/completions/mackerel-plugin-wasm",
        "usr/share/zsh/vendor-completions/_mackerel-plugin-wasm",
        "usr/share/fish/vendor_completions.d/mackerel-plugin-wasm.fish",
    ] {
        // minbase excludes nothing, but images of containers leave documentation out.
        assert!(path.join(file).exists(), "{file}");
    }
    reinstalls_with_collectors(path, |root| inside(root, &["dpkg", "--install", "/tmp/package.deb"]));
    output(&mut inside(path, &["dpkg", "--remove", "mackerel-plugin-wasm"]));
    assert!(path.join(STORE).exists() && !path.join("usr/bin/mackerel-plugin-wasm").exists());
    output(&mut inside(path, &["dpkg", "--purge", "mackerel-plugin-wasm"]));
    fs::remove_file(path.join("tmp/package.deb")).expect("our own file");
    // The state of runs, in the folder for temporary files.
    fs::remove_dir_all(path.join("tmp/mackerel-plugin-wasm-0")).expect("the state");
    assert_eq!(files(), "");
}

/// Installs a collector and a broken one, and the package again: its script compiles the one, and the other does not
/// fail it.
fn reinstalls_with_collectors(root: &Path, install: impl Fn(&Path) -> Command) {
    for name in ["strange", "tedious"] {
        fs::write(root.join(format!("tmp/{name}.wasm")), named(name)).expect("a file");
        output(&mut inside(root, &["/usr/bin/mackerel-plugin-wasm", "install", &format!("/tmp/{name}.wasm")]));
        fs::remove_file(root.join(format!("tmp/{name}.wasm"))).expect("our own file");
    }
    let store = root.join(STORE);
    for entry in fs::read_dir(&store).expect("the store").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().extension().is_some_and(|extension| extension == "code") {
            fs::remove_file(entry.path()).expect("a file of the store");
        }
        if name == "tedious.json" {
            fs::write(entry.path(), "not a record").expect("a file of the store");
        }
    }
    let reinstalled = output(&mut install(root));
    assert!(reinstalled.contains("strange compiled in "), "{reinstalled}");
    let inspected = output(&mut inside(root, &["/usr/bin/mackerel-plugin-wasm", "inspect", "strange"]));
    assert!(inspected.contains(&format!("compiled  by mackerel-plugin-wasm {VERSION}, wasmtime ")), "{inspected}");
}

#[test]
#[ignore = "needs `make dist`"]
fn rpm_installs_in_a_root_of_its_own() {
    if !is_root_with(&["rpm", "chroot", "busybox"], "the rpm in a root of its own") {
        return;
    }
    let root = TempDir::new().expect("a temporary folder");
    let path = root.path();
    // A shell for its script, and nothing else.
    for folder in ["bin", "usr/bin", "tmp", "var/lib/rpm", "proc"] {
        fs::create_dir_all(path.join(folder)).expect("a folder");
    }
    fs::copy("/bin/busybox", path.join("bin/busybox")).expect("busybox-static");
    for name in ["sh", "env", "timeout"] {
        symlink("/bin/busybox", path.join("bin").join(name)).expect("a link");
    }
    symlink("/bin/env", path.join("usr/bin/env")).expect("a link");
    let package = artifact(&format!("mackerel-plugin-wasm-{VERSION}-1.x86_64.rpm"));
    let rpm = |words: &[&str]| {
        let name = path.display().to_string();
        mounted(path, &[&["rpm", "--root", &name, "--dbpath", "/var/lib/rpm"], words].concat())
    };
    // The root has no package that provides /bin/sh.
    let package = package.display().to_string();
    output(&mut rpm(&["--install", "--nodeps", &package]));
    works_inside(path, "/usr/bin/mackerel-plugin-wasm");
    reinstalls_with_collectors(path, |_| rpm(&["--install", "--nodeps", "--replacepkgs", &package]));
    let listed = output(&mut rpm(&["--query", "--list", "mackerel-plugin-wasm"]));
    for file in [
        "/usr/share/man/man1/mackerel-plugin-wasm-run.1.gz",
        "/usr/share/zsh/site-functions/_mackerel-plugin-wasm",
        "/usr/share/doc/mackerel-plugin-wasm/LICENSE-MIT",
    ] {
        assert!(listed.contains(&format!("{file}\n")) && path.join(&file[1..]).exists(), "{listed}");
    }
    output(&mut rpm(&["--erase", "--nodeps", "mackerel-plugin-wasm"]));
    assert!(!path.join("usr/bin/mackerel-plugin-wasm").exists());
    assert_eq!(output(command(&["find", ".", "-path", "*share*mackerel*"]).current_dir(path)), "");
    let query = output(
        command(&["rpm", "--query", "--package", "--queryformat", "%{ARCH} %{LICENSE}"])
            .arg(artifact(&format!("mackerel-plugin-wasm-{VERSION}-1.aarch64.rpm"))),
    );
    assert_eq!(query, "aarch64 MIT OR Apache-2.0");
}

#[test]
#[ignore = "needs `make dist`"]
fn image_collects_from_containers() {
    let Some(engine) = Engine::find_local() else { return };
    let docker = |words: &[&str]| output(command(&["docker", "--host", engine.host()]).args(words));
    let archive = artifact("mackerel-plugin-wasm_linux_amd64.image.tar").display().to_string();
    let image = format!("mackerel-plugin-wasm:{VERSION}-amd64");
    assert!(docker(&["load", "--input", &archive]).contains(&image));
    let group = engine.group();
    let app = group.app("api");
    let socket = format!("{}:/var/run/docker.sock", engine.host().trim_start_matches("unix://"));
    let filter = group.filter();
    let run = |words: &[&str]| {
        let own = ["run", "--rm", "--network", "host", "--volume", &socket, &image];
        docker(&[&own[..], words].concat())
    };
    let values = run(&["run", "gostats", "--path", "/stats", "--filter", &filter]);
    assert!(values.starts_with(&format!("{}.runtime.goroutine_num\t", app.key())), "{values}");
    let usage = run(&["run", "docker", "--filter", &filter]);
    assert!(usage.contains("docker.memory."), "{usage}");
    assert_eq!(docker(&["image", "inspect", "--format", "{{.Architecture}} {{.Os}}", &image]).trim(), "amd64 linux");
    docker(&["image", "rm", &image]);
    // The other architecture: its manifest is read, and nothing is run.
    let archive = artifact("mackerel-plugin-wasm_linux_arm64.image.tar").display().to_string();
    let image = format!("mackerel-plugin-wasm:{VERSION}-arm64");
    docker(&["load", "--input", &archive]);
    assert_eq!(docker(&["image", "inspect", "--format", "{{.Architecture}} {{.Os}}", &image]).trim(), "arm64 linux");
    docker(&["image", "rm", &image]);
}

#[test]
#[ignore = "needs `make dist`"]
fn images_are_oci_layouts_with_certificates() {
    for arch in ["amd64", "arm64"] {
        let folder = TempDir::new().expect("a temporary folder");
        let archive = artifact(&format!("mackerel-plugin-wasm_linux_{arch}.image.tar"));
        output(command(&["tar", "--extract", "--file"]).arg(&archive).arg("--directory").arg(folder.path()));
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let json = |bytes: Vec<u8>| -> serde_json::Value { serde_json::from_slice(&bytes).expect("JSON") };
        let blob = |descriptor: &serde_json::Value| {
            let digest = descriptor["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
            let bytes = read(&format!("blobs/sha256/{digest}"));
            assert_eq!((sha256(&bytes), Some(bytes.len() as u64)), (digest, descriptor["size"].as_u64()));
            bytes
        };
        assert_eq!(json(read("oci-layout"))["imageLayoutVersion"], "1.0.0");
        let manifest = json(blob(&json(read("index.json"))["manifests"][0]));
        let config = json(blob(&manifest["config"]));
        assert_eq!((&config["architecture"], &config["os"]), (&arch.into(), &"linux".into()));
        let layer = folder.path().join("layer.tar");
        fs::write(&layer, blob(&manifest["layers"][0])).expect("a file");
        let listed = output(command(&["tar", "--list", "--file"]).arg(&layer));
        for name in ["usr/bin/mackerel-plugin-wasm", "etc/ssl/certs/ca-certificates.crt", "tmp/"] {
            assert!(listed.lines().any(|line| line == name), "{listed}");
        }
    }
}

/// Starts a program with the emulator, as the kernel does: the program starts itself to compile a component. The kernel
/// (6.7 or later) keeps this setting in a namespace of users.
const EMULATED: &str = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
cat /usr/lib/binfmt.d/qemu-aarch64.conf > /proc/sys/fs/binfmt_misc/register
exec \"$@\"";

/// The x86-64 program, and the arm64 one under emulation.
fn both_architectures(untested: &str) -> Option<[Agent; 2]> {
    if !is_root_with(&["qemu-aarch64-static"], untested) {
        return None;
    }
    let emulator = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", EMULATED, "sh"];
    let agent =
        |arch: &str| Agent::without_engine().with_program(artifact(&format!("mackerel-plugin-wasm_linux_{arch}")));
    Some([agent("amd64"), agent("arm64").with_launcher(&emulator)])
}

#[test]
#[ignore = "needs `make dist`"]
fn both_architectures_print_the_same() {
    let Some(agents) = both_architectures("the arm64 program") else { return };
    let target = StubTarget::serving(stats::body(stats::now(), 7));
    let file = component("gostats");
    let commands = [
        "list".to_owned(),
        format!("run gostats --target {}", target.target()),
        "inspect redis".to_owned(),
        format!("run {file} --target {}", target.target()),
    ];
    for command in commands {
        let [here, there] = agents.each_ref().map(|agent| {
            let output = agent.run(&command).exits(0).without_diagnostics();
            // The time of a run differs.
            let fields = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join("\t");
            output.stdout.lines().map(fields).collect::<Vec<_>>()
        });
        assert!(here.len() > 3, "{command}: {here:?}");
        assert_eq!(here, there, "{command}");
    }
    for collector in ["docker", "gostats", "redis"] {
        let [here, there] =
            agents.each_ref().map(|agent| agent.definitions(&format!("run {collector}")).exits(0).stdout);
        assert!(here.len() > 100, "{here}");
        assert_eq!(here, there, "{collector}");
    }
}

#[test]
#[ignore = "needs `make dist`"]
fn upgrade_keeps_counters_and_installed_collectors() {
    // The other build has another C library and another profile: its compiled code may differ, its files may not.
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("mackerel-plugin-wasm");
    let install = |program: &Path| {
        // As a package does: a running program keeps its file.
        fs::copy(program, folder.path().join("new")).expect("a copy");
        fs::rename(folder.path().join("new"), &place).expect("our own file");
    };
    install(&program());
    let agent = Agent::without_engine().with_program(place.clone());
    let (begin, target) = (stats::now(), StubTarget::serving(stats::body(0, 0)));
    let file = folder.path().join("strange.wasm");
    fs::write(&file, named("strange")).expect("a file");
    let _ = agent.run(&format!("install {}", file.display())).exits(0).without_diagnostics();
    fs::remove_file(&file).expect("our own file");
    let commands = ["gostats", "strange"].map(|name| format!("run {name} --target {}", target.target()));
    let run = |seconds: u64, count: u64| {
        target.serve(stats::body(begin + seconds * 1_000_000_000, count));
        commands.each_ref().map(|command| agent.run(command).exits(0).without_diagnostics())
    };
    let _ = run(0, 100);
    agent.let_pass(MINUTE);
    let before = run(60, 160).map(|output| output.metrics().count());

    install(&artifact("mackerel-plugin-wasm_linux_amd64"));
    let _ = agent.run("install --all").exits(0).without_diagnostics();
    agent.let_pass(MINUTE);
    let after = run(120, 220);
    // No counter is missing, and so no run was a first one.
    assert_eq!(after.each_ref().map(|output| output.metrics().count()), before);
    for output in &after {
        assert!(output.advice.is_empty() && output.elapsed < Duration::from_secs(2), "{output}");
    }
    let code = |agent: &Agent| {
        let store = agent.workdir().join("store");
        let files = fs::read_dir(store).expect("the store").flatten();
        let of = |entry: fs::DirEntry| (entry.file_name(), entry.metadata().and_then(|file| file.modified()).ok());
        files.map(of).filter(|(name, _)| name.to_string_lossy().ends_with(".code")).collect::<Vec<_>>()
    };
    let compiled = code(&agent);
    assert_eq!(compiled.len(), 1, "{compiled:?}");
    agent.let_pass(MINUTE);
    let _ = run(180, 280);
    assert_eq!(code(&agent), compiled, "no run compiles");
    assert_eq!(fs::metadata(&place).expect("the program").permissions().mode() & 0o111, 0o111);
}
