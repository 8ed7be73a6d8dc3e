//! The collector redis, on a real Redis in containers and on servers that are not Redis.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Instant;

use scenarios::agent::{Agent, Output};
use scenarios::engine::{Container, Engine};
use scenarios::{mask, wait};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::tls::Front;

const PASSWORD: &str = "a-s3cret-of-its-own";

/// Returns the response of redis-cli to a command.
fn redis_cli(redis: &Container, command: &str) -> String {
    let address = redis.address();
    let output = Command::new("redis-cli")
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(command.split_whitespace())
        .output()
        .expect("redis-cli can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the numbers of `INFO`.
fn info(redis: &Container) -> BTreeMap<String, f64> {
    let number = |line: &str| {
        let (name, value) = line.trim_end().split_once(':')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    redis_cli(redis, "INFO").lines().filter_map(number).collect()
}

/// Returns the metrics of a Redis by the keys of mackerel-plugin-redis.
fn printed(output: &Output, redis: &Container) -> BTreeMap<String, f64> {
    output.metrics().of(&format!("redis.{}", redis.address().port()))
}

fn secret(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    writeln!(file, "{text}").expect("it can be written");
    file
}

#[test]
fn values_are_those_of_info() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(small) = group.redis("small", "") else { return };
    let Some(large) = group.redis("large", "--maxmemory 64mb --maxclients 200 --databases 20") else { return };
    redis_cli(&small, "SET one 1");
    redis_cli(&large, "MSET one 1 two 2 three 3");
    redis_cli(&large, "-n 15 SET four 4 EX 1000");
    let agent = Agent::with_engine(engine);
    let command = format!("run redis --filter {}", group.filter());

    let before = Instant::now();
    let first = agent.run(&command).exits(0).without_diagnostics();
    let between = Instant::now();
    redis_cli(&small, "GET one");
    for key in ["one", "two", "absent"] {
        redis_cli(&large, &format!("GET {key}"));
    }
    let shortest = between.elapsed().as_secs_f64();
    let second = agent.run(&command).exits(0).without_diagnostics();
    let longest = before.elapsed().as_secs_f64();

    for (redis, keys, expires, hits, misses) in [(&small, 1.0, 0.0, 1.0, 0.0), (&large, 4.0, 1.0, 2.0, 1.0)] {
        let (one, two, reported) = (printed(&first, redis), printed(&second, redis), info(redis));
        assert_eq!((two["keys.keys"], two["keys.expires"]), (keys, expires), "{second}");
        // Only the collector itself.
        assert_eq!(two["clients.connected_clients"].to_bits(), 1_f64.to_bits(), "{second}");
        assert_eq!(
            two["capacity.percentage_of_clients"].to_bits(),
            (100.0 / reported["maxclients"]).to_bits(),
            "{second}"
        );
        for name in ["used_memory", "used_memory_rss", "used_memory_peak", "used_memory_lua"] {
            let (value, reported) = (two[&format!("memory.{name}")], reported[name]);
            assert!((reported / 2.0..reported * 2.0).contains(&value), "{name} is {value}, and {reported} by INFO");
        }
        assert!((0.0..=reported["uptime_in_seconds"]).contains(&two["uptime.uptime_in_seconds"]), "{second}");
        let per_minute = |count: f64| count * 60.0 / longest..=count * 60.0 / shortest;
        for (metric, growth) in [("keyspace.keyspace_hits", hits), ("keyspace.keyspace_misses", misses)] {
            assert!(per_minute(growth).contains(&two[metric]), "{metric} is {} in {second}", two[metric]);
        }
        assert!(!one.contains_key("keyspace.keyspace_hits"), "a counter in the first run: {first}");
        assert_eq!(two["keys.evicted_keys"].to_bits(), 0_f64.to_bits(), "{second}");
        assert!(two["queries.total_commands_processed"] > 0.0, "{second}");
        assert!(two["connections.total_connections_received"] > 0.0, "{second}");
    }
    let share = printed(&second, &large)["capacity.percentage_of_memory"];
    let expected = printed(&second, &large)["memory.used_memory"] / (64.0 * 1024.0 * 1024.0) * 100.0;
    assert!((share - expected).abs() < 1e-6, "{share} instead of {expected}: {second}");
    assert!(!printed(&second, &small).contains_key("capacity.percentage_of_memory"), "no limit, no share: {second}");
}

#[test]
fn replica_and_cluster_are_reported() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(cluster) = group.redis("cluster", "--cluster-enabled yes") else { return };
    let Some(main) = group.redis("main", "--repl-diskless-sync-delay 0") else { return };
    let Some(_replica) = group.redis_replica("replica", &main) else { return };
    wait::until("the replica is reported", || redis_cli(&main, "INFO").contains("state=online").then_some(()));
    let names = [&cluster, &main].map(|redis| format!("--filter name={}", redis.name())).join(" ");
    let output = Agent::with_engine(engine).run(&format!("run redis --filter {} {names}", group.filter()));
    let output = output.exits(0).without_diagnostics();
    let main = printed(&output, &main);
    assert_eq!(main["clients.connected_slaves"].to_bits(), 1_f64.to_bits(), "{output}");
    assert!((0.0..=10.0).contains(&main["lag.slave0_lag"]), "{output}");
    assert!((0.0..1000.0).contains(&main["offset_delay.slave0_offset_delay"]), "{output}");
    let reported = redis_cli(&cluster, "CLUSTER INFO");
    let cluster = printed(&output, &cluster);
    assert!(reported.contains("cluster_state:fail") && reported.contains("cluster_known_nodes:1"), "{reported}");
    assert_eq!((cluster["cluster_state.cluster_state"], cluster["cluster.cluster_known_nodes"]), (0.0, 1.0));
    assert_eq!(main.keys().find(|key| key.starts_with("cluster")), None, "{output}");
}

#[test]
fn password_is_accepted_and_never_shown() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(_one) = group.redis("one", &format!("--requirepass {PASSWORD}")) else { return };
    let (right, wrong) = (secret(PASSWORD), secret("another-s3cret"));
    let agent = Agent::with_engine(engine);
    let run =
        |options: &str, code: i32| agent.run(&format!("run redis --filter {} {options}", group.filter())).exits(code);
    let file = |file: &NamedTempFile| format!("--password-file {}", file.path().display());

    let opened = run(&file(&right), 0).without_diagnostics();
    assert!(opened.metrics().count() > 10, "{opened}");
    let named = run(&format!("{} --username default", file(&right)), 0).without_diagnostics();
    assert_eq!(named.metrics().keys(), opened.metrics().keys().into_iter().collect::<Vec<_>>());
    let rejected = [run("", 1), run(&file(&wrong), 1), run(&format!("{} --username nobody", file(&right)), 1)];
    let diagnostics = rejected.each_ref().map(|output| group.mask(&mask::ports(&output.stderr)));
    insta::assert_snapshot!(diagnostics.concat());

    let inspected = agent.run("inspect redis").exits(0);
    let helped = agent.run(&format!("run redis {} --help", file(&right))).exits(0);
    let mut shown: Vec<String> = rejected
        .iter()
        .chain([&opened, &named, &inspected, &helped])
        .flat_map(|o| [o.stdout.clone(), o.stderr.clone()])
        .collect();
    let state = agent.state_files();
    assert!(!state.is_empty(), "counters are kept");
    for path in state {
        shown.extend([path.display().to_string(), fs::read_to_string(&path).expect("a state")]);
    }
    for text in shown {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn user_needs_only_the_permission_for_info() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let user = format!("--user default off --user monitor on >{PASSWORD} +info");
    let Some(_redis) = group.redis("users", &user) else { return };
    let file = secret(PASSWORD);
    let command = format!("run redis --filter {} --username monitor --password-file", group.filter());
    let output = Agent::with_engine(engine).run(&format!("{command} {}", file.path().display()));
    assert!(output.exits(0).without_diagnostics().metrics().count() > 10);
}

#[test]
fn unexpected_password_is_reported() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(_redis) = group.redis("open", "") else { return };
    let file = secret(PASSWORD);
    let command = format!("run redis --filter {} --password-file {}", group.filter(), file.path().display());
    let output = Agent::with_engine(engine).run(&command).exits(1);
    insta::assert_snapshot!(group.mask(&mask::ports(&output.stderr)));
}

/// Starts a server that sends `first` and then `again` repeatedly, unless it is empty. Returns the data that it
/// received.
fn sending(first: impl Into<Vec<u8>>, again: &'static str) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let (listener, first) = (TcpListener::bind("127.0.0.1:0").expect("a free port"), first.into());
    let address = listener.local_addr().expect("an address");
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut got = vec![0; 1000];
        let length = stream.read(&mut got).unwrap_or_default();
        got.truncate(length);
        let _ = stream.write_all(&first);
        let part = again.repeat(1000);
        // Until the client disconnects, or a hundred times the size that it may read.
        let mut sent = 0;
        while !again.is_empty() && sent < 100 << 20 && stream.write_all(part.as_bytes()).is_ok() {
            sent += part.len();
        }
        assert!(sent < 50 << 20, "the client read everything");
        got.extend(read_rest(stream));
        got
    };
    (address, thread::spawn(serve))
}

/// Reads the rest of a connection after the server has sent everything.
fn read_rest(mut stream: TcpStream) -> Vec<u8> {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn server_that_is_not_redis_is_one_line_and_gets_no_password() {
    let file = secret(PASSWORD);
    let password = format!("--password-file {}", file.path().display());
    let mut diagnostics = String::new();
    for (first, again) in [
        ("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", ""),
        ("-LOADING Redis is loading the dataset in memory\r\n", ""),
        ("-DENIED Redis is running in protected mode\r\n", ""),
        ("+PONG\r\n", ""),
        ("+PONG\r\n-ERR unknown command 'AUTH', with args beginning with: 'a-s3cret-of-its-own'\r\n", ""),
        ("", ""),
        ("$100\r\nuptime_in_seconds:1\r\n", ""),
        ("$5\r\nabcde\r\n", ""),
        ("$4294967295\r\n", "x"),
        ("", "x"),
        ("*1\r\n$4\r\nINFO\r\n", ""),
        ("\u{1b}[31m\u{202e}\r\n", ""),
    ] {
        for options in ["", &password] {
            let (address, server) = sending(first, again);
            let agent = Agent::without_engine();
            let output = agent.run(&format!("run redis --target {address} {options}")).exits(1);
            assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1), "{output}");
            let got = server.join().expect("the server thread ends");
            let is_redis =
                first.starts_with(['+', '-', '$']) && !first.contains("100") && !first.contains("4294967295");
            assert!(!output.stderr.contains(PASSWORD), "{output}");
            assert!(is_redis || !String::from_utf8_lossy(&got).contains(PASSWORD), "{first:?} got the password");
            let what = if first.is_empty() { again } else { first }.escape_debug().take(40).collect::<String>();
            let with = if options.is_empty() { "" } else { ", with a password" };
            let _ = write!(diagnostics, "'{what}'{with}\n    {}", mask::ports(&output.stderr));
        }
    }
    insta::assert_snapshot!(diagnostics);
}

/// Returns what a run prints, with the diagnostics.
fn shown(output: &Output) -> String {
    let values: Vec<_> =
        output.stdout.lines().filter_map(|line| line.rsplit_once('\t')).map(|(line, _)| line).collect();
    let values: Vec<_> = values.iter().filter_map(|line| line.splitn(3, '.').nth(2)).collect();
    format!("{}\n{}", values.join("\n"), mask::ports(&output.stderr))
}

#[test]
fn compatible_servers_are_read_as_far_as_they_report() {
    let mut printed = String::new();
    for name in ["garnet-2.2", "kvrocks-2.17", "pika-3.4", "dragonfly-2.0", "redis-2.4", "valkey-9"] {
        let info = fs::read_to_string(format!("fuzz/corpus/redis/{name}.txt")).expect("a reply to INFO");
        let (address, server) = sending(format!("${}\r\n{info}\r\n", info.len()), "");
        let command = format!("run redis --target {address}");
        let output = Agent::without_engine().run(&command).exits(0).without_diagnostics();
        server.join().expect("the server thread ends");
        let _ = writeln!(printed, "{name}\n{}", shown(&output));
    }
    insta::assert_snapshot!(printed);
}

#[test]
fn user_without_the_permission_for_cluster_info_keeps_the_other_metrics() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let user = format!("--cluster-enabled yes --user monitor on >{PASSWORD} +info");
    let Some(_redis) = group.redis("cluster", &user) else { return };
    let file = secret(PASSWORD);
    let command = format!("run redis --filter {} --username monitor --password-file", group.filter());
    let output = Agent::with_engine(engine).run(&format!("{command} {}", file.path().display())).exits(0);
    assert!(output.metrics().count() > 10, "{output}");
    insta::assert_snapshot!(group.mask(&mask::ports(&output.stderr)));
}

#[test]
fn user_without_the_permission_for_info_is_told_the_permission() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(_redis) = group.redis("users", &format!("--user monitor on >{PASSWORD} +ping")) else { return };
    let file = secret(PASSWORD);
    let command = format!("run redis --filter {} --username monitor --password-file", group.filter());
    let output = Agent::with_engine(engine).run(&format!("{command} {}", file.path().display())).exits(1);
    insta::assert_snapshot!(group.mask(&mask::ports(&output.stderr)));
}

#[test]
fn redis_that_refuses_ping_because_it_cannot_save_is_read() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let user = format!("--user monitor on >{PASSWORD} +info");
    // No file can be created in /proc.
    let Some(redis) = group.redis("full", &format!("--dir /proc --save 3600 1 {user}")) else { return };
    redis_cli(&redis, "BGSAVE");
    wait::until("Redis cannot save", || redis_cli(&redis, "PING").starts_with("MISCONF").then_some(()));
    let file = secret(PASSWORD);
    let command = format!("run redis --filter {} --username monitor --password-file", group.filter());
    let output = Agent::with_engine(engine).run(&format!("{command} {}", file.path().display()));
    assert!(output.exits(0).without_diagnostics().metrics().count() > 10);
}

#[test]
fn redis_without_a_free_connection_is_one_line() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(redis) = group.redis("full", "--maxclients 1") else { return };
    // The server can still count the connection that waited for its start, and reject this one.
    let _only = wait::until("the connection is served", || {
        let mut only = TcpStream::connect(redis.address()).ok()?;
        only.write_all(b"PING\r\n").ok()?;
        let mut reply = [0; 7];
        only.read_exact(&mut reply).ok()?;
        (&reply == b"+PONG\r\n").then_some(only)
    });
    let file = secret(PASSWORD);
    let agent = Agent::with_engine(engine);
    let lines = [String::new(), format!("--password-file {}", file.path().display())].map(|options| {
        let output = agent.run(&format!("run redis --filter {} {options}", group.filter())).exits(1);
        group.mask(&mask::ports(&output.stderr))
    });
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn redis_over_tls_is_read_with_the_trust_of_the_host() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(redis) = group.redis("plain", &format!("--requirepass {PASSWORD}")) else { return };
    let Some(front) = Front::before_target(&redis.address().to_string(), "127.0.0.1") else { return };
    let file = secret(PASSWORD);
    let password = format!("--password-file {}", file.path().display());
    let run = |agent: &Agent, target: &str, options: &str| agent.run(&format!("run redis --target {target} {options}"));
    let trusting = || front.trusted(Agent::without_engine());
    let target = front.process.target();
    let output = run(&trusting(), &target, &format!("--tls {password}")).exits(0).without_diagnostics();
    assert!(output.metrics().count() > 10, "{output}");

    let plain = redis.address().to_string();
    let diagnostics = [
        ("a certificate that is not trusted", run(&Agent::without_engine(), &target, &format!("--tls {password}"))),
        ("no --tls", run(&trusting(), &target, &password)),
        ("--tls for a server without TLS", run(&trusting(), &plain, &format!("--tls {password}"))),
    ]
    .map(|(what, output)| format!("{what}\n    {}", mask::ports(&output.exits(1).stderr)));
    insta::assert_snapshot!(diagnostics.concat());
}

#[test]
fn tls_alert_names_the_option() {
    let (address, server) = sending(*b"\x15\x03\x03\x00\x02\x02\x0a", "");
    let output = Agent::without_engine().run(&format!("run redis --target {address}")).exits(1);
    server.join().expect("the server thread ends");
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: redis: 127.0.0.1:PORT: the server uses TLS: try --tls");
    // A server that responds in another protocol.
    let (address, server) = sending("-ERR unknown command\r\n", "");
    let output = Agent::without_engine().run(&format!("run redis --tls --target {address}")).exits(1);
    server.join().expect("the server thread ends");
    insta::assert_snapshot!(mask::ports(&output.stderr), @"mackerel-plugin-wasm: redis: 127.0.0.1:PORT: the server does not use TLS on this port: try without --tls");
}

#[test]
fn connection_over_tls_cannot_be_recorded() {
    let Some(engine) = Engine::find() else { return };
    let group = engine.group();
    let Some(redis) = group.redis("plain", "") else { return };
    let Some(front) = Front::before_target(&redis.address().to_string(), "127.0.0.1") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = format!("test redis --tls --target {} --record", front.process.target());
    let agent = front.trusted(Agent::without_engine());
    let output = agent.run(&format!("{command} {}", folder.path().join("recording").display())).exits(1);
    insta::assert_snapshot!(mask::ports(&output.stdout));
}

#[test]
fn only_redis_can_connect_over_tls() {
    let agent = Agent::without_engine();
    let uses_tls = |collector: &&str| {
        let output = agent.run(&format!("inspect {collector}")).exits(0).without_diagnostics();
        output.stdout.contains("mackerel:collector/tls")
    };
    let all = ["docker", "gostats", "prometheus", "redis"];
    assert_eq!(all.into_iter().filter(uses_tls).collect::<Vec<_>>(), ["redis"]);
}

#[test]
fn definitions_are_those_of_mackerel_plugin_redis() {
    let output = Agent::without_engine().definitions("run redis").exits(0).without_diagnostics();
    let graphs = |text: &str| -> Value {
        let (_, json) = text.split_once('\n').expect("two lines");
        serde_json::from_str::<Value>(json).expect("JSON")["graphs"].take()
    };
    let mut ours = graphs(&output.stdout);
    // These are defined only if there are replicas, one line for each, which are unknown without a target.
    let replicas = ["redis.#.lag", "redis.#.offset_delay"].map(|key| {
        let graph = ours.as_object_mut().expect("an object").remove(key).expect("a graph of replicas");
        format!("{key}: {graph}\n")
    });
    insta::assert_snapshot!(replicas.concat(), @r#"
    redis.#.lag: {"label":"Redis.# Slave Lag","metrics":[{"label":"%2","name":"*","stacked":false}],"unit":"seconds"}
    redis.#.offset_delay: {"label":"Redis.# Slave Offset Delay","metrics":[{"label":"%2","name":"*","stacked":false}],"unit":"integer"}
    "#);
    assert_eq!(ours, graphs(&fs::read_to_string("golden/redis.meta.txt").expect("the golden file")));
}

#[test]
fn user_name_without_a_password_is_rejected() {
    let output = Agent::without_engine().run("run redis --target 127.0.0.1:1 --username monitor").exits(2);
    insta::assert_snapshot!(output.stderr, @"mackerel-plugin-wasm: redis: --username 'monitor' requires --password-file");
}
