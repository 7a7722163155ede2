//! Results: one JSON line a run, and a Markdown table of many.

use std::io::BufRead;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::Failure;

#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// A row's label: below the table stands what the other rows of the same load are of it.
    #[arg(long)]
    base: Option<String>,
}

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) label: String,
    /// Description of the load.
    pub(crate) load: String,
    /// Uploaded MiB per second from the first PUT to the last 200; 0 where it was not measured.
    pub(crate) upload_mib_s: f64,
    /// The same from start to complete's answer.
    pub(crate) whole_mib_s: f64,
    /// Files per second; 0 for one large file.
    pub(crate) files_s: f64,
    pub(crate) start_ms: f64,
    pub(crate) complete_ms: f64,
    /// Server processor seconds per GiB.
    pub(crate) cpu_s_per_gib: f64,
    pub(crate) peak_mib: f64,
}

/// Prints a run as JSON.
pub(crate) fn print(row: &Row) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(row)?);
    Ok(())
}

/// Medians of the runs with the same label and load, as a table.
pub(crate) fn table(args: &TableArgs) -> Result<(), Failure> {
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let row: Row = serde_json::from_str(&line?)?;
        match groups.iter_mut().find(|group| group[0].label == row.label && group[0].load == row.load) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    println!(
        "| | load | runs | upload MiB/s | whole MiB/s | files/s | start ms | complete ms | server CPU s/GiB | peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for group in &groups {
        let column = |value: fn(&Row) -> f64, digits: usize| match median(group.iter().map(value)) {
            0.0 => String::new(),
            value => format!("{value:.digits$}"),
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            group[0].label,
            group[0].load,
            group.len(),
            column(|row| row.upload_mib_s, 0),
            column(|row| row.whole_mib_s, 0),
            column(|row| row.files_s, 0),
            column(|row| row.start_ms, 1),
            column(|row| row.complete_ms, 1),
            column(|row| row.cpu_s_per_gib, 2),
            column(|row| row.peak_mib, 0),
        );
    }
    if let Some(base) = &args.base {
        print_ratios(&groups, base);
    }
    Ok(())
}

/// The ratios of the medians.
fn print_ratios(groups: &[Vec<Row>], base_label: &str) {
    type Measure = (&'static str, fn(&Row) -> f64);
    const MEASURES: [Measure; 3] = [
        ("upload MiB/s", |row| row.upload_mib_s),
        ("whole MiB/s", |row| row.whole_mib_s),
        ("files/s", |row| row.files_s),
    ];
    println!();
    for base in groups.iter().filter(|group| group[0].label == base_label) {
        let others = groups.iter().filter(|group| group[0].load == base[0].load && group[0].label != base_label);
        for group in others {
            for (name, value) in MEASURES {
                let (ours, theirs) = (median(group.iter().map(value)), median(base.iter().map(value)));
                if theirs > 0.0 {
                    println!("{name}: {} has {:.3} × {base_label}", group[0].label, ours / theirs);
                }
            }
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
