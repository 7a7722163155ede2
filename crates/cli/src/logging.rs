//! The log, on standard error.

use std::io::IsTerminal;

use partway_server::config::{LogFormat, LogSettings};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Failure;

/// Reads `log.filter`.
///
/// # Errors
/// When it is malformed: the message names the setting, its value and what is allowed.
pub(crate) fn filter(settings: &LogSettings) -> Result<Targets, Failure> {
    let refused = |why: String| format!("log.filter is {:?}: {why}", settings.filter);
    if settings.filter.contains('[') {
        return Err(refused("allowed are levels and `module=level`, without spans".to_owned()).into());
    }
    Ok(settings.filter.parse().map_err(|error| refused(format!("{error}")))?)
}

/// Starts logging with these settings.
pub(crate) fn start(settings: &LogSettings) -> Result<(), Failure> {
    let filter = filter(settings)?;
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // The report of a failed write, on a full disk, would go to the same place, fail, and panic.
        .log_internal_errors(false);
    let log = match settings.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).init();
    Ok(())
}
