//! The process and its build. The names of `process_…` are those that every Prometheus client uses.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::declaration::{labels, metrics};

labels! {
    /// The build.
    pub(crate) struct BuildLabels { version: &'static str }
}

metrics! {
    #[doc = "The process"]
    pub struct ProcessMetrics {
        #[doc = "1, with the version as a label."]
        build: Family<BuildLabels, Gauge> = "partway_build_info", "", build();
        #[doc = "Processor time."]
        cpu: Counter<f64, AtomicU64> = "process_cpu", "seconds";
        #[doc = "Resident memory."]
        resident: Gauge = "process_resident_memory", "bytes";
        #[doc = "Virtual memory."]
        virtual_memory: Gauge = "process_virtual_memory", "bytes";
        #[doc = "Open file descriptors."]
        open_fds: Gauge = "process_open_fds", "";
        #[doc = "Upper bound of open file descriptors."]
        max_fds: Gauge = "process_max_fds", "";
        #[doc = "Threads."]
        threads: Gauge = "process_threads", "";
        #[doc = "Start of the process, in Unix seconds."]
        start_time: Gauge<f64, AtomicU64> = "process_start_time", "seconds";
    }
}

fn build() -> Family<BuildLabels, Gauge> {
    let family = Family::<BuildLabels, Gauge>::default();
    family.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
    family
}

/// The fields of `/proc/self/stat` that are shown.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    start_ticks: u64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl Stat {
    /// From the text, as proc_pid_stat(5) describes it. The name of the program may contain anything.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // The first field after the name is number 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let signed = |field: usize| number(field).and_then(|number| i64::try_from(number).ok());
        Some(Self {
            cpu_ticks: number(14)?.checked_add(number(15)?)?,
            threads: signed(20)?,
            start_ticks: number(22)?,
            virtual_bytes: signed(23)?,
            resident_pages: signed(24)?,
        })
    }
}

impl ProcessMetrics {
    /// Reads the numbers of this process. Where `/proc` does not show them, the last ones stay.
    pub(super) fn refresh(&self) {
        let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
        if let Some(stat) = stat {
            let ticks_per_second = clock_ticks_per_second().max(1);
            let seconds = |ticks: u64| ticks as f64 / ticks_per_second as f64;
            self.cpu.inc_by((seconds(stat.cpu_ticks) - self.cpu.get()).max(0.0));
            self.threads.set(stat.threads);
            self.virtual_memory.set(stat.virtual_bytes);
            self.resident.set(stat.resident_pages.saturating_mul(i64::try_from(page_size()).unwrap_or(4096)));
            if let Some(booted_at) = booted_at() {
                self.start_time.set(booted_at as f64 + seconds(stat.start_ticks));
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is that of the directory.
            self.open_fds.set(i64::try_from(open.count()).unwrap_or(i64::MAX).saturating_sub(1));
        }
        let max = getrlimit(Resource::Nofile).current.map_or(i64::MAX, |max| i64::try_from(max).unwrap_or(i64::MAX));
        self.max_fds.set(max);
    }
}

/// Start of the machine, in Unix seconds.
fn booted_at() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_this_process_are_read() {
        let name_with_brackets =
            "7 (a) b (c) S 1 7 7 0 -1 0 1 0 2 0 30 12 0 0 20 0 5 0 900 4096000 250 18446744073709551615";
        let expected =
            Stat { cpu_ticks: 42, threads: 5, start_ticks: 900, virtual_bytes: 4_096_000, resident_pages: 250 };
        assert_eq!(Stat::parse(name_with_brackets), Some(expected));
        assert_eq!(Stat::parse("7 (x"), None);
        let metrics = ProcessMetrics::default();
        metrics.refresh();
        assert!(metrics.resident.get() > 1 << 20 && metrics.virtual_memory.get() > metrics.resident.get());
        assert!(metrics.open_fds.get() > 2 && metrics.max_fds.get() >= metrics.open_fds.get());
        assert!(metrics.threads.get() >= 1 && metrics.start_time.get() > 1.6e9);
        let before = metrics.cpu.get();
        let until = before + 0.05;
        while metrics.cpu.get() < until {
            std::hint::black_box((0..1_000_000_u64).sum::<u64>());
            metrics.refresh();
        }
    }
}
