//! Access to the database of the settings, next to a running server or without one.

use partway_server::config::Config;
use partway_server::db::{DatabaseLocation, Db, DbError};
use partway_server::error_chain;
use partway_server::service::admin::{Admin, AdminError};

use crate::Failure;

/// Runs one call of the administration on the database of the settings, which must exist.
pub(super) fn administer<T, E: Into<AdminError>>(
    config: &Config,
    call: impl AsyncFnOnce(&Admin) -> Result<T, E>,
) -> Result<T, Failure> {
    let admin = Admin::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(call(&admin)).map_err(|error| explain(&error.into()))
}

/// The error with advice, as text: if it says that something could not be shown, it is reported even where nobody reads
/// standard output.
fn explain(error: &AdminError) -> Failure {
    let advice = match error {
        AdminError::UnknownKey => "; `partway keys list` shows the ids",
        AdminError::UnknownWebhook(_) => "; `partway webhooks list` shows the ids",
        AdminError::WorkspaceNotNamed { .. } => "; name one with --workspace",
        _ => "",
    };
    format!("{}{advice}", error_chain(error)).into()
}

/// The database, or which one cannot be used and why.
pub(super) fn usable(opened: Result<Db, DbError>, location: &DatabaseLocation) -> Result<Db, Failure> {
    Ok(opened.map_err(|error| format!("the database {location} cannot be used: {}", error_chain(&error)))?)
}
