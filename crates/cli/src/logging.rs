//! The log, on standard error.

use std::io::IsTerminal;

use partway_server::config::{LogFormat, LogSettings};
use tracing_subscriber::EnvFilter;

use crate::Failure;

/// Starts logging as the settings say.
pub(crate) fn start(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|error| format!("log.filter is {:?}: {error}", settings.filter))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written, on a full disk, would be told to the same place, and that panics.
        .log_internal_errors(false);
    match settings.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
