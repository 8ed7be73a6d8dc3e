//! Dashboards: Mackerel accepts them, and they draw exactly what a run posts. No engine runs here.

use std::collections::BTreeSet;
use std::fs;

use scenarios::agent::Agent;
use serde_json::Value;

/// Collectors with their required options, and some of the graphs that can be selected.
const COLLECTORS: [(&str, &str); 6] = [
    ("gostats", "memory.*"),
    ("docker", "memory.*"),
    ("docker --graphs all", "memory.*"),
    ("redis", "memory.*"),
    ("prometheus --metric go_goroutines --metric http_requests_total", "go_goroutines.*"),
    ("prometheus --metric http_*", "http_requests_total.*"),
];

/// Returns all these collectors with all kinds of options about posted metrics.
fn commands() -> impl Iterator<Item = String> {
    COLLECTORS.into_iter().flat_map(|(collector, some)| {
        let options = [
            String::new(),
            "--total sum,avg,max,min --targets-graph".to_owned(),
            "--total sum --total-only".to_owned(),
            format!("--select {some}"),
            format!("--exclude {some} --total max --targets-graph"),
            "--metric-key-prefix web.go".to_owned(),
            "--metric-key-prefix web.go --total avg,min".to_owned(),
        ];
        // The exclusions can remove all metrics.
        let leaves_some = move |options: &String| !(collector.ends_with('*') && options.starts_with("--exclude"));
        options.into_iter().filter(leaves_some).map(move |options| format!("{collector} {options}"))
    })
}

fn dashboard(command: &str) -> Value {
    with(command, "--role shop:api")
}

/// Returns the dashboard of labelled metrics.
fn labelled(command: &str) -> Value {
    with(command, "--otlp")
}

fn with(command: &str, options: &str) -> Value {
    let output = Agent::without_engine().run(&format!("dashboard {command} {options}"));
    let output = output.exits(0).without_diagnostics();
    serde_json::from_str(&output.stdout).expect("a dashboard is JSON")
}

/// Returns both dashboards of each command.
fn dashboards() -> impl Iterator<Item = (String, Value)> {
    commands().flat_map(|command| [dashboard, labelled].map(|of| (command.clone(), of(&command))))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Returns the widgets of this type.
fn widgets<'d>(dashboard: &'d Value, of: &'static str) -> impl Iterator<Item = &'d Value> {
    list(&dashboard["widgets"]).iter().filter(move |widget| widget["type"] == of)
}

/// A metric that a run posts: its name in Mackerel with `*` for unknown parts, its graph's name and unit.
struct Posted {
    name: String,
    graph: String,
    unit: String,
}

impl Posted {
    /// Returns whether an expression draws it under this name, which can have a `*` for a wildcard.
    fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Returns whether it is in the role graph of this name. Without a wildcard, a role graph has a single metric.
    fn is_in(&self, role_graph: &str) -> bool {
        role_graph.strip_suffix(".*") == Some(&self.graph) && !self.graph.contains('*')
    }
}

/// Returns the metrics that a run with these options defines and can post. `--cpu-format` decides which of two defined
/// graphs of docker has data.
fn defined(command: &str) -> Vec<Posted> {
    let output = Agent::without_engine().definitions(&format!("run {command}")).exits(0).without_diagnostics();
    let (_, json) = output.stdout.split_once('\n').expect("two lines");
    let json: Value = serde_json::from_str(json).expect("the second line is JSON");
    let graphs = json["graphs"].as_object().expect("graphs");
    let posted = graphs.iter().flat_map(|(key, graph)| {
        let key = format!("custom.{}", key.replacen('#', "*", 1));
        list(&graph["metrics"]).iter().map(move |metric| Posted {
            name: format!("{key}.{}", text(&metric["name"])),
            graph: key.clone(),
            unit: text(&graph["unit"]).to_owned(),
        })
    });
    posted.filter(|posted| !posted.graph.split('.').any(|part| part == "cpuacct")).collect()
}

/// Returns totals of metrics that only a target can name. They have no definition, and the names of the targets'
/// metrics without the target.
fn open_totals(command: &str) -> Vec<Posted> {
    let option = |name: &str| {
        let mut words = command.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).map(str::to_owned)
    };
    let collector = command.split(' ').next().expect("a collector");
    let prefix = format!("custom.{}", option("--metric-key-prefix").unwrap_or_else(|| collector.to_owned()));
    let totals = option("--total").unwrap_or_default();
    let of_each = defined(&command.replace("--total-only", ""));
    let totals = totals.split(',').filter(|total| !total.is_empty()).flat_map(|total| {
        let of_targets = of_each.iter().filter_map(|posted| {
            let prefix_of_each = format!("{prefix}.");
            let bare = |name: &str| {
                let mut parts: Vec<_> = name.strip_prefix(&prefix_of_each)?.split('.').collect();
                parts.remove(parts.iter().position(|part| *part == "*")?);
                Some([vec![&*format!("{prefix}_{total}")], parts].concat().join("."))
            };
            let [name, graph] = [bare(&posted.name)?, bare(&posted.graph)?];
            name.contains('*').then(|| Posted { name, graph, unit: posted.unit.clone() })
        });
        of_targets.collect::<Vec<_>>()
    });
    totals.collect()
}

/// Returns all metrics that a run with these options posts.
fn posted(command: &str) -> Vec<Posted> {
    defined(command).into_iter().chain(open_totals(command)).collect()
}

/// Returns the name in an expression that is just one metric of a role.
fn name_in(expression: &str) -> &str {
    // It has the history of hosts that left the role, too.
    let name = expression.strip_prefix("roleSlots('shop:api', '").and_then(|rest| rest.strip_suffix("')"));
    name.filter(|name| !name.contains('\'')).unwrap_or_else(|| panic!("another expression: {expression}"))
}

/// Returns the graphs of a dashboard as expressions and as names of role graphs.
fn graphs(dashboard: &Value) -> (Vec<&str>, Vec<&str>) {
    let (mut expressions, mut role_graphs) = (Vec::new(), Vec::new());
    for widget in widgets(dashboard, "graph") {
        let graph = &widget["graph"];
        match text(&graph["type"]) {
            "expression" => expressions.push(text(&graph["expression"])),
            "role" => {
                assert_eq!(graph["roleFullname"], "shop:api");
                role_graphs.push(text(&graph["name"]));
            }
            other => panic!("a graph of another kind: {other}"),
        }
    }
    (expressions, role_graphs)
}

#[test]
fn dashboards_match_mackerels_schema() {
    let schema = fs::read_to_string("golden/dashboard.schema.json").expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (command, dashboard) in dashboards() {
        let errors = validator.iter_errors(&dashboard).map(|error| format!("{}: {error}\n", error.instance_path()));
        assert_eq!(errors.collect::<String>(), "", "{command}");
    }
    // The schema must also reject something.
    for (pointer, value) in [
        ("/urlPath", Value::from("web.go")),
        ("/widgets/0/layout/width", Value::from(25)),
        ("/widgets/1/layout/height", Value::from(5)),
        ("/widgets/1/type", Value::from("chart")),
        ("/widgets/1/graph/type", Value::from("role")),
        ("/widgets/1/range", Value::from("1h")),
    ] {
        let mut dashboard = dashboard("gostats");
        *dashboard.pointer_mut(pointer).unwrap_or_else(|| panic!("there is {pointer}")) = value;
        assert!(!validator.is_valid(&dashboard), "{pointer}");
    }
}

#[test]
fn widgets_fill_the_grid_without_overlap() {
    for (command, dashboard) in dashboards() {
        let rectangle = |widget: &Value| {
            let [x, y, width, height] =
                ["x", "y", "width", "height"].map(|side| widget["layout"][side].as_u64().expect("a number"));
            (x..x + width, y..y + height)
        };
        let rectangles: Vec<_> = list(&dashboard["widgets"]).iter().map(rectangle).collect();
        for (place, (x, y)) in rectangles.iter().enumerate() {
            assert!(x.end <= 24, "{command}: {x:?} protrudes");
            for (other_x, other_y) in &rectangles[..place] {
                let apart = x.end <= other_x.start
                    || other_x.end <= x.start
                    || y.end <= other_y.start
                    || other_y.end <= y.start;
                assert!(apart, "{command}: {x:?} {y:?} and {other_x:?} {other_y:?}");
            }
        }
    }
}

#[test]
fn every_graph_has_a_title_and_a_section() {
    for (command, dashboard) in dashboards() {
        for widget in widgets(&dashboard, "graph").chain(widgets(&dashboard, "markdown")) {
            assert!(!text(&widget["title"]).trim().is_empty(), "{command}: {widget}");
        }
        assert_eq!(dashboard["widgets"][0]["type"], "markdown", "{command}: a title comes first");
        let titles: Vec<_> = widgets(&dashboard, "markdown").map(|widget| text(&widget["title"])).collect();
        assert_eq!(titles.iter().collect::<BTreeSet<_>>().len(), titles.len(), "{command}: repeated: {titles:?}");
        let of_each = defined(&command.replace("--total-only", ""));
        let targets = usize::from(command.contains("--targets-graph"));
        let declared: BTreeSet<_> =
            of_each.iter().map(|posted| &posted.graph).filter(|key| key.contains('*')).collect();
        assert_eq!(titles.len(), declared.len() + targets, "{command}: {titles:?} {declared:?}");
    }
}

#[test]
fn every_graph_draws_posted_metrics() {
    for command in commands() {
        let dashboard = dashboard(&command);
        let (expressions, role_graphs) = graphs(&dashboard);
        let posted = posted(&command);
        for expression in expressions {
            assert!(posted.iter().any(|posted| posted.is(name_in(expression))), "{command}: {expression}");
        }
        for name in role_graphs {
            assert!(posted.iter().any(|posted| posted.is_in(name)), "{command}: {name}");
        }
    }
}

#[test]
fn every_posted_metric_is_drawn_once() {
    for command in commands() {
        let dashboard = dashboard(&command);
        let (expressions, role_graphs) = graphs(&dashboard);
        for posted in posted(&command) {
            let by_itself = expressions.iter().filter(|expression| posted.is(name_in(expression)));
            let with_others = role_graphs.iter().filter(|name| posted.is_in(name));
            assert_eq!(by_itself.count() + with_others.count(), 1, "{command}: {}", posted.name);
        }
    }
}

#[test]
fn graphs_without_data_are_not_drawn() {
    let drawn = |options: &str| {
        let dashboard = dashboard(&format!("docker {options}"));
        let (expressions, role_graphs) = graphs(&dashboard);
        let names: Vec<_> =
            expressions.into_iter().map(name_in).chain(role_graphs).filter(|name| name.contains("cpu")).collect();
        format!("{options}\n    {}\n", names.join("\n    "))
    };
    let all = ["", "--cpu-format usage", "--graphs cpu,throttling --total max --total-only"].map(drawn);
    insta::assert_snapshot!(all.concat(), @"

        custom.docker.cpuacct_percentage.*.user
        custom.docker.cpuacct_percentage.*.system
    --cpu-format usage
        custom.docker.cpuacct.*.user
        custom.docker.cpuacct.*.system
    --graphs cpu,throttling --total max --total-only
        custom.docker_max.cpuacct_percentage.*
        custom.docker_max.cpu_throttling.periods.*
        custom.docker_max.cpu_throttling.time.*
    ");
    let nothing = Agent::without_engine().run("dashboard docker --role shop:api --select cpuacct.*").exits(2);
    assert_eq!(nothing.stdout, "");
    insta::assert_snapshot!(nothing.stderr, @"mackerel-plugin-wasm: no graph has data with these options");
}

#[test]
fn dashboard_snapshots() {
    let agent = Agent::without_engine();
    let with_totals = agent.run("dashboard gostats --role shop:api --total sum,avg --targets-graph");
    insta::assert_snapshot!("gostats_with_totals", with_totals.exits(0).without_diagnostics().stdout);
    let of_containers = agent.run("dashboard docker --role shop:api");
    insta::assert_snapshot!("docker", of_containers.exits(0).without_diagnostics().stdout);
}

#[test]
fn labelled_dashboard_snapshots() {
    let gostats = "dashboard gostats --total sum --targets-graph --select memory.* --select gc.gc_num --otlp";
    let gostats = Agent::without_engine().run(gostats).exits(0).without_diagnostics();
    insta::assert_snapshot!("labelled_gostats", gostats.stdout);
    let commands = [
        "docker",
        "docker --graphs all --select cpu_throttling.* --total max",
        "redis --select memory.* --otlp-service-label team",
        "prometheus --metric jobs --metric http_requests_total --total sum",
        "gostats --select gc.* --target 127.0.0.1:8080 --instance-name none",
        "gostats --select gc.* --target web-1:8080 --target web-2:8080",
        "gostats --select gc.* --metric-key-prefix my-web.1",
        "labels --allow gostats,redis --option gostats.select=runtime.* --option redis.select=memory.*",
    ];
    let lines = commands.map(|command| {
        let dashboard = labelled(command);
        let line = |widget: &Value| match widget["graph"].as_object() {
            Some(graph) => {
                format!("    {}: {} [{}]", text(&widget["title"]), text(&graph["query"]), text(&graph["legend"]))
            }
            None => format!("  {}: {}", text(&widget["title"]), text(&widget["markdown"])),
        };
        let lines: Vec<String> = list(&dashboard["widgets"]).iter().map(line).collect();
        let (title, path) = (text(&dashboard["title"]), text(&dashboard["urlPath"]));
        format!("{command}\n  # {title} ({path})\n{}\n", lines.join("\n"))
    });
    insta::assert_snapshot!("labelled", lines.join("\n"));
}

/// The URL of an embedded graph, parsed.
#[derive(Debug, PartialEq)]
struct Embedded {
    query: String,
    unit: String,
    title: String,
    period: String,
}

impl Embedded {
    fn read(address: &str) -> Self {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%".contains(&byte);
        assert!(address.bytes().all(allowed), "not encoded: {address}");
        let start = "https://mackerel.io/embed/orgs/example-org/advanced-graph?";
        let query = address.strip_prefix(start).unwrap_or_else(|| panic!("another address: {address}"));
        let fields: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["query", "unit", "title", "period"], "{address}");
        let [query, unit, title, period] =
            fields.into_iter().map(|(_, value)| value).collect::<Vec<_>>().try_into().expect("four");
        Self { query, unit, title, period }
    }
}

#[test]
fn urls_are_those_of_the_dashboards_graphs() {
    for command in commands() {
        let dashboard = dashboard(&command);
        let (expressions, role_graphs) = graphs(&dashboard);
        let role_graphs = role_graphs.iter().map(|name| format!("roleSlots('shop:api', '{name}')"));
        let expected: BTreeSet<_> = expressions.iter().map(|text| (*text).to_owned()).chain(role_graphs).collect();
        let output = Agent::without_engine().run(&format!("dashboard {command} --role shop:api --urls example-org"));
        let output = output.exits(0).without_diagnostics();
        let lines: Vec<_> = output.stdout.lines().collect();
        let posted = posted(&command);
        let mut found = BTreeSet::new();
        for lines in lines.chunks(4) {
            let (title, addresses) = lines.split_first().expect("a title");
            assert_eq!(addresses.len(), 3, "{output}");
            let address =
                |line: &&str| line.strip_prefix("  ").unwrap_or_else(|| panic!("{line} in {output}")).to_owned();
            let embedded: Vec<_> = addresses.iter().map(|line| Embedded::read(&address(line))).collect();
            let periods: Vec<_> = embedded.iter().map(|embedded| embedded.period.as_str()).collect();
            assert_eq!(periods, ["1h", "1d", "1w"], "{output}");
            for embedded in embedded {
                assert_eq!(embedded.title, *title, "{output}");
                let name = name_in(&embedded.query);
                let posted = posted.iter().find(|posted| posted.is(name) || posted.is_in(name));
                let posted = posted.unwrap_or_else(|| panic!("not posted: {name}"));
                assert_eq!(embedded.unit, posted.unit, "{command}: {name}");
                found.insert(embedded.query);
            }
        }
        assert_eq!(found, expected, "{command}");
        assert_eq!(lines.len(), 4 * expected.len(), "each once: {output}");
    }
}

#[test]
fn urls_snapshot() {
    let command = "dashboard gostats --role shop:api --total sum --select gc.* --urls example-org";
    insta::assert_snapshot!(Agent::without_engine().run(command).exits(0).without_diagnostics().stdout);
}

#[test]
fn dashboard_needs_no_engine_and_no_secret() {
    let command = "dashboard redis --role shop:cache --password-file /nonexistent/password";
    let output = Agent::without_engine().run(command).exits(0).without_diagnostics();
    let with: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let output = Agent::without_engine().run("dashboard redis --role shop:cache").exits(0).without_diagnostics();
    let without: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(with["widgets"], without["widgets"]);
}

#[test]
fn existing_dashboard_is_replaced_by_id() {
    let mut replacing = dashboard("gostats --dashboard-id 2u4PP3TJqbu");
    let id = replacing.as_object_mut().expect("an object").remove("id");
    assert_eq!(id, Some(Value::from("2u4PP3TJqbu")));
    let mut new = dashboard("gostats");
    assert_eq!(new.get("id"), None);
    // The memo has the command.
    replacing["memo"].take();
    new["memo"].take();
    assert_eq!(replacing, new);
}

#[test]
fn invalid_options_are_rejected_with_the_reason() {
    let errors = [
        "",
        "--role shop",
        "--role shop:",
        "--role shop:api --urls a/b",
        "--role shop:api --urls example-org --dashboard-id x",
        "--role shop:api --select nonsense",
        "--role shop:api --total-only",
        "--role shop:api --otlp",
        "--urls example-org --otlp",
    ];
    let errors = errors.map(|options| {
        let output = Agent::without_engine().run(&format!("dashboard gostats {options}")).exits(2);
        assert_eq!(output.stdout, "", "stdout of {output}");
        format!("{options}\n{}\n", output.stderr)
    });
    insta::assert_snapshot!(errors.concat());
}
