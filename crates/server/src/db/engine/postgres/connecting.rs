//! Settings and time limits of connecting to PostgreSQL.

use std::sync::mpsc;
use std::time::Duration;

use super::server_url::ServerUrl;
use crate::db::sql::DbError;

/// A server that takes longer to accept a connection is unreachable.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without an acknowledgement a connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Reads the settings of the URL, and sets time limits that it does not set.
pub(super) fn read_url(url: &str) -> Result<ServerUrl, DbError> {
    let mut server = ServerUrl::parse(url).map_err(|problem| DbError::Unsuitable(format!("database.url {problem}")))?;
    let config = &mut server.config;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(DEAD_AFTER);
    }
    if config.get_application_name().is_none() {
        config.application_name("partway");
    }
    config.keepalives_idle(DEAD_AFTER);
    config.keepalives_interval(DEAD_AFTER / 3);
    config.keepalives_retries(3);
    Ok(server)
}

/// The URL without its password.
pub(in crate::db::engine) fn without_password(url: &str) -> String {
    ServerUrl::parse(url).map_or_else(|_| "the PostgreSQL database".to_owned(), |server| server.to_string())
}

pub(super) fn no_connection_left(waited: Duration, max_connections: u32) -> String {
    format!(
        "a connection was accepted and got no answer for {} s: a pool between Partway and the server has none left; allowed: a pool \
         that has database.max_connections ({max_connections}) for each node and 2 for each command",
        waited.as_secs()
    )
}

/// The result of `work`, or `None` after `limit`; the thread then goes on by itself.
pub(super) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::Builder::new().name("db-connect".to_owned()).spawn(move || sender.send(work()));
    spawned.ok()?;
    receiver.recv_timeout(limit).ok()
}
