//! A scrape, parsed as strictly as a collector may: Prometheus' text format 0.0.4, and OpenMetrics 1.0.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// The metrics of a server at one moment.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub text: String,
    /// Type of each metric, by its name in the text.
    pub types: BTreeMap<String, String>,
    samples: BTreeMap<String, Vec<(Labels, f64)>>,
}

impl Scrape {
    /// Parses the text; every mistake of it fails the test.
    pub(crate) fn parse(text: &str, is_openmetrics: bool) -> Self {
        let mut scrape = Self { text: text.to_owned(), types: BTreeMap::new(), samples: BTreeMap::new() };
        assert!(text.ends_with('\n'), "the last line is cut");
        assert_eq!(text.ends_with("# EOF\n"), is_openmetrics);
        let (mut helped, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.len() > 5 && help.ends_with('.'), "{line}");
                assert!(helped.insert(name.to_owned()), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(is_openmetrics && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "a series is there twice: {line}");
                scrape.sample(line, is_openmetrics);
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, is_openmetrics: bool) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}').unwrap())),
            None => (series, Labels::new()),
        };
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{line}");
        let is_of = |metric: &str, kind: &str| match (name.strip_prefix(metric), kind) {
            (Some("_bucket" | "_sum" | "_count"), "histogram") | (Some(""), "gauge") => true,
            (Some(suffix), "counter") => suffix == if is_openmetrics { "_total" } else { "" },
            _ => false,
        };
        let owners = self.types.iter().filter(|(metric, kind)| is_of(metric, kind)).count();
        assert_eq!(owners, 1, "{line} has no type");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        self.samples.entry(name.to_owned()).or_default().push((labels, value));
    }

    fn check_histograms(&self) {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut rising: BTreeMap<Labels, (f64, f64)> = BTreeMap::new();
            for (labels, value) in self.series(&format!("{name}_bucket")) {
                let mut of = labels.clone();
                let bound: f64 = of.remove("le").unwrap().replace("+Inf", "inf").parse().unwrap();
                let (last_bound, last) = rising.entry(of).or_insert((-1.0, 0.0));
                assert!(bound > *last_bound && value >= last, "{name}: {labels:?}");
                (*last_bound, *last) = (bound, *value);
            }
            for (labels, count) in self.series(&format!("{name}_count")) {
                assert_eq!(rising.get(labels), Some(&(f64::INFINITY, *count)), "{name}: {labels:?}");
            }
        }
    }

    /// All samples of a name.
    pub(crate) fn series(&self, name: &str) -> &[(Labels, f64)] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of the samples that have these labels; `None` without any.
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |of: &Labels| labels.iter().all(|(label, value)| of.get(*label).is_some_and(|is| is == value));
        let found: Vec<f64> = self.series(name).iter().filter(|(of, _)| has(of)).map(|(_, value)| *value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The same as a whole number; 0 without any.
    pub(crate) fn number(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let value = self.find(name, labels).unwrap_or_default();
        assert!(value >= 0.0 && value.fract() == 0.0, "{name} {labels:?}: {value}");
        value as u64
    }

    /// All values that labels have.
    pub(crate) fn label_values(&self) -> BTreeSet<(String, String)> {
        let labels = self.samples.values().flatten().flat_map(|(labels, _)| labels.clone());
        labels.filter(|(label, _)| label != "le").collect()
    }
}

/// `a="x",b="y"`. No value of this server needs an escape.
fn parse_labels(text: &str) -> Labels {
    assert!(!text.contains('\\'), "{text}");
    let mut labels = Labels::new();
    for pair in text.split_terminator("\",").map(|pair| pair.trim_end_matches('"')) {
        let (label, value) = pair.split_once("=\"").unwrap();
        assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "twice: {text}");
    }
    labels
}
