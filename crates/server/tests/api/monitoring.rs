//! The files in deploy/ that monitor Partway: each metric that they name exists, and has the labels that they use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use partway_server::Config;
use partway_server::config::SettingsReader;
use partway_server::metrics::{MetricDoc, documentation};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

/// Labels that Prometheus adds, and the one of buckets.
const GIVEN_LABELS: [&str; 3] = ["job", "instance", "le"];

/// Metrics that the dashboard does not show, in the order of docs/METRICS.md, each with the reason.
const NOT_ON_THE_DASHBOARD: [(&str, &str); 5] = [
    ("partway_workspaces", "operators make workspaces by hand, so the number surprises nobody"),
    ("partway_cleaner_round_duration_seconds", "the time since the last round shows rounds that take too long"),
    ("process_virtual_memory_bytes", "no limit depends on reserved addresses; resident memory is shown"),
    ("process_threads", "threads follow from the parts and queries in flight, which are shown"),
    ("process_start_time_seconds", "a moment, not a course: alerts and `resets()` use it"),
];

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Suffixes of the series of a metric.
fn series_of(metric: &MetricDoc) -> &'static [&'static str] {
    if metric.kind() == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] }
}

/// Every series of the server, with the names of its labels.
fn documented() -> BTreeMap<String, &'static [&'static str]> {
    let mut series = BTreeMap::new();
    for metric in documentation().into_iter().flat_map(|(_, metrics)| metrics) {
        for suffix in series_of(metric) {
            series.insert(format!("{}{suffix}", metric.full_name()), metric.labels);
        }
    }
    series
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The series of an expression, and the names of the labels that select in each.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(is_of_name) {
        let length = rest[at..].find(|c| !is_of_name(c)).unwrap_or(rest.len() - at);
        let name = &rest[at..at + length];
        rest = &rest[at + length..];
        let selector = rest.strip_prefix('{').map(|inner| inner.split_once('}').expect("an end of the selector"));
        let labels = selector.map_or(Vec::new(), |(inner, after)| {
            rest = after;
            // No value in these files has a comma.
            inner.split(',').map(|part| part.split(['=', '!']).next().unwrap().trim().to_owned()).collect()
        });
        if ["partway_", "process_", "up"].iter().any(|begin| name.starts_with(begin)) {
            found.push((name.to_owned(), labels));
        }
    }
    found
}

/// Checks an expression, and returns the series that it names.
fn check(expression: &str) -> BTreeSet<String> {
    let documented = documented();
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        let count = |wanted: char| expression.chars().filter(|c| *c == wanted).count();
        assert_eq!(count(open), count(close), "{expression}");
    }
    let selectors = selectors(expression);
    for (name, labels) in &selectors {
        let of_metric = match name.as_str() {
            "up" => &[],
            name => *documented.get(name).unwrap_or_else(|| panic!("there is no {name}: {expression}")),
        };
        for label in labels {
            let is_known = of_metric.contains(&label.as_str()) || GIVEN_LABELS.contains(&label.as_str());
            assert!(is_known, "{name} has no label {label}: {expression}");
        }
    }
    selectors.into_iter().map(|(name, _)| name).collect()
}

fn items<'y, 'i>(node: &'y Yaml<'i>) -> impl Iterator<Item = &'y Yaml<'i>> {
    (0..).map_while(|index| node.as_sequence_get(index))
}

fn text<'y>(node: &'y Yaml<'_>, key: &str) -> &'y str {
    node.as_mapping_get(key).and_then(Yaml::as_str).unwrap_or_else(|| panic!("no text {key} in {node:?}"))
}

#[test]
fn deployed_servers_serve_metrics_off_the_public_listener() {
    let listen = "127.0.0.1:9464".parse().unwrap();
    let settings = SettingsReader::default().with_toml("partway.toml", &deployed("systemd/partway.toml"));
    assert_eq!(Config::read(settings).unwrap().metrics.listen, Some(listen));
    let install = "cp --no-clobber deploy/systemd/partway.toml /etc/partway/partway.toml";
    assert!(deployed("systemd/partway.service").contains(install));
    // The documents, and the settings of nodes at the head of their unit.
    for file in ["systemd/partway-node@.service", "../docs/OPERATIONS.md"] {
        let text = deployed(file);
        let plain: Vec<_> = text.lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
        let sections = plain.windows(2).filter(|lines| lines[0] == "[metrics]");
        let listens: Vec<_> = sections.map(|lines| lines[1].split(" #").next().unwrap().trim()).collect();
        let is_so = |line: &&str| *line == format!("listen = \"{listen}\"");
        assert!(!listens.is_empty() && listens.iter().all(is_so), "{file}: {listens:?}");
    }
    for unit in ["partway.service", "partway-node@.service"] {
        let file = deployed(&format!("systemd/{unit}"));
        let hidden = file.lines().any(|line| line.starts_with("Environment=PARTWAY_METRICS_LISTEN"));
        assert!(!hidden, "{unit} overrides what the administrator's file says");
    }
    for (file, service) in [("one-machine.yml", "partway"), ("cluster.yml", "partway1")] {
        let text_of_file = deployed(&format!("compose/{file}"));
        let documents = Yaml::load_from_str(&text_of_file).unwrap();
        let service = documents[0].as_mapping_get("services").unwrap().as_mapping_get(service).unwrap();
        let environment = service.as_mapping_get("environment").unwrap();
        assert_eq!(text(environment, "PARTWAY_METRICS_LISTEN"), "0.0.0.0:9464", "{file}");
        // Outside of the containers it is on the machine's own address, or nowhere.
        let ports = service.as_mapping_get("ports").into_iter().flat_map(items).filter_map(Yaml::as_str);
        let published: Vec<_> = ports.filter(|port| port.ends_with(":9464")).collect();
        assert!(published.iter().all(|port| port.starts_with("127.0.0.1:")), "{file}: {published:?}");
    }
}

#[test]
fn each_alert_names_metrics_that_exist_and_says_what_to_do() {
    let file = deployed("prometheus/alerts.yml");
    let documents = Yaml::load_from_str(&file).unwrap();
    let mut names = BTreeSet::new();
    let mut used = BTreeSet::new();
    for group in items(documents[0].as_mapping_get("groups").unwrap()) {
        assert_eq!(text(group, "name"), "partway");
        for rule in items(group.as_mapping_get("rules").unwrap()) {
            assert!(names.insert(text(rule, "alert").to_owned()), "twice: {rule:?}");
            let series = check(text(rule, "expr"));
            assert!(!series.is_empty(), "{rule:?}");
            used.extend(series);
            let severity = text(rule.as_mapping_get("labels").unwrap(), "severity");
            assert!(["critical", "warning"].contains(&severity), "{severity}");
            let annotations = rule.as_mapping_get("annotations").unwrap();
            assert!(text(annotations, "summary").len() > 10 && text(annotations, "description").len() > 20);
        }
    }
    for name in
        ["Down", "DatabaseDown", "NumbersOld", "ServerErrors", "DiskNearlyFull", "CleanerNotRunning", "ManyStalls"]
    {
        assert!(names.contains(&format!("Partway{name}")), "{names:?}");
    }
    assert!(used.contains("partway_webhook_events") && used.contains("up"), "{used:?}");
}

#[test]
fn each_panel_of_the_dashboard_shows_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&deployed("grafana/partway.json")).unwrap();
    let (mut used, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "twice: {panel}");
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            used.extend(check(target["expr"].as_str().unwrap()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        check(variable["query"].as_str().unwrap());
    }
    let shown = |metric: &MetricDoc| {
        let name = metric.full_name();
        series_of(metric).iter().any(|suffix| used.contains(&format!("{name}{suffix}")))
    };
    let metrics = documentation().into_iter().flat_map(|(_, metrics)| metrics);
    let missing: Vec<_> = metrics.filter(|metric| !shown(metric)).map(MetricDoc::full_name).collect();
    let expected: Vec<_> = NOT_ON_THE_DASHBOARD.iter().map(|(name, _)| *name).collect();
    assert_eq!(missing, expected, "a metric belongs on the dashboard, or with a reason into NOT_ON_THE_DASHBOARD");
    assert!(NOT_ON_THE_DASHBOARD.iter().all(|(_, reason)| reason.len() > 20));
}

#[test]
fn a_name_or_a_label_that_does_not_exist_is_found() {
    for wrong in [
        "rate(partway_http_request_total[5m])",
        "partway_files{state=\"x\"}",
        "partway_database_query_duration_seconds",
        "sum(partway_files",
    ] {
        assert!(std::panic::catch_unwind(|| check(wrong)).is_err(), "{wrong}");
    }
    assert_eq!(
        check("sum by (le) (rate(partway_http_request_duration_seconds_bucket{route=~\"/a\",le=\"1\"}[5m]))").len(),
        1
    );
}
