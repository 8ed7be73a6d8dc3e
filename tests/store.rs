//! Installed collectors: what the store keeps, and that the installed version is the one that runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode};
use scenarios::agent::{Agent, Output, component};
use scenarios::disk::Disk;
use scenarios::stub_target::StubTarget;
use scenarios::third_party::{named, padded, sha256, slow_to_compile};
use scenarios::{mask, skip, stats};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000_000;

/// An operator with components, a store, and a target.
struct Operator {
    agent: Agent,
    folder: TempDir,
    store: PathBuf,
    target: StubTarget,
}

impl Operator {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let store = folder.path().join("store");
        Self::installing_into(folder, store)
    }

    fn installing_into(folder: TempDir, store: PathBuf) -> Self {
        let agent = Agent::without_engine().with_env("MACKEREL_PLUGIN_WASM_STORE", &store);
        Self { agent, folder, store, target: StubTarget::serving(stats::body(MINUTE, 7)) }
    }

    /// Returns an operator who has installed gostats as `strange`.
    fn with_strange() -> Self {
        let operator = Self::new();
        let _ = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
        operator
    }

    /// Writes a component to a file and installs it.
    fn install(&self, name: &str, bytes: &[u8]) -> Output {
        let file = self.folder.path().join(name);
        fs::write(&file, bytes).expect("a file in a folder of our own");
        self.agent.run(&format!("install {}", file.display()))
    }

    /// Runs a collector on the target.
    fn run(&self, name: &str) -> Output {
        self.agent.run(&format!("run {name} --target {} --path /stats", self.target.target()))
    }

    /// Asserts that it runs, and returns the advice.
    #[track_caller]
    fn runs(&self, name: &str) -> String {
        let output = self.run(name).exits(0);
        let key = format!("{name}.{}", self.target.port());
        assert_eq!(output.metrics().of(&key).get("runtime.goroutine_num"), Some(&12.0), "{output}");
        self.mask(&output.stderr)
    }

    /// Returns the files in the store, sorted.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(&self.store).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// Returns the one file in the store with this extension.
    #[track_caller]
    fn file(&self, extension: &str) -> PathBuf {
        let mut files = self.files();
        files.retain(|file| file.extension().is_some_and(|found| found == extension));
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    /// Returns the names and contents of the files in the store.
    fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.files().into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect()
    }

    /// Masks folders, digests, sizes, and the built-in collectors.
    fn mask(&self, text: &str) -> String {
        let text = mask::path(text, &self.store, "STORE");
        let text = mask::path(&text, self.folder.path(), "FOLDER");
        let text = text.replace(&built_ins().join(", "), "BUILT-INS");
        mask::size(&mask::digests(&mask::ports(&text)))
    }
}

/// Returns the names of the built-in collectors.
fn built_ins() -> Vec<String> {
    let list = Agent::without_engine().run("list").exits(0).without_diagnostics().stdout;
    list.lines().map(|line| line.split(' ').next().expect("a name").to_owned()).collect()
}

#[test]
fn installed_collector_prints_under_its_own_name() {
    let operator = Operator::with_strange();
    let both = |minute: u64| {
        ["strange", "gostats"].map(|name| {
            operator.target.serve(stats::body(minute * MINUTE, 7 * minute));
            let output = operator.run(name).exits(0).without_diagnostics();
            output.metrics().of(&format!("{name}.{}", operator.target.port()))
        })
    };
    let [installed, built_in] = both(1);
    assert_eq!(installed, built_in);
    operator.agent.let_pass(Duration::from_nanos(MINUTE));
    let [installed, built_in] = both(2);
    assert_eq!(installed, built_in);
    assert_eq!(installed.len(), 15, "rates too: the state is kept");
    let definitions = operator.agent.definitions("run strange").exits(0).without_diagnostics();
    let built_in = operator.agent.definitions("run gostats").exits(0).stdout;
    assert_eq!(definitions.stdout, built_in.replace("gostats", "strange").replace("Gostats", "Strange"));
}

#[test]
fn install_shows_the_collector_and_how_to_run_it() {
    let operator = Operator::new();
    let output = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
    let shown = mask::digits(&operator.mask(&output.stdout), "compiled  in ", "TIME");
    // The imported interfaces of WASI depend on the toolchain.
    let (of_wasi, shown): (Vec<_>, Vec<_>) = shown.lines().partition(|line| line.contains(" wasi:"));
    insta::assert_snapshot!(shown.join("\n"));
    let inspect = operator.agent.run("inspect strange").exits(0).stdout;
    assert!(!of_wasi.is_empty() && of_wasi.iter().all(|import| inspect.contains(import.trim())), "{inspect}");
    let digest = output.stdout.lines().find_map(|line| line.strip_prefix("digest    ")).expect("a digest");
    let sums = std::process::Command::new("sha256sum").arg(operator.folder.path().join("strange.wasm")).output();
    let sums = String::from_utf8(sums.expect("sha256sum").stdout).expect("text");
    assert_eq!(digest, format!("sha256:{}", sums.split(' ').next().expect("a sum")));
    for file in operator.files() {
        assert_eq!(fs::metadata(&file).expect("a file").mode() & 0o7777, 0o600, "{}", file.display());
    }
    assert_eq!(fs::metadata(&operator.store).expect("a folder").mode() & 0o7777, 0o700);
}

#[test]
fn list_and_inspect_show_installed_collectors() {
    let operator = Operator::with_strange();
    let list = operator.agent.run("list").exits(0).without_diagnostics().stdout;
    let (rest, line) = list.trim_end().rsplit_once('\n').expect("lines");
    assert_eq!(rest.lines().count(), built_ins().len(), "{list}");
    assert!(rest.lines().all(|line| line.ends_with(" (built in)")), "{rest}");
    insta::assert_snapshot!(operator.mask(line), @"strange    0.1.0     Go runtime statistics from golang-stats-api-handler (FOLDER/strange.wasm)");
    let inspect = operator.agent.run("inspect strange").exits(0).without_diagnostics().stdout;
    let built_in = operator.agent.run("inspect gostats").exits(0).stdout;
    let differ = |lines: &[&str]| -> Vec<String> {
        lines
            .iter()
            .filter(|line| line.starts_with("origin") || line.starts_with("digest"))
            .map(|line| operator.mask(line))
            .collect()
    };
    insta::assert_snapshot!(differ(&inspect.lines().collect::<Vec<_>>()).join("\n"), @"
    origin    installed from FOLDER/strange.wasm, SIZE KiB
    digest    sha256:DIGEST
    ");
    let compiled = inspect.lines().find(|line| line.starts_with("compiled")).unwrap_or_else(|| panic!("{inspect}"));
    let by = format!("compiled  by mackerel-plugin-wasm {}, wasmtime ", env!("CARGO_PKG_VERSION"));
    assert!(compiled.starts_with(&by) && compiled.contains("-unknown-linux-"), "{compiled}");
    let rest = |text: &str| {
        let of_one = ["origin", "signed", "digest", "compiled"];
        let lines = text.lines().filter(|line| !of_one.iter().any(|start| line.starts_with(start)));
        lines.collect::<Vec<_>>().join("\n").replace("strange", "gostats").replace("Strange", "Gostats")
    };
    assert_eq!(rest(&inspect), rest(&built_in));
}

#[test]
fn reinstall_shows_the_old_and_new_digests() {
    let operator = Operator::with_strange();
    let again = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
    assert_eq!(operator.runs("strange"), "");
    let files = operator.files();
    let other = operator.install("other.wasm", &padded(named("strange"), 10)).exits(0).without_diagnostics();
    let first_lines = [again, other].map(|output| operator.mask(output.stdout.lines().next().expect("a line")));
    insta::assert_snapshot!(first_lines.join("\n"), @"
    installed strange 0.1.0, unchanged
    installed strange 0.1.0, replacing 0.1.0 (sha256:DIGEST)
    ");
    assert_eq!(operator.runs("strange"), "");
    assert_eq!(operator.files().len(), files.len(), "the replaced files are gone");
    assert_ne!(operator.files(), files);
}

#[test]
fn remove_leaves_nothing() {
    let operator = Operator::with_strange();
    assert_eq!(operator.runs("strange"), "");
    let output = operator.agent.run("remove strange").exits(0).without_diagnostics();
    assert_eq!(output.stdout, "removed strange\n");
    assert_eq!(operator.files(), [operator.store.join(".lock")]);
    let errors = ["remove strange", "remove gostats", "run strange", "inspect strange"].map(|command| {
        let output = operator.agent.run(command).exits(2);
        assert_eq!(output.stdout, "");
        operator.mask(&output.stderr)
    });
    insta::assert_snapshot!(errors.concat(), @"
    mackerel-plugin-wasm: strange is not installed; installed: none
    mackerel-plugin-wasm: gostats is built in and cannot be removed
    mackerel-plugin-wasm: unknown collector 'strange'; available: BUILT-INS; a component can be run by the path of its .wasm file
    mackerel-plugin-wasm: unknown collector 'strange'; available: BUILT-INS; a component can be run by the path of its .wasm file
    ");
}

#[test]
fn file_that_is_not_a_collector_is_not_installed() {
    let operator = Operator::with_strange();
    let before = operator.content();
    let error = |name: &str, bytes: &[u8]| {
        let output = operator.install(name, bytes);
        assert!([Some(1), Some(2)].contains(&output.status.code()), "{output}");
        assert_eq!(output.stdout, "");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        operator.mask(&output.stderr)
    };
    let evil = |name: &str| fs::read(component(&format!("evil/{name}"))).expect("a component");
    let whole = named("whatisi");
    let mut errors = vec![
        error("built-in.wasm", &fs::read(component("gostats")).expect("a component")),
        error("empty.wasm", b""),
        error("text.wat", b"(component)"),
        mask::digits(&error("cut.wasm", &whole[..100]), "(at offset 0x", "OFFSET"),
    ];
    let names = [
        "a_core_module",
        "a_command",
        "an_http_server",
        "a_wit_package",
        "an_empty_component",
        "the_export_of_another_contract",
        "the_export_of_an_older_contract",
        "imports_an_unknown_interface",
        "describe_traps",
        "describe_spins",
        "a_path_as_a_name",
        "an_option_of_the_host",
    ];
    errors.extend(names.map(|name| error(&format!("{name}.wasm"), &evil(name))));
    let large = operator.folder.path().join("large.wasm");
    fs::File::create(&large).and_then(|file| file.set_len((64 << 20) + 1)).expect("a large file without content");
    for argument in [large.display().to_string(), "missing.wasm".to_owned(), "missing".to_owned()] {
        errors.push(operator.mask(&operator.agent.run(&format!("install {argument}")).stderr));
    }
    insta::assert_snapshot!(errors.concat());
    assert_eq!(operator.content(), before);
}

/// Damages the compiled code, and returns the diagnostics: the right collector runs, and the next run uses new code.
#[track_caller]
fn damaging_the_code(spoil: impl FnOnce(&Path)) -> String {
    let operator = Operator::with_strange();
    assert_eq!(operator.runs("strange"), "");
    spoil(&operator.file("code"));
    let error = operator.runs("strange");
    assert_eq!(operator.runs("strange"), "", "the damage is repaired");
    let meta = fs::metadata(operator.file("code")).expect("a file");
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (rustix::process::getuid().as_raw(), 0o600));
    error
}

/// Returns the compiled code of the collector `text`.
fn foreign_code() -> Vec<u8> {
    let operator = Operator::new();
    let text = fs::read(component("evil/honest")).expect("a component");
    let _ = operator.install("text.wasm", &text).exits(0);
    fs::read(operator.file("code")).expect("a file")
}

#[test]
fn changed_compiled_code_is_never_run() {
    let other = foreign_code();
    let write = |code: &Path, bytes: &[u8]| fs::write(code, bytes).expect("our own file");
    let errors = [
        damaging_the_code(|code| write(code, &other)),
        damaging_the_code(|code| {
            let content = fs::read(code).expect("our own file");
            write(code, &content[..content.len() / 2]);
        }),
        damaging_the_code(|code| write(code, b"")),
        damaging_the_code(|code| {
            let mut content = fs::read(code).expect("our own file");
            let middle = content.len() / 2;
            content[middle..middle + 4096].fill(0xcc);
            write(code, &content);
        }),
        // With the same size and time.
        damaging_the_code(|code| {
            let modified = fs::metadata(code).and_then(|meta| meta.modified()).expect("our own file");
            let mut content = fs::read(code).expect("our own file");
            content.reverse();
            write(code, &content);
            fs::File::options()
                .write(true)
                .open(code)
                .and_then(|file| file.set_modified(modified))
                .expect("our own file");
        }),
        // Another file in its place.
        damaging_the_code(|code| {
            let new = code.with_extension("moved");
            write(&new, &other);
            fs::set_permissions(&new, Permissions::from_mode(0o600)).expect("our own file");
            fs::rename(&new, code).expect("our own files");
        }),
        damaging_the_code(|code| fs::remove_file(code).expect("our own file")),
        damaging_the_code(|code| fs::set_permissions(code, Permissions::from_mode(0o660)).expect("our own file")),
    ];
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn compiled_code_must_be_a_regular_file() {
    let elsewhere = TempDir::new().expect("a temporary folder");
    let away = elsewhere.path().join("code");
    let errors = [
        damaging_the_code(|code| {
            fs::copy(code, &away).expect("our own files");
            fs::remove_file(code).expect("our own file");
            symlink(&away, code).expect("a link");
        }),
        damaging_the_code(|code| {
            fs::remove_file(code).expect("our own file");
            rustix::fs::mknodat(rustix::fs::CWD, code, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        }),
    ];
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn files_of_another_user_are_not_run() {
    if !skip::is_root("files of another user among the installed collectors") {
        return;
    }
    let give_away = |path: &Path| chown(path, Some(12345), Some(12345)).expect("root can change the owner");
    let code = damaging_the_code(|code| give_away(code));
    let others = ["wasm", "json"].map(|extension| {
        let operator = Operator::with_strange();
        give_away(&operator.file(extension));
        operator.mask(&operator.run("strange").exits(1).stderr)
    });
    let operator = Operator::with_strange();
    give_away(&operator.store);
    let folder = operator.mask(&operator.run("strange").exits(1).stderr);
    insta::assert_snapshot!([code, others.concat(), folder].concat());
}

#[test]
fn code_of_another_wasmtime_is_recompiled_silently() {
    let operator = Operator::with_strange();
    let old = operator.file("code");
    // As an older program left it: under another name, which is in its pin.
    let name = old.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let current = name.rsplit_once('-').and_then(|(_, rest)| rest.strip_suffix(".code")).expect("a hash").to_owned();
    let pin = operator.file("json");
    let text = fs::read_to_string(&pin).expect("our own file").replace(&current, "0123456789abcdef");
    fs::write(&pin, text).expect("our own file");
    fs::rename(&old, operator.store.join(name.replace(&current, "0123456789abcdef"))).expect("our own files");
    assert_eq!(operator.runs("strange"), "");
    assert_eq!(operator.file("code"), old, "the new file is there, and the old one is gone");
    // Code that claims to be compatible and is not: wasmtime's own header has a hash, too.
    let bytes = fs::read(&old).expect("our own file");
    assert_eq!(operator.runs("strange"), "");
    assert_eq!(fs::read(&old).expect("our own file"), bytes, "a run rewrote the file");
}

/// Makes the installed collectors those of an older program: the compiled forms have other names, which the pins
/// contain.
fn age(operator: &Operator) {
    for file in operator.files() {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        if let Some(hash) = name.rsplit_once('-').and_then(|(_, rest)| rest.strip_suffix(".code")) {
            fs::rename(&file, operator.store.join(name.replace(hash, "0123456789abcdef"))).expect("our own files");
            for pin in operator.files().iter().filter(|file| file.extension().is_some_and(|kind| kind == "json")) {
                let text = fs::read_to_string(pin).expect("our own file").replace(hash, "0123456789abcdef");
                fs::write(pin, text).expect("our own file");
            }
        }
    }
}

#[test]
fn upgrade_compiles_all_installed_collectors() {
    let operator = Operator::with_strange();
    let _ = operator.install("another.wasm", &named("another")).exits(0);
    let upgrade = |code: i32| {
        let output = operator.agent.run("install --all").exits(code);
        mask::digits(&operator.mask(&format!("{}{}", output.stdout, output.stderr)), "compiled in ", "TIME")
    };
    let nothing = Operator::new().agent.run("install --all").exits(0).without_diagnostics().stdout;
    let current = upgrade(0);
    age(&operator);
    let upgraded = upgrade(0);
    let files = |operator: &Operator| {
        ["wasm", "code", "json"].map(|kind| {
            let mut content = operator.content();
            content.retain(|(file, _)| file.extension().is_some_and(|found| found == kind));
            content
        })
    };
    let before = files(&operator);
    assert_eq!([operator.runs("strange"), operator.runs("another")], ["", ""]);
    assert_eq!(files(&operator), before, "a run compiled again");
    // A broken collector does not keep the others from being compiled.
    age(&operator);
    let digest = fs::read_to_string(operator.store.join("another.json")).expect("a pin");
    let digest = digest.split_once("\"digest\": \"").and_then(|(_, rest)| rest.get(..64)).expect("a digest").to_owned();
    fs::remove_file(operator.store.join(format!("{digest}.wasm"))).expect("our own file");
    let broken = upgrade(1);
    assert_eq!(operator.runs("strange"), "");
    insta::assert_snapshot!([nothing, current, upgraded, broken].join("--\n"), @"
    no collectors are installed
    --
    another is compiled for this version already
    strange is compiled for this version already
    --
    another compiled in TIME ms
    strange compiled in TIME ms
    --
    strange compiled in TIME ms
    mackerel-plugin-wasm: another: the installed component STORE/DIGEST.wasm is missing; install it again: mackerel-plugin-wasm install FOLDER/another.wasm
    ");
}

#[test]
fn run_of_a_slow_collector_after_an_upgrade_names_the_command_that_compiles_it() {
    let operator = Operator::with_strange();
    age(&operator);
    let component = slow_to_compile();
    let (old, pin) = (operator.file("wasm"), operator.file("json"));
    let new = sha256(&component);
    let text = fs::read_to_string(&pin).expect("a pin");
    let old_digest = old.file_stem().and_then(|name| name.to_str()).expect("a digest");
    fs::write(&old, component).expect("our own file");
    fs::rename(&old, operator.store.join(format!("{new}.wasm"))).expect("our own file");
    fs::write(&pin, text.replace(old_digest, &new)).expect("our own file");
    let error = operator.run("strange").exits(1).stderr;
    insta::assert_snapshot!(error, @"mackerel-plugin-wasm: strange: its compiled form is of another version of this program or another processor, and compiling it again exceeded 15s (fixed limit); compile it once with: mackerel-plugin-wasm install --all");
}

/// Installs a collector whose `graphs` returns another graph on every call. Returns its graph definitions for these
/// options.
fn random_graphs(operator: &Operator) -> impl Fn(&str) -> String {
    let evil = fs::read(component("evil")).expect("a component");
    let _ = operator.install("evil.wasm", &evil).exits(0).without_diagnostics();
    |options| {
        let definitions = operator.agent.definitions(&format!("run evil --attack random_graphs {options}"));
        definitions.exits(0).without_diagnostics().stdout
    }
}

#[test]
fn results_of_describe_and_graphs_are_kept() {
    let operator = Operator::new();
    let definitions = random_graphs(&operator);
    let first = definitions("");
    assert_eq!(definitions(""), first);
    let others: Vec<String> = (1..20).map(|number| definitions(&format!("--at {number}"))).collect();
    assert_eq!(definitions(""), first, "other options have graphs of their own");
    assert_eq!(definitions("--at 15"), others[14]);
    assert_ne!(definitions("--at 16"), others[15], "those of sixteen sets of options are kept");
}

#[test]
fn values_of_options_are_not_kept_with_the_graphs() {
    let operator = Operator::new();
    let definitions = random_graphs(&operator);
    let secret = operator.folder.path().join("secret");
    fs::write(&secret, "from-a-file").expect("our own folder");
    definitions(&format!("--say on-the-command-line --secret-file {}", secret.display()));
    let text = fs::read_to_string(operator.file("calls")).expect("our own file");
    for value in ["from-a-file", "on-the-command-line"] {
        assert!(!text.contains(value), "{value}: {text}");
    }
}

#[test]
fn collector_is_called_again_if_the_kept_results_are_in_doubt() {
    let operator = Operator::new();
    let definitions = random_graphs(&operator);
    let rewritten = |text: fn(&str) -> String| {
        move |file: &Path| {
            let before = fs::read_to_string(file).expect("our own file");
            fs::write(file, text(&before)).expect("our own file");
        }
    };
    let damages: [&dyn Fn(&Path); 6] = [
        &rewritten(|text| text[..text.len() / 2].to_owned()),
        &rewritten(|text| format!("{text}{}", " ".repeat(2 << 20))),
        &rewritten(|text| text.replace("\"name\":\"evil\"", "\"name\":\"Evil\"")),
        &rewritten(|text| text.replace("#.evil", "evil")),
        &|file| fs::set_permissions(file, Permissions::from_mode(0o644)).expect("our own file"),
        &|file| {
            let elsewhere = file.with_extension("elsewhere");
            fs::rename(file, &elsewhere).and_then(|()| symlink(elsewhere, file)).expect("our own folder");
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let before = definitions("");
        damage(&operator.file("calls"));
        let after = definitions("");
        assert_ne!(after, before, "damage {number}");
        assert_eq!(definitions(""), after, "damage {number}: kept again");
    }
}

#[test]
fn denied_attempts_in_graphs_are_reported_on_every_run() {
    let operator = Operator::new();
    let _ = random_graphs(&operator);
    let run = || operator.agent.definitions("run evil --attack graphs_connect_elsewhere").exits(0).stderr;
    let first = run();
    assert!(first.contains("denied: "), "{first}");
    assert_eq!(run(), first);
}

#[test]
fn changed_component_is_not_run() {
    let errors = [
        (|file: &Path| fs::write(file, named("another")).expect("our own file")) as fn(&Path),
        |file| fs::remove_file(file).expect("our own file"),
        |file| {
            let away = file.with_extension("away");
            fs::rename(file, &away).expect("our own file");
            symlink(&away, file).expect("a link");
        },
    ]
    .map(|spoil| {
        let operator = Operator::with_strange();
        spoil(&operator.file("wasm"));
        let output = operator.run("strange").exits(1);
        assert_eq!(output.stdout, "", "{output}");
        let list = operator.agent.run("list").exits(0).stdout;
        let line = list.lines().find(|line| line.starts_with("strange")).expect("its line").to_owned();
        assert_eq!(operator.agent.run("run gostats --help").exits(0).stderr, "");
        let _ = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
        assert_eq!(operator.runs("strange"), "", "installed again, it runs");
        operator.mask(&format!("{}{line}\n", output.stderr))
    });
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn copied_store_runs() {
    let operator = Operator::with_strange();
    for extension in ["wasm", "code"] {
        let file = operator.file(extension);
        let content = fs::read(&file).expect("our own file");
        fs::remove_file(&file).expect("our own file");
        fs::write(&file, content).expect("our own file");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("our own file");
    }
    let said = operator.runs("strange");
    insta::assert_snapshot!(said, @"mackerel-plugin-wasm: strange: compiled again: its compiled form STORE/DIGEST-COMPATIBILITY.code was changed");
    assert_eq!(operator.runs("strange"), "");
}

#[test]
fn invalid_pin_is_one_line_and_can_be_removed() {
    let spoils: [fn(&Path); 5] = [
        |pin| fs::write(pin, "{").expect("our own file"),
        |pin| {
            fs::write(pin, fs::read_to_string(pin).expect("text").replace("\"format\": 1", "\"format\": 2"))
                .expect("our own file");
        },
        |pin| {
            fs::write(pin, fs::read_to_string(pin).expect("text").replace("strange", "another")).expect("our own file");
        },
        |pin| fs::write(pin, "x".repeat(100_000)).expect("our own file"),
        |pin| {
            let away = pin.with_extension("away");
            fs::rename(pin, &away).expect("our own file");
            symlink(&away, pin).expect("a link");
        },
    ];
    let errors = spoils.map(|spoil| {
        let operator = Operator::with_strange();
        let _ = operator.install("another.wasm", &named("another")).exits(0);
        let pin = operator.store.join("strange.json");
        spoil(&pin);
        let error = operator.run("strange").exits(1).stderr;
        assert_eq!(operator.runs("another"), "");
        let list = operator.agent.run("list").exits(0).stdout;
        assert_eq!(list.lines().count(), built_ins().len() + 2, "{list}");
        let _ = operator.agent.run("remove strange").exits(0).without_diagnostics();
        let _ = operator.agent.run("remove another").exits(0).without_diagnostics();
        operator.mask(&error)
    });
    insta::assert_snapshot!(errors.concat());
}

#[test]
fn store_folder_is_private() {
    let elsewhere = TempDir::new().expect("a temporary folder");
    let puts: [&dyn Fn(&Path); 3] = [
        &|store| symlink(elsewhere.path(), store).expect("a link"),
        &|store| fs::write(store, "").expect("a file"),
        &|store| {
            fs::create_dir(store).expect("a folder");
            fs::set_permissions(store, Permissions::from_mode(0o770)).expect("our own folder");
        },
    ];
    let errors = puts.map(|put| {
        let operator = Operator::new();
        put(&operator.store);
        let install = operator.install("strange.wasm", &named("strange")).exits(1).stderr;
        let run = operator.run("strange").exits(1).stderr;
        assert_eq!(install, run);
        let _ = operator.run("gostats").exits(0).without_diagnostics();
        operator.mask(&install)
    });
    insta::assert_snapshot!(errors.concat());
    assert_eq!(fs::read_dir(elsewhere.path()).expect("a folder").count(), 0);
}

#[test]
fn full_disk_keeps_the_installed_collector() {
    let Some(disk) = Disk::with("size=2m") else { return };
    let operator = Operator::installing_into(TempDir::new().expect("a temporary folder"), disk.path().join("store"));
    let _ = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
    let before = operator.content();
    disk.fill();
    let new = padded(named("strange"), 50_000);
    let error = operator.install("new.wasm", &new).exits(1).stderr;
    assert_eq!(operator.content(), before);
    // Files with the same names would be replaced.
    let again = operator.install("strange.wasm", &named("strange")).exits(1).stderr;
    assert_eq!(again, error);
    assert_eq!(operator.content(), before);
    assert_eq!(operator.runs("strange"), "");
    disk.free();
    let _ = operator.install("new.wasm", &new).exits(0).without_diagnostics();
    assert_eq!(operator.runs("strange"), "");
    insta::assert_snapshot!(operator.mask(&error), @"mackerel-plugin-wasm: not installed: cannot write to STORE: No space left on device (os error 28)");
}

#[test]
fn installed_collector_runs_from_a_read_only_disk() {
    let Some(mut disk) = Disk::with("size=2m") else { return };
    let operator = Operator::installing_into(TempDir::new().expect("a temporary folder"), disk.path().join("store"));
    let _ = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
    disk.remount("ro");
    assert_eq!(operator.runs("strange"), "");
    let refused = ["remove strange", "install"].map(|command| match command {
        "install" => operator.install("strange.wasm", &padded(named("strange"), 5)).exits(1).stderr,
        command => operator.agent.run(command).exits(1).stderr,
    });
    disk.remount("rw");
    fs::remove_file(operator.file("code")).expect("our own file");
    disk.remount("ro");
    let compiled = operator.runs("strange");
    assert_eq!(operator.runs("strange"), compiled, "every time");
    insta::assert_snapshot!(operator.mask(&format!("{}{compiled}", refused.concat())));
}

#[test]
fn concurrent_installs_leave_one_of_them() {
    let operator = Operator::with_strange();
    let commands: Vec<_> = (0..4)
        .map(|number| {
            let file = operator.folder.path().join(format!("{number}.wasm"));
            fs::write(&file, padded(named("strange"), number)).expect("a file");
            operator.agent.start(&format!("install {}", file.display()))
        })
        .collect();
    let runs: Vec<_> = (0..4).map(|_| operator.run("strange").exits(0)).collect();
    for command in commands {
        let _ = command.output().exits(0).without_diagnostics();
    }
    for output in runs {
        assert_eq!(output.stderr, "", "{output}");
    }
    assert_eq!(operator.runs("strange"), "");
    let files = operator.files();
    assert_eq!(files.len(), 5, "a lock, a pin, a component, its code and the results of its calls: {files:?}");
}

#[test]
fn leftovers_of_a_killed_install_are_removed() {
    let operator = Operator::with_strange();
    assert_eq!(operator.runs("strange"), "");
    let kept = operator.files();
    let orphan = "0".repeat(64);
    let strangers = ["notes.txt", "short.wasm", "README"].map(|name| operator.store.join(name));
    let left = [
        format!("{orphan}.wasm"),
        format!("{orphan}-0000.code"),
        format!("{orphan}-0000.calls"),
        format!("{orphan}.wasm.new"),
        "strange.json.new".to_owned(),
    ];
    for path in left.iter().map(|name| operator.store.join(name)).chain(strangers.clone()) {
        fs::write(path, "").expect("a file");
    }
    assert_eq!(operator.runs("strange"), "");
    let _ = operator.install("strange.wasm", &named("strange")).exits(0).without_diagnostics();
    let mut right: Vec<_> = kept.into_iter().chain(strangers).collect();
    right.sort();
    assert_eq!(operator.files(), right);
}

#[test]
fn slow_compilation_suggests_to_install() {
    let operator = Operator::new();
    let file = operator.folder.path().join("strange.wasm");
    fs::write(&file, named("strange")).expect("a file");
    let command = format!("run {} --target {} --path /stats", file.display(), operator.target.target());
    let first = operator.agent.run(&command).exits(0).without_diagnostics();
    let advice = mask::digits(&operator.mask(&first.advice), "compiling took ", "TIME");
    insta::assert_snapshot!(advice, @"mackerel-plugin-wasm: FOLDER/strange.wasm: compiling took TIME ms and is repeated on every run; to avoid that: mackerel-plugin-wasm install FOLDER/strange.wasm");
    assert_eq!(operator.agent.run(&command).exits(0).without_diagnostics().advice, "");
    // A collector with the name of a built-in cannot be installed.
    let built_in = format!("run {} --target {} --path /stats", component("gostats"), operator.target.target());
    assert_eq!(operator.agent.run(&built_in).exits(0).without_diagnostics().advice, "");
}

#[test]
fn store_defaults_to_the_users_data_folder() {
    let folder = TempDir::new().expect("a temporary folder");
    let untested = "where other users' collectors are installed";
    if !(skip::has_commands(&["setpriv"], untested) && skip::is_root(untested)) {
        return;
    }
    let file = folder.path().join("strange.wasm");
    fs::write(&file, named("strange")).expect("a file");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("our own folder");
    let user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    let install = |name: &str, value: &Path| {
        let agent = Agent::without_engine()
            .with_env("MACKEREL_PLUGIN_WASM_STORE", "")
            .with_env(name, value)
            .with_launcher(&user);
        let output = agent.run(&format!("install {}", file.display()));
        output.exits(0).without_diagnostics()
    };
    let _ = install("HOME", &folder.path().join("home"));
    assert!(folder.path().join("home/.local/share/mackerel-plugin-wasm/strange.json").exists());
    let _ = install("XDG_DATA_HOME", &folder.path().join("data"));
    assert!(folder.path().join("data/mackerel-plugin-wasm/strange.json").exists());
    let homeless = Agent::without_engine().with_env("MACKEREL_PLUGIN_WASM_STORE", "").with_launcher(&user);
    let error = homeless.run(&format!("install {}", file.display())).exits(1).stderr;
    insta::assert_snapshot!(error, @"mackerel-plugin-wasm: no folder to install into: set HOME or MACKEREL_PLUGIN_WASM_STORE");
}
