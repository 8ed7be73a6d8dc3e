//! The ready-made collectors of `collectors/`: replays of their recordings, their definitions, and real servers.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Container, Engine, Group};
use scenarios::{go, http, load, mask, skip, wait};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

const NGINX: &str = "/usr/sbin/nginx";
const MEMCACHED: &str = "/usr/bin/memcached";
const UWSGI: &str = "/usr/bin/uwsgi-core";

/// The user `nobody`.
const NOBODY: u32 = 65534;

const PASSWORD: &str = "a-s3cret-of-its-own";

/// Returns an agent on which a ready-made collector is installed. It is compiled once. Reports it if it was not built.
fn agent_with(name: &'static str, engine: Option<&Engine>) -> Option<Agent> {
    static INSTALLED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let component = go::target().join("collectors-dist").join(name).with_extension("wasm");
    if !component.exists() {
        skip::notice(&format!("no {}: run make collectors", component.display()), "ready-made collectors");
        return None;
    }
    let store = go::target().join("scenarios/catalogue");
    let agent = engine.map_or_else(Agent::without_engine, Agent::with_engine);
    let agent = agent.with_env("MACKEREL_PLUGIN_WASM_STORE", store);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !installed.contains(name) {
        let _load = load::heavy();
        let output = agent.run(&format!("install {}", component.display())).exits(0).without_diagnostics();
        println!("{output}");
        installed.insert(name);
    }
    Some(agent)
}

/// Returns the file of a collector's project.
fn file(collector: &str, name: &str) -> String {
    let path = format!("../collectors/{collector}/{name}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_replay_is_expected(collector: &'static str, options: &str) {
    let Some(agent) = agent_with(collector, None) else { return };
    let output =
        agent.run(&format!("test {collector} {options} --replay ../collectors/{collector}/recording")).exits(0);
    assert_eq!(output.stdout, file(collector, "expected.txt"));
}

#[test]
fn recordings_replay_to_the_expected_values() {
    assert_replay_is_expected("nginx", "");
    assert_replay_is_expected("memcached", "");
    assert_replay_is_expected("php-fpm", "--fastcgi");
    assert_replay_is_expected("postgres", "");
    assert_replay_is_expected("uwsgi", "");
}

fn graphs(text: &str) -> Value {
    let (_, json) = text.split_once('\n').expect("two lines");
    serde_json::from_str::<Value>(json).expect("JSON")["graphs"].take()
}

/// Compares the definitions for one target without a name with those of a Go plugin, in which these texts are replaced.
fn assert_definitions_are_those_of_the_go_plugin(collector: &'static str, options: &str, replaced: &[(&str, &str)]) {
    let Some(agent) = agent_with(collector, None) else { return };
    let command = format!("run {collector} --target 127.0.0.1:1 --instance-name none {options}");
    let output = agent.definitions(&command).exits(0).without_diagnostics();
    let golden = fs::read_to_string(format!("golden/{collector}.meta.txt")).expect("the golden file");
    let golden = replaced.iter().fold(golden, |text, (from, to)| {
        assert!(text.contains(from), "{collector}: no {from:?} in the golden file");
        text.replace(from, to)
    });
    assert_eq!(graphs(&output.stdout), graphs(&golden));
}

#[test]
fn definitions_are_those_of_the_go_plugins() {
    let replaced = assert_definitions_are_those_of_the_go_plugin;
    replaced("nginx", "", &[]);
    replaced("memcached", "", &[("Resouce", "Resource")]);
    replaced("php-fpm", "", &[("\"PHP-FPM ", "\"Php-Fpm ")]);
    replaced("postgres", "", &[]);
    replaced("uwsgi", "--metric-key-prefix uWSGI.uWSGI", &[("\"UWSGI ", "\"UWSGI.uWSGI ")]);
}

/// Writes the configuration of a server. Returns it with the option of `docker run` that mounts it.
fn configuration(text: &str) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("it can be written");
    let option = format!("--volume {}:/server.conf:ro", file.path().display());
    (file, option)
}

/// Starts nginx on a dynamic port, with locations beside its status page, and waits until it responds.
fn nginx<'e>(group: &Group<'e>, locations: &str) -> Option<Container<'e>> {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("{name}_temp_path /{name};\n"));
    let (_file, mounted) = configuration(&format!(
        "daemon off;\nerror_log stderr;\npid /nginx.pid;\nuser root;\nworker_processes 1;\nevents {{}}\n\
         http {{\naccess_log off;\n{}server {{\nlisten 8080;\nlocation = /nginx_status {{ stub_status; }}\n\
         location / {{ return 200 \"hello\\n\"; }}\n{locations}}}\n}}\n",
        folders.concat()
    ));
    let server = group.server("nginx", &format!("--publish 8080 {mounted}"), NGINX, "-c /server.conf")?;
    wait::until("nginx responds", || http::get(server.address(), "/").ok());
    Some(server)
}

/// Starts PHP-FPM with two processes that listens at this port, and waits until it does.
fn php_fpm<'e>(group: &Group<'e>, port: u16, options: &str) -> Option<Container<'e>> {
    let (_file, mounted) = configuration(&format!(
        "[global]\ndaemonize = no\nerror_log = /proc/self/fd/2\n[www]\nuser = root\ngroup = root\nlisten = {port}\n\
         pm = static\npm.max_children = 2\npm.status_path = /status\n"
    ));
    // Debian's name of it contains the version of PHP.
    let programs = fs::read_dir("/usr/sbin").expect("a folder").flatten().map(|entry| entry.path());
    let mut programs = programs.filter(|path| path.to_string_lossy().starts_with("/usr/sbin/php-fpm"));
    let program = programs.next().unwrap_or_else(|| "/usr/sbin/php-fpm".into()).display().to_string();
    let server = group.server("php-fpm", &format!("{options} {mounted}"), &program, "-n -R -y /server.conf")?;
    server.wait_until_logged("ready to handle connections");
    Some(server)
}

/// Two runs of a command with work between them, and the bounds of the time that passed.
struct Runs {
    key: String,
    first: Output,
    second: Output,
    shortest: Duration,
    longest: Duration,
}

impl Runs {
    /// Runs a command twice, a minute apart by the program's clock. `key` is the prefix of the target's metrics.
    fn around(agent: &Agent, command: &str, key: String, work: impl FnOnce()) -> Self {
        let minute = Duration::from_mins(1);
        let before = Instant::now();
        let first = agent.run(command).exits(0).without_diagnostics();
        let between = Instant::now();
        work();
        agent.let_pass(minute);
        let shortest = minute + between.elapsed();
        let second = agent.run(command).exits(0).without_diagnostics();
        Self { key, first, second, shortest, longest: minute + before.elapsed() }
    }

    /// Checks that the second run prints all metrics of the Go plugin of this collector, except some, and the first one
    /// those that are not `counters`: graphs, or single metrics.
    fn assert_names(&self, collector: &str, except: &[&str], counters: &[&str]) {
        let golden = graphs(&fs::read_to_string(format!("golden/{collector}.meta.txt")).expect("the golden file"));
        let names = golden.as_object().expect("an object").iter().flat_map(|(key, graph)| {
            let graph_name = key.rsplit('.').next().unwrap_or_default().to_owned();
            let metrics = graph["metrics"].as_array().cloned().unwrap_or_default();
            metrics
                .into_iter()
                .map(move |metric| format!("{graph_name}.{}", metric["name"].as_str().unwrap_or_default()))
        });
        let all: BTreeSet<String> = names.filter(|name| !except.contains(&name.as_str())).collect();
        let is_counter = |name: &str| {
            counters.iter().any(|counter| [name, name.split('.').next().unwrap_or_default()].contains(counter))
        };
        let gauges: BTreeSet<String> = all.iter().filter(|name| !is_counter(name)).cloned().collect();
        let printed = |output: &Output| output.metrics().of(&self.key).into_keys().collect::<BTreeSet<_>>();
        assert_eq!(printed(&self.first), gauges, "{}", self.first);
        assert_eq!(printed(&self.second), all, "{}", self.second);
    }

    /// Checks gauges of the second run.
    fn assert_gauges(&self, expected: &[(&str, f64)]) {
        let values = self.second.metrics().of(&self.key);
        for (name, value) in expected {
            assert_eq!(values[*name].to_bits(), value.to_bits(), "{name} in {}", self.second);
        }
    }

    /// Checks the growth of counters between the runs.
    fn assert_growth(&self, expected: &[(&str, f64)]) {
        let values = self.second.metrics().of(&self.key);
        for (name, growth) in expected {
            let per_minute = |time: Duration| growth * 60.0 / time.as_secs_f64();
            let bounds = per_minute(self.longest) - 1e-6..=per_minute(self.shortest) + 1e-6;
            assert!(bounds.contains(&values[*name]), "{name} is not within {bounds:?} in {}", self.second);
        }
    }
}

#[test]
fn nginx_is_read_by_its_status_page() {
    let Some(engine) = Engine::find() else { return };
    let Some(agent) = agent_with("nginx", Some(engine)) else { return };
    let group = engine.group();
    let Some(server) = nginx(&group, "") else { return };
    let command = format!("run nginx --filter {}", group.filter());
    let runs = Runs::around(&agent, &command, format!("nginx.{}", server.address().port()), || {
        for _ in 0..5 {
            http::get(server.address(), "/").expect("a page");
        }
    });
    runs.assert_names("nginx", &[], &["requests"]);
    // The collector's own connection.
    let gauges =
        [("connections.connections", 1.0), ("queue.reading", 0.0), ("queue.writing", 1.0), ("queue.waiting", 0.0)];
    runs.assert_gauges(&gauges);
    runs.assert_growth(&[("requests.accepts", 6.0), ("requests.handled", 6.0), ("requests.requests", 6.0)]);

    let faults = ["--path /", "--path nginx_status"].map(|options| {
        let output = agent.run(&format!("{command} {options}"));
        assert_eq!(output.stdout, "", "{output}");
        group.mask(&mask::ports(&output.stderr))
    });
    insta::assert_snapshot!(faults.concat());
}

/// Sends commands to memcached, and waits for this many bytes of responses.
fn memcached_commands(address: SocketAddr, commands: &str, length: usize) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(commands.as_bytes()).expect("a connection");
    stream.read_exact(&mut vec![0; length]).expect("a response");
}

#[test]
fn memcached_is_read_over_tcp() {
    let Some(engine) = Engine::find() else { return };
    let Some(agent) = agent_with("memcached", Some(engine)) else { return };
    let group = engine.group();
    let arguments = "-p 8080 -U 0 -u root -m 32";
    let Some(server) = group.server("memcached", "--publish 8080", MEMCACHED, arguments) else { return };
    let address = server.address();
    wait::until("memcached responds", || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"version\r\n").ok()?;
        (stream.read(&mut [0]).ok()? == 1).then_some(())
    });
    let command = format!("run memcached --filter {}", group.filter());
    let runs = Runs::around(&agent, &command, format!("memcached.{}", address.port()), || {
        let commands = "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget a\r\nget a\r\nget c\r\nincr a 1\r\ndelete d\r\n";
        let responses =
            "STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nVALUE a 0 1\r\n1\r\nEND\r\nEND\r\n2\r\nNOT_FOUND\r\n";
        memcached_commands(address, commands, responses.len());
    });
    let counters = ["cmd", "hitmiss", "evictions", "unfetched", "rusage", "bytes", "items.new_items"];
    runs.assert_names("memcached", &[], &counters);
    let gauges = [("cachesize.limit_maxbytes", 33_554_432.0), ("items.curr_items", 2.0)];
    runs.assert_gauges(&gauges);
    runs.assert_growth(&[
        ("cmd.cmd_get", 3.0),
        ("cmd.cmd_set", 2.0),
        ("cmd.cmd_touch", 0.0),
        ("hitmiss.get_hits", 2.0),
        ("hitmiss.get_misses", 1.0),
        ("hitmiss.incr_hits", 1.0),
        ("hitmiss.delete_misses", 1.0),
        ("evictions.nonzero_evictions", 0.0),
        ("items.new_items", 2.0),
    ]);
}

#[test]
fn php_fpm_is_read_by_fastcgi() {
    let Some(engine) = Engine::find() else { return };
    let Some(agent) = agent_with("php-fpm", Some(engine)) else { return };
    let group = engine.group();
    let Some(server) = php_fpm(&group, 8080, "--publish 8080") else { return };
    let command = format!("run php-fpm --filter {}", group.filter());
    let key = format!("php-fpm.{}", server.address().port());
    let runs = Runs::around(&agent, &format!("{command} --fastcgi"), key, || ());
    // Reported since PHP 8.4.
    runs.assert_names("php-fpm", &["memory_peak.memory_peak"], &["slow_requests.slow_requests_delta"]);
    runs.assert_gauges(&[
        ("processes.total_processes", 2.0),
        ("processes.active_processes", 1.0),
        ("processes.idle_processes", 1.0),
        ("max_active_processes.max_active_processes", 1.0),
        ("max_children_reached.max_children_reached", 0.0),
        ("queue.listen_queue", 0.0),
        ("slow_requests.slow_requests", 0.0),
    ]);
    runs.assert_growth(&[("slow_requests.slow_requests_delta", 0.0)]);

    let faults = ["--fastcgi --path /status", "--fastcgi --path /nowhere.php", ""].map(|options| {
        let output = agent.run(&format!("{command} {options}")).exits(1);
        assert_eq!(output.stdout, "", "{output}");
        group.mask(&mask::ports(&output.stderr))
    });
    insta::assert_snapshot!(faults.concat());
}

#[test]
fn php_fpm_is_read_by_http_through_nginx() {
    let Some(engine) = Engine::find() else { return };
    let Some(agent) = agent_with("php-fpm", Some(engine)) else { return };
    let group = engine.group();
    let method = "REQUEST_METHOD $request_method";
    let parameters = [method, "SCRIPT_NAME /status", "SCRIPT_FILENAME /status", "QUERY_STRING $query_string"];
    let parameters = parameters.map(|pair| format!("fastcgi_param {pair};\n")).concat();
    let location = format!("location = /status {{\nfastcgi_pass 127.0.0.1:9000;\n{parameters}}}\n");
    let Some(web) = nginx(&group, &location) else { return };
    let Some(_php) = php_fpm(&group, 9000, &format!("--network container:{}", web.id())) else { return };
    let command = format!("run php-fpm --filter name={}", web.name());
    let output = agent.run(&command).exits(0).without_diagnostics();
    let values = output.metrics().of(&format!("php-fpm.{}", web.address().port()));
    assert_eq!(values["processes.total_processes"].to_bits(), 2_f64.to_bits(), "{output}");

    let faults = ["--path /", "--path /nginx_status --fastcgi"].map(|options| {
        let output = agent.run(&format!("{command} {options}")).exits(1);
        group.mask(&mask::ports(&output.stderr))
    });
    insta::assert_snapshot!(faults.concat());
}

/// Starts `PostgreSQL` on a dynamic port, with a new cluster in this folder, and waits until it responds. Reports it if
/// there is none.
fn postgres<'e>(group: &Group<'e>, folder: &Path) -> Option<Container<'e>> {
    let untested = "the collector postgres with a real PostgreSQL";
    if !skip::is_root(untested) || !skip::has_commands(&["psql"], untested) {
        return None;
    }
    // Debian's folder of it contains the version.
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let Some(programs) = folders.map(|entry| entry.path().join("bin")).find(|path| path.join("initdb").exists()) else {
        skip::notice("no /usr/lib/postgresql/VERSION/bin/initdb", untested);
        return None;
    };
    // PostgreSQL refuses to run as root.
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("our own folder");
    fs::write(folder.join("password"), PASSWORD).expect("a file");
    chown(folder.join("password"), Some(NOBODY), Some(NOBODY)).expect("our own file");
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.current_dir(folder).uid(NOBODY).gid(NOBODY).args(["--no-sync", "--no-locale", "--encoding", "UTF8"]);
    initdb.args(["--username", "postgres", "--auth", "scram-sha-256", "--pwfile", "password", "--pgdata", "data"]);
    let output = initdb.output().expect("initdb can be started");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    // Only loopback can connect by default.
    let access = folder.join("data/pg_hba.conf");
    fs::write(access, "host all all all scram-sha-256\n").expect("a file of the cluster");
    let mounts = ["/usr/lib/postgresql", "/usr/share/postgresql", "/usr/share/zoneinfo"];
    let mounts = mounts.map(|path| format!("--volume {path}:{path}:ro ")).concat();
    let options =
        format!("--publish 8080 --user {NOBODY}:{NOBODY} {mounts} --volume {}:/data", folder.join("data").display());
    let arguments = "-D /data -p 8080 -h * -c unix_socket_directories= -c autovacuum=off -c fsync=off";
    let server = group.server("postgres", &options, &programs.join("postgres").display().to_string(), arguments)?;
    server.wait_until_logged("database system is ready to accept connections");
    Some(server)
}

/// Runs an SQL command in a session of its own, and waits until all sessions have ended: their counts are complete
/// then.
fn sql(server: &Container, command: &str) {
    let address = server.address();
    let mut psql = Command::new("psql");
    psql.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "postgres", "-qc", command]);
    let output = psql.env("PGPASSWORD", PASSWORD).output().expect("psql can be started");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    // Only processes of sessions show a client, as ADDRESS(PORT).
    wait::until("all sessions end", || (!server.processes().contains('(')).then_some(()));
}

#[test]
fn postgres_is_read_with_a_password() {
    let Some(engine) = Engine::find() else { return };
    let Some(agent) = agent_with("postgres", Some(engine)) else { return };
    let (group, folder) = (engine.group(), TempDir::new().expect("a temporary folder"));
    let Some(server) = postgres(&group, folder.path()) else { return };
    let address = server.address();
    sql(&server, "CREATE TABLE one (number int)");
    sql(&server, &format!("CREATE ROLE monitor LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor"));
    let command = format!("run postgres --user monitor --filter {}", group.filter());
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    fs::write(&right, PASSWORD).expect("a file");
    fs::write(&wrong, "another").expect("a file");
    let with = |file: &Path| format!("{command} --password-file {}", file.display());
    let runs = Runs::around(&agent, &with(&right), format!("postgres.{}", address.port()), || {
        sql(&server, "INSERT INTO one SELECT generate_series(1, 5000)");
        sql(&server, "DELETE FROM one WHERE number <= 2000");
    });
    let counters = ["commits", "blocks", "rows", "deadlocks", "tempfile", "xlog_location"];
    // Only with track_io_timing.
    runs.assert_names("postgres", &["iotime.blk_read_time", "iotime.blk_write_time"], &counters);
    // The connection of the collector itself.
    let gauges = ["active_waiting", "idle", "idle_in_transaction", "idle_in_transaction_aborted_", "disabled"];
    let gauges = gauges.map(|name| format!("connections.{name}"));
    runs.assert_gauges(&[("connections.active", 1.0)]);
    runs.assert_gauges(&gauges.each_ref().map(|name| (name.as_str(), 0.0)));
    let deleted = ("rows.tup_deleted", 2000.0);
    runs.assert_growth(&[("rows.tup_inserted", 5000.0), deleted, ("deadlocks.deadlocks", 0.0)]);

    let diagnostics = [command.clone(), with(&wrong), format!("{} --database nowhere", with(&right))].map(|command| {
        let output = agent.run(&command).exits(1);
        group.mask(&mask::ports(&output.stderr))
    });
    assert!(!diagnostics.concat().contains(PASSWORD), "{diagnostics:?}");
    insta::assert_snapshot!(diagnostics.concat());
}

#[test]
fn uwsgi_is_read_by_its_stats_server() {
    let Some(engine) = Engine::find() else { return };
    let Some(agent) = agent_with("uwsgi", Some(engine)) else { return };
    let group = engine.group();
    let start = |name: &str, options: &str| {
        let arguments = format!("--stats :8080 --master --workers 3 --http-socket :8081 --die-on-term {options}");
        let server = group.server(name, "--publish 8080 --publish 8081", UWSGI, &arguments)?;
        server.wait_until_logged("spawned uWSGI worker 3");
        wait::until("the stats server responds", || {
            let mut stream = TcpStream::connect(server.address()).ok()?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
            (stream.read(&mut [0]).ok()? == 1).then_some(())
        });
        Some(server)
    };
    let (Some(plain), Some(by_http)) = (start("plain", ""), start("http", "--stats-http")) else { return };
    let of = |server: &Container| format!("run uwsgi --container-port 8080 --filter name={}", server.name());
    let published = plain.inspect("{{(index (index .NetworkSettings.Ports \"8081/tcp\") 0).HostPort}}");
    let address = SocketAddr::from(([127, 0, 0, 1], published.trim().parse().expect("a port")));
    let runs = Runs::around(&agent, &of(&plain), format!("uwsgi.{}", plain.address().port()), || {
        for _ in 0..4 {
            // There is no application, so the response has another status than 200.
            http::get(address, "/").expect_err("no application");
        }
    });
    runs.assert_names("uwsgi", &[], &["req"]);
    runs.assert_gauges(&[("workers.busy", 0.0), ("workers.idle", 3.0), ("workers.cheap", 0.0), ("workers.pause", 0.0)]);
    runs.assert_growth(&[("req.requests", 4.0)]);

    let command = format!("{} --stats-http --metric-key-prefix http", of(&by_http));
    let output = agent.run(&command).exits(0).without_diagnostics();
    let values = output.metrics().of(&format!("http.{}", by_http.address().port()));
    assert_eq!(values["workers.idle"].to_bits(), 3_f64.to_bits(), "{output}");

    let output = agent.run(&format!("{} --stats-http", of(&plain))).exits(1);
    assert!(output.stderr.contains("not HTTP"), "{output}");
}
