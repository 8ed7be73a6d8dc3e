//! The files of `make dist`, each installed and run on a machine of its own: an empty folder, a Debian, a root of rpm,
//! a container; and the arm64 program under emulation. `make dist-test` runs them, and `make test` does not, because a
//! build of the files takes half an hour.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use scenarios::agent::{Agent, component, program};
use scenarios::engine::Engine;
use scenarios::http::{self, Reply};
use scenarios::server::Server;
use scenarios::stub_target::StubTarget;
use scenarios::third_party::{named, sha256};
use scenarios::{port, skip, stats};
use tempfile::TempDir;

/// The time between two runs.
const MINUTE: Duration = Duration::from_mins(1);

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the build that scripts/dist-test.sh makes for upgrades.
const OLDER: &str = "0.0.9";

/// Returns the path of a file of the release.
fn artifact(name: &str) -> PathBuf {
    built("artifacts", name, "make dist")
}

/// Returns the path of a file of the build with the version [`OLDER`].
fn older(name: &str) -> PathBuf {
    built("older", name, "make dist-test")
}

fn built(folder: &str, name: &str, by: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(folder).join(name);
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: run `{by}` first", path.display()))
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

/// Serves one file at every path.
fn serve_file(bytes: Vec<u8>) -> (u16, Server) {
    let listener = port::listen();
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let server = Server::start(listener, move |mut stream| {
        let mut lines = BufReader::new(&stream).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
    });
    (port, server)
}

#[test]
#[ignore = "needs `make dist`"]
fn mkr_installs_and_replaces_the_program() {
    if !skip::has_commands(&["mkr"], "the installation by mkr") {
        return;
    }
    let archive = artifact("mackerel-plugin-wasm_linux_amd64.zip");
    let name = archive.file_name().and_then(|name| name.to_str()).expect("a name");
    let (port, _server) = serve_file(fs::read(&archive).expect("the archive"));
    for url in [format!("file://{}", archive.display()), format!("http://127.0.0.1:{port}/{name}")] {
        let home = TempDir::new().expect("a temporary folder");
        let plugins = home.path().join("plugins");
        let install = |options: &[&str]| {
            let mut mkr = command(&["mkr", "plugin", "install"]);
            mkr.arg("--prefix").arg(&plugins).args(options).arg(&url);
            output(mkr.env("HOME", home.path()))
        };
        install(&[]);
        let files: Vec<_> = fs::read_dir(plugins.join("bin")).expect("a folder").flatten().collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        let file = file.path();
        assert_eq!(file.file_name(), Some("mackerel-plugin-wasm".as_ref()));
        assert_eq!(output(Command::new(&file).arg("--version")), format!("mackerel-plugin-wasm {VERSION}\n"));
        // For an upgrade, the README names the option.
        fs::write(&file, "an older version").expect("our own file");
        install(&[]);
        assert_eq!(fs::read(&file).expect("a file"), b"an older version");
        install(&["--overwrite"]);
        assert_eq!(output(Command::new(&file).arg("--version")), format!("mackerel-plugin-wasm {VERSION}\n"));
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

/// Installs a Debian of the release of this machine into a folder. Reports it if that is not possible.
fn debian_root(untested: &str) -> Option<TempDir> {
    if !is_root_with(&["debootstrap", "chroot", "apt-get"], untested) {
        return None;
    }
    let Some((server, release)) = debian() else {
        skip::notice("no Debian", untested);
        return None;
    };
    let root = TempDir::new().expect("a temporary folder");
    output(command(&["debootstrap", "--variant=minbase", &release]).arg(root.path()).arg(server));
    assert_eq!(own_files(root.path()), "");
    Some(root)
}

/// Lists the files of the package in a root, and those that the program wrote.
fn own_files(root: &Path) -> String {
    output(command(&["find", ".", "-path", "*mackerel*", "-not", "-path", "./var/lib/dpkg/*"]).current_dir(root))
}

/// Installs a deb in a root, also if this version is installed, and returns its output.
fn install_deb(root: &Path, package: &Path) -> String {
    let copy = root.join("tmp/package.deb");
    fs::copy(package, &copy).expect("a copy");
    let printed = output(&mut inside(root, &["apt", "install", "--yes", "--reinstall", "/tmp/package.deb"]));
    fs::remove_file(copy).expect("our own file");
    printed
}

/// The folder of root's installed collectors.
const STORE: &str = "var/lib/mackerel-plugin-wasm";

#[test]
#[ignore = "needs `make dist`"]
fn deb_installs_on_debian_and_leaves_nothing_after_purge() {
    let Some(root) = debian_root("the deb on a Debian of its own") else { return };
    let path = root.path();
    let package = artifact(&format!("mackerel-plugin-wasm_{VERSION}-1_amd64.deb"));
    install_deb(path, &package);
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
    reinstalls_with_collectors(path, || install_deb(path, &package));
    output(&mut inside(path, &["dpkg", "--remove", "mackerel-plugin-wasm"]));
    assert!(path.join(STORE).exists() && !path.join("usr/bin/mackerel-plugin-wasm").exists());
    output(&mut inside(path, &["dpkg", "--purge", "mackerel-plugin-wasm"]));
    // The state of runs, in the folder for temporary files.
    fs::remove_dir_all(path.join("tmp/mackerel-plugin-wasm-0")).expect("the state");
    assert_eq!(own_files(path), "");
}

/// A server with the pages of nginx and of PHP-FPM, whose counters a scenario sets.
struct Pages {
    count: Arc<AtomicU64>,
    port: u16,
    _server: Server,
}

impl Pages {
    fn start() -> Self {
        let count = Arc::new(AtomicU64::new(0));
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shown = Arc::clone(&count);
        let server = http::serve(listener, move |path| {
            let count = shown.load(Ordering::Relaxed);
            if path.starts_with("/status") {
                return Reply::Whole(200, format!(r#"{{"pool":"www","active processes":1,"slow requests":{count}}}"#));
            }
            Reply::Raw(format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nActive connections: 1 \nserver accepts handled requests\n                  {count} {count} {count} \nReading: 0 Writing: 1 Waiting: 0 \n"
            ))
        });
        Self { count, port, _server: server }
    }
}

/// Starts the program in a root, with the folder for state mounted at the same path.
const IN_ROOT: &str = r#"root=$0 workdir=$1
shift
mount -t proc proc "$root/proc"
mkdir -p "$root/$workdir"
mount --bind "$workdir" "$root/$workdir"
exec unshare --root="$root" "$@""#;

#[test]
#[ignore = "needs `make dist`"]
fn deb_upgrade_keeps_counters_and_compiles_installed_collectors() {
    let Some(root) = debian_root("the upgrade of the deb") else { return };
    let path = root.path();
    install_deb(path, &older(&format!("mackerel-plugin-wasm_{OLDER}-1_amd64.deb")));
    // One in Rust, and one in Python, whose compilation takes longer than a run may.
    let names = ["nginx", "php-fpm"];
    for name in names {
        let copy = path.join("tmp/collector.wasm");
        fs::copy(artifact(&format!("{name}.wasm")), &copy).expect("a copy");
        output(&mut inside(path, &["mackerel-plugin-wasm", "install", "/tmp/collector.wasm"]));
        fs::remove_file(copy).expect("our own file");
    }
    let assert_compiled_by = |version: &str| {
        for name in names {
            let inspected = output(&mut inside(path, &["mackerel-plugin-wasm", "inspect", name]));
            let line = format!("compiled  by mackerel-plugin-wasm {version}, wasmtime ");
            assert!(inspected.contains(&line), "{inspected}");
        }
    };
    assert_compiled_by(OLDER);

    let agent = Agent::without_engine();
    let [root_name, workdir] = [path, agent.workdir()].map(|path| path.display().to_string());
    let agent = agent
        .with_launcher(&["unshare", "--mount", "sh", "-euc", IN_ROOT, &root_name, &workdir])
        .with_program("/usr/bin/mackerel-plugin-wasm".into())
        .with_env("MACKEREL_PLUGIN_WASM_STORE", Path::new("/").join(STORE));
    let pages = Pages::start();
    let (begin, target) = (stats::now(), StubTarget::serving(stats::body(0, 0)));
    let run = |count: u64| {
        pages.count.store(count, Ordering::Relaxed);
        // One second later for each: the target has a clock of its own.
        target.serve(stats::body(begin + count * 1_000_000_000, count));
        let of = |name: &str, target: &str| {
            let output = agent.run(&format!("run {name} --target {target}")).exits(0).without_diagnostics();
            assert!(output.advice.is_empty() && output.elapsed < Duration::from_secs(5), "{output}");
            output.metrics().keys().iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()
        };
        let page = format!("127.0.0.1:{}", pages.port);
        [of("gostats", &target.target()), of("nginx", &page), of("php-fpm", &page)].concat()
    };
    let first = run(100);
    agent.let_pass(MINUTE);
    let second = run(160);
    // A first run prints no counters.
    assert!(first.len() < second.len(), "{second:?}");

    let printed = install_deb(path, &artifact(&format!("mackerel-plugin-wasm_{VERSION}-1_amd64.deb")));
    for name in names {
        assert!(printed.contains(&format!("{name} compiled in ")), "{printed}");
    }
    assert_compiled_by(VERSION);
    let compiled = code_files(&path.join(STORE));
    assert_eq!(compiled.len(), names.len(), "{compiled:?}");
    // No run is a first one, and none compiles.
    for count in [220, 280] {
        agent.let_pass(MINUTE);
        assert_eq!(run(count), second);
    }
    assert_eq!(code_files(&path.join(STORE)), compiled);

    output(&mut inside(path, &["dpkg", "--purge", "mackerel-plugin-wasm"]));
    assert_eq!(own_files(path), "");
}

/// Lists the files of compiled code in a folder, with the times of their changes.
fn code_files(store: &Path) -> Vec<(PathBuf, Option<SystemTime>)> {
    let paths = fs::read_dir(store).expect("the store").flatten().map(|entry| entry.path());
    let code = paths.filter(|path| path.extension().is_some_and(|extension| extension == "code"));
    code.map(|path| (path.clone(), fs::metadata(&path).and_then(|file| file.modified()).ok())).collect()
}

/// Installs a collector and a broken one, and the package again: its script compiles the one, and the other does not
/// fail it.
fn reinstalls_with_collectors(root: &Path, install: impl Fn() -> String) {
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
    let reinstalled = install();
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
    reinstalls_with_collectors(path, || output(&mut rpm(&["--install", "--nodeps", "--replacepkgs", &package])));
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

/// Held while an image of the release is loaded, because its name is the same in all scenarios.
static LOADED: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "needs `make dist`"]
fn image_collects_from_containers() {
    let Some(engine) = Engine::find_local() else { return };
    let _loaded = LOADED.lock();
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

/// An image in place of mackerel-container-agent's, which is in a registry: with a shell, and its entry point.
const CONTAINER_AGENT: &str = "FROM scratch
COPY busybox /bin/sh
COPY agent /usr/local/bin/mackerel-container-agent
ENTRYPOINT [\"/usr/local/bin/mackerel-container-agent\"]
";

#[test]
#[ignore = "needs `make dist`"]
fn images_of_the_container_agent_run_read_only() {
    let Some(engine) = Engine::find_local() else { return };
    if !skip::has_commands(&["busybox"], "images of mackerel-container-agent") {
        return;
    }
    let _loaded = LOADED.lock();
    let docker = |words: &[&str]| output(command(&["docker", "--host", engine.host()]).args(words));
    let group = engine.group();
    let app = group.app("api");
    let folder = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    let copy = |from: &Path, name: &str| {
        fs::copy(from, folder.path().join(name)).expect("a copy");
    };
    let images = ["agent", "packaging", "guide"].map(|name| format!("{}-{name}", group.name()));
    let [agent_image, of_packaging, of_guide] = images.each_ref();
    let build = |tag: &str, file: &str, arguments: &[&str]| {
        let context = folder.path().display().to_string();
        docker(&[&["build", "--tag", tag, "--file", file], arguments, &[&context]].concat());
    };
    copy("/bin/busybox".as_ref(), "busybox");
    write("agent", "#!/bin/sh\nexec \"$@\"\n");
    fs::set_permissions(folder.path().join("agent"), fs::Permissions::from_mode(0o755)).expect("our own file");
    write("Dockerfile", CONTAINER_AGENT);
    build(agent_image, &folder.path().join("Dockerfile").display().to_string(), &[]);

    let filter = group.filter();
    let words = ["run", "gostats", "--path", "/stats", "--filter", &filter];
    let socket = format!("{}:/var/run/docker.sock", engine.host().trim_start_matches("unix://"));
    let state = "MACKEREL_PLUGIN_WORKDIR=/var/lib/mackerel-plugin-wasm";
    let collects = |image: &str, program: &str| {
        let volume = TempDir::new().expect("a temporary folder");
        let volume = format!("{}:/var/lib/mackerel-plugin-wasm", volume.path().display());
        let own = ["run", "--rm", "--read-only", "--network", "host", "--volume", &socket, "--volume", &volume];
        let run = || docker(&[&own[..], &["--env", state, image, program], &words].concat());
        let [first, second] = [run(), run()].map(|values| values.lines().count());
        assert!(0 < first && first < second, "{first} metrics, then {second} with counters of {}", app.name());
    };

    // The Dockerfile in this repository, with the image of the release.
    let archive = artifact("mackerel-plugin-wasm_linux_amd64.image.tar").display().to_string();
    docker(&["load", "--input", &archive]);
    let plugin = format!("mackerel-plugin-wasm:{VERSION}-amd64");
    let arguments = [format!("AGENT={agent_image}"), format!("PLUGIN={plugin}")];
    let [agent, program] = arguments.each_ref().map(String::as_str);
    build(of_packaging, "../packaging/Dockerfile.container-agent", &["--build-arg", agent, "--build-arg", program]);
    collects(of_packaging, "/usr/bin/mackerel-plugin-wasm");

    // The one of docs/ecs.md, with the program and the section that `conf` prints.
    let guide = fs::read_to_string("../docs/ecs.md").expect("the guide");
    let block = guide.split_once("```dockerfile\n").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let lines: Vec<&str> = block.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("FROM mackerel/mackerel-container-agent"), "{block}");
    write("Dockerfile", &format!("FROM {agent_image}\n{}\n", lines[1..].join("\n")));
    copy(&artifact("mackerel-plugin-wasm_linux_amd64"), "mackerel-plugin-wasm");
    let section = Agent::without_engine().run("conf gostats --container-port 8080 --filter name=api --container-agent");
    write("mackerel-container-agent.yaml", &section.exits(0).without_diagnostics().stdout);
    build(of_guide, &folder.path().join("Dockerfile").display().to_string(), &[]);
    collects(of_guide, "/usr/local/bin/mackerel-plugin-wasm");
    let settings = docker(&["image", "inspect", "--format", "{{.Config.Env}} {{.Config.Volumes}}", of_guide]);
    for part in ["MACKEREL_AGENT_CONFIG=/etc/mackerel-container-agent.yaml", "/var/lib/mackerel-plugin-wasm:"] {
        assert!(settings.contains(part), "{settings}");
    }
    docker(&["image", "rm", of_guide, of_packaging, agent_image, &plugin]);
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
fn each_build_compiles_once_and_continues_counters() {
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().join("mackerel-plugin-wasm");
    let install = |program: &Path| {
        // As a package does: a running program keeps its file.
        fs::copy(program, folder.path().join("new")).expect("a copy");
        fs::rename(folder.path().join("new"), &place).expect("our own file");
    };
    install(&older("mackerel-plugin-wasm"));
    let agent = Agent::without_engine().with_program(place.clone());
    let (begin, target) = (stats::now(), StubTarget::serving(stats::body(0, 0)));
    let file = folder.path().join("strange.wasm");
    fs::write(&file, named("strange")).expect("a file");
    let _ = agent.run(&format!("install {}", file.display())).exits(0).without_diagnostics();
    fs::remove_file(&file).expect("our own file");
    let commands = ["gostats", "strange"].map(|name| format!("run {name} --target {}", target.target()));
    let run = |minutes: u64| {
        target.serve(stats::body(begin + minutes * 60_000_000_000, 100 + minutes * 60));
        commands.each_ref().map(|command| {
            let output = agent.run(command).exits(0).without_diagnostics();
            assert!(output.advice.is_empty() && output.elapsed < Duration::from_secs(2), "{output}");
            output.metrics().count()
        })
    };
    let _ = run(0);
    agent.let_pass(MINUTE);
    let counts = run(1);

    // The same build but for its version, and then another C library and profile.
    for (minutes, build) in [(2, program()), (4, artifact("mackerel-plugin-wasm_linux_amd64"))] {
        install(&build);
        let upgraded = agent.run("install --all").exits(0).without_diagnostics();
        assert!(upgraded.stdout.starts_with("strange compiled in "), "{upgraded}");
        let compiled = code_files(&agent.workdir().join("store"));
        assert_eq!(compiled.len(), 1, "{compiled:?}");
        for minutes in [minutes, minutes + 1] {
            agent.let_pass(MINUTE);
            // No counter is missing, and so no run was a first one.
            assert_eq!(run(minutes), counts);
        }
        assert_eq!(code_files(&agent.workdir().join("store")), compiled, "no run compiles");
    }
    assert_eq!(fs::metadata(&place).expect("the program").permissions().mode() & 0o111, 0o111);
}
