//! The database: faults that keep a server from starting, and drawbacks.

use partway_server::Config;
use partway_server::db::{Db, DbError, ServerState};
use partway_server::service::workspace::Workspaces;

use super::{Doctor, Health, ill};
use crate::human;

const ADDRESS: &str = "database.url: host, port, user, password, name, sslmode; is the server running?";
const READ_ONLY: &str =
    "database.url: the address of the server that accepts writes; or the setting that makes it read-only";
const OWNERSHIP: &str = "the role: make it the owner of the database, `ALTER DATABASE … OWNER TO …`, and of its tables";

/// Tests the database.
pub(super) async fn examine(doctor: &mut Doctor, config: &Config) {
    if let Some(url) = &config.database.url {
        let (url, wanted) = (url.as_str().to_owned(), config.database.max_connections);
        let looked = tokio::task::spawn_blocking(move || {
            let state = ServerState::of_url(&url, wanted)?;
            let connections = if state.is_pooled { None } else { Some(ServerState::connections(&url, wanted)?) };
            Ok::<_, DbError>((state, connections))
        });
        let (state, connections) = match looked.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return doctor.report("database", of_error(&error)),
            Err(error) => return doctor.report("database", ill(&error, ADDRESS)),
        };
        if let Some(problem) = problem_of(&state) {
            return doctor.report("database", problem);
        }
        for doubt in doubts(&state, connections) {
            doctor.report("database", Health::Doubtful(doubt));
        }
    }
    let health = examine_records(config).await;
    doctor.report("database", health);
}

async fn examine_records(config: &Config) -> Health {
    let location = config.database();
    let is_new = config.database.url.is_none() && !config.storage.data_dir.join("partway.db").exists();
    if is_new {
        return Health::Well(format!("the first start creates {location}"));
    }
    let opened = tokio::task::spawn_blocking({
        let location = location.clone();
        move || Db::open_existing(&location)
    });
    let read = match opened.await {
        Ok(Ok(db)) => Workspaces::new(db).list().await,
        Ok(Err(error)) => Err(error),
        Err(error) => return ill(&error, "report this as a bug of Partway"),
    };
    match read {
        Ok(workspaces) => {
            Health::Well(format!("{location} answers, {}", human::count(workspaces.len() as u64, "workspace")))
        }
        Err(DbError::TooOld { found, .. }) => {
            Health::Well(format!("{location} answers; the first start brings its schema (version {found}) up to date"))
        }
        Err(error) if config.database.url.is_none() => ill(&error, "data_dir, or its permissions"),
        Err(error) => of_error(&error),
    }
}

fn of_error(error: &DbError) -> Health {
    let change = match error {
        DbError::ReadOnly(_) => READ_ONLY,
        DbError::Forbidden(_) => OWNERSHIP,
        DbError::Refused(_) => "database.url: user, password and name of the database; or the server's pg_hba.conf",
        DbError::Unsuitable(_) => "database.url: it must lead to a supported PostgreSQL server",
        DbError::TooNew { .. } => "the version of Partway: a newer one has used this database",
        _ => ADDRESS,
    };
    ill(error, change)
}

/// A fault with which a server does not start.
fn problem_of(state: &ServerState) -> Option<Health> {
    let (problem, change) = if let Some(problem) = state.unsuitable() {
        (problem, "database.url: it must lead to a supported PostgreSQL server")
    } else if state.is_standby {
        ("it is a standby of another server, which accepts no writes".to_owned(), READ_ONLY)
    } else if state.is_read_only {
        let problem =
            "transactions are read-only: default_transaction_read_only is on for the server, the database or the role";
        (problem.to_owned(), READ_ONLY)
    } else if let Some(tables) = &state.not_usable {
        (format!("the role may not read and write all tables: {tables}"), OWNERSHIP)
    } else {
        let Some(schema) = &state.schema else {
            let problem = "the role's search_path names no schema that exists, so tables cannot be created".to_owned();
            return Some(Health::Ill { problem, change: "the role's search_path, or create the schema" });
        };
        if state.may_create || state.has_tables && state.not_owned.is_none() {
            return None;
        }
        (format!("the role may not create tables in the schema {schema}: permission denied"), OWNERSHIP)
    };
    Some(Health::Ill { problem, change })
}

/// Drawbacks with which a server still works.
fn doubts(state: &ServerState, connections: Option<(u32, Option<DbError>)>) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(tables) = &state.not_owned {
        doubts.push(format!("tables belong to another role, so a newer version could not change them: {tables}"));
    }
    if state.is_pgpool {
        doubts.push(
            "pgpool is in front: with its load balancing, lists come from standbys and may be older than earlier answers; \
             set load_balance_mode = off for this database"
                .to_owned(),
        );
    }
    if let Some((made, Some(error))) = connections {
        doubts.push(format!(
            "only {made} of database.max_connections could be made in addition to those in use: {}",
            partway_server::error_chain(&error)
        ));
    }
    doubts
}
