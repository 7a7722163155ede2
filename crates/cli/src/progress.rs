//! Progress of an upload or a download: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use partway_client::{DownloadEvent, Error, Event};

use crate::{human, output};

/// Between two plain lines: a compromise between a sign of life and a short log.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left {msg}";

/// The progress of one file.
pub(crate) struct Progress {
    bar: ProgressBar,
    label: String,
    as_lines: bool,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// With `quiet`, only problems are shown.
    pub(crate) fn new(label: &str, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let label = human::plain(label);
        let bar = ProgressBar::with_draw_target(None, target).with_prefix(label.clone());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar, label, as_lines: !terminal && !quiet, last_line: Mutex::new(Instant::now()) }
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Session { .. } | Event::PartSent { .. } => {}
            Event::Comparing { parts } => {
                self.bar.set_message("- comparing the parts sent before");
                self.line(&format!("comparing {} with the file", human::count((*parts).into(), "part")));
            }
            Event::Compared { others: [], .. } => self.bar.set_message(""),
            Event::Compared { others, .. } => {
                self.bar.set_message("");
                let parts = human::count(others.len() as u64, "part");
                let these = if others.len() == 1 { "it is" } else { "they are" };
                self.say(&format!(
                    "{parts} on the server may be of another version of the file, and the store compares no hashes: \
                     {these} sent again"
                ));
            }
            Event::Started { session_id, parts_total, parts_there, size_bytes, bytes_there } => {
                self.bar.set_length(*size_bytes);
                self.bar.set_position(*bytes_there);
                self.bar.reset_eta();
                let there = match parts_there {
                    0 => String::new(),
                    there => format!(", {there} of them sent before"),
                };
                self.line(&format!("{} in {parts_total} parts{there}, session {session_id}", HumanBytes(*size_bytes)));
            }
            Event::Sent { bytes } => {
                self.bar.inc(*bytes);
                self.occasional_line();
            }
            Event::Retrying { error, bytes_lost, pause } => self.retrying(error, *bytes_lost, *pause),
            Event::FewerAtOnce { error, limit, at_once } => {
                let (seconds, parts) = (limit.as_secs_f64().round(), human::count(*at_once as u64, "part"));
                self.say(&format!(
                    "{error}, after about {seconds} s, as earlier attempts did: a proxy in front of the server seems to end \
                     requests after that time; sending {parts} at a time from now on"
                ));
            }
            Event::MoreAtOnce { at_once } => {
                let parts = human::count(*at_once as u64, "part");
                self.say(&format!("a request lasted much longer than that time; sending {parts} at a time again"));
            }
            Event::SmallerParts { error, part_size } => {
                self.say(&format!("{error}; starting again in parts of {}", HumanBytes(*part_size)));
            }
            Event::Completing => {
                self.bar.set_message("- completing");
                self.line("all parts sent, completing");
            }
        }
    }

    /// The same for a download.
    pub(crate) fn show_download(&self, event: &DownloadEvent<'_>) {
        match event {
            DownloadEvent::Restarted => {
                self.say("the bytes of an earlier download are of another version of the file; starting again");
            }
            DownloadEvent::Started { size_bytes, bytes_there } => {
                if let Some(size_bytes) = size_bytes {
                    self.bar.set_length(*size_bytes);
                }
                self.bar.set_position(*bytes_there);
                self.bar.reset_eta();
                let size = size_bytes.map_or_else(|| "of unknown size".to_owned(), |size| HumanBytes(size).to_string());
                let there = match bytes_there {
                    0 => String::new(),
                    there => format!(", {} of them downloaded before", HumanBytes(*there)),
                };
                self.line(&format!("{size}{there}"));
            }
            DownloadEvent::Received { bytes } => {
                self.bar.inc(*bytes);
                self.occasional_line();
            }
            DownloadEvent::Retrying { error, bytes_lost, pause } => self.retrying(error, *bytes_lost, *pause),
            DownloadEvent::Completing => {
                self.bar.set_message("- completing");
                self.line("all bytes received, completing");
            }
        }
    }

    fn retrying(&self, error: &Error, bytes_lost: u64, pause: Duration) {
        self.bar.set_position(self.bar.position().saturating_sub(bytes_lost));
        self.say(&format!("{error}; retrying in {:.1} s", pause.as_secs_f64()));
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| output::say(format_args!("{}: {text}", self.label)));
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn occasional_line(&self) {
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if self.as_lines && last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let (sent, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
            let rate = HumanBytes(self.bar.per_sec() as u64);
            let left = self.bar.eta().as_secs();
            self.line(&format!("{} of {}, {rate}/s, {left} s left", HumanBytes(sent), HumanBytes(total)));
        }
    }

    fn line(&self, text: &str) {
        if self.as_lines {
            output::say(format_args!("{}: {text}", self.label));
        }
    }
}
