//! Counters of the contents of each workspace, so that starting an upload need not sum up a million files, and of the open
//! sessions of each key.
//!
//! Invariant: a counter changes in the same transaction as the rows that it counts. Only `files` and `sessions` call `change` and
//! `change_key`.

mod amount;
mod recount;

use uuid::Uuid;

pub use self::amount::Amount;
pub use self::recount::{add_up, counts_its_folders, miscounted_folders, miscounted_keys, recount};
use crate::db::sql::{DbError, Row, Tx, columns};
use crate::model::WorkspaceLimits;

const TABLE: &str = "workspaces";

/// Contents of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The workspace.
    pub workspace_id: Uuid,
    /// Its number.
    pub workspace_no: String,
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: Amount,
    /// Its open sessions, each with the full size of its file.
    pub sessions: Amount,
    /// Those of its open sessions that were started with public keys.
    pub public_sessions: Amount,
    /// Limits of this workspace.
    pub limits: WorkspaceLimits,
}

impl WorkspaceLimits {
    /// From four columns.
    pub(super) fn from_row(row: &Row<'_>, column: usize) -> Result<Self, DbError> {
        let limit = |column| row.get::<Option<i64>>(column)?.map(|_| columns::size(TABLE, row, column)).transpose();
        Ok(Self {
            storage_bytes: limit(column)?,
            max_file_bytes: limit(column + 1)?,
            max_open_sessions: limit(column + 2)?,
            requests_per_second: limit(column + 3)?,
        })
    }
}

/// Open sessions that count towards a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// None.
    None,
    /// Those of private keys.
    Private,
    /// All of them.
    All,
}

impl Usage {
    /// The open sessions that count.
    fn counted(&self, counting: Counting) -> Amount {
        let (all, public) = (self.sessions, self.public_sessions);
        match counting {
            Counting::None => Amount::default(),
            Counting::Private => {
                Amount { count: all.count.saturating_sub(public.count), bytes: all.bytes.saturating_sub(public.bytes) }
            }
            Counting::All => all,
        }
    }

    /// Bytes that count towards the limit: those of files, and of the open sessions in `counting`.
    pub fn counted_bytes(&self, counting: Counting) -> u64 {
        u64::try_from(self.files.bytes.saturating_add(self.counted(counting).bytes)).unwrap_or(0)
    }

    /// Number of open sessions in `counting`.
    pub fn counted_sessions(&self, counting: Counting) -> u64 {
        u64::try_from(self.counted(counting).count).unwrap_or(0)
    }
}

/// A kind of row that is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    File,
    Session,
}

/// Adds (`sign` 1) or subtracts (`sign` -1) one file or session.
pub(super) fn change(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    counted: Counted,
    sign: i64,
    size_bytes: u64,
) -> Result<(), DbError> {
    let sql = match counted {
        Counted::File => {
            "UPDATE workspaces SET files_count = files_count + ?2, files_bytes = files_bytes + ?3 WHERE id = ?1"
        }
        Counted::Session => {
            "UPDATE workspaces SET sessions_count = sessions_count + ?2, sessions_bytes = sessions_bytes + ?3 WHERE id = ?1"
        }
    };
    tx.execute(sql, &[&workspace_id.to_string(), &sign, &(sign * columns::size_to_sql(size_bytes))])?;
    Ok(())
}

/// Adds (`sign` 1) or subtracts (`sign` -1) one session of a key. Lock order: the row of the workspace comes before that of the
/// key.
pub(super) fn change_key(tx: &Tx<'_>, api_key_id: Uuid, sign: i64, size_bytes: u64) -> Result<(), DbError> {
    let sql =
        "UPDATE api_keys SET sessions_count = sessions_count + ?2, sessions_bytes = sessions_bytes + ?3 WHERE id = ?1";
    tx.execute(sql, &[&api_key_id.to_string(), &sign, &(sign * columns::size_to_sql(size_bytes))])?;
    Ok(())
}

/// Adds a number of folders, which may be negative. Only `folders` calls it.
pub(super) fn change_folders(tx: &Tx<'_>, workspace_id: Uuid, difference: i64) -> Result<(), DbError> {
    let sql = "UPDATE workspaces SET folders_count = folders_count + ?2 WHERE id = ?1";
    tx.execute(sql, &[&workspace_id.to_string(), &difference]).map(drop)
}

macro_rules! public_keys_of_workspace {
    () => {
        "FROM api_keys k WHERE k.workspace_id = workspaces.id AND k.kind = 'public'"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, workspace_no, name, files_count, files_bytes, sessions_count, sessions_bytes, storage_limit_bytes, \
             max_file_bytes, max_open_sessions, requests_per_second, \
             (SELECT CAST(coalesce(sum(k.sessions_count), 0) AS BIGINT) ",
            public_keys_of_workspace!(),
            "), (SELECT CAST(coalesce(sum(k.sessions_bytes), 0) AS BIGINT) ",
            public_keys_of_workspace!(),
            ") FROM workspaces ",
            $rest
        )
    };
}

fn from_row(row: &Row<'_>) -> Result<Usage, DbError> {
    Ok(Usage {
        workspace_id: columns::uuid(TABLE, row, 0)?,
        workspace_no: row.get(1)?,
        name: row.get(2)?,
        files: Amount::from_row(row, 3)?,
        sessions: Amount::from_row(row, 5)?,
        limits: WorkspaceLimits::from_row(row, 7)?,
        public_sessions: Amount::from_row(row, 11)?,
    })
}

/// Counters of a workspace.
pub fn find(tx: &Tx<'_>, workspace_id: Uuid) -> Result<Option<Usage>, DbError> {
    tx.optional(select!("WHERE id = ?1"), &[&workspace_id.to_string()], from_row)
}

/// Counters of all workspaces, oldest first.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Usage>, DbError> {
    tx.all(select!("ORDER BY created_at, id"), &[], from_row)
}

/// Subtracts the files of a deleted folder.
pub(super) fn take_files(tx: &Tx<'_>, workspace_id: Uuid, files: u64, bytes: u64) -> Result<(), DbError> {
    tx.execute(
        "UPDATE workspaces SET files_count = files_count - ?2, files_bytes = files_bytes - ?3 WHERE id = ?1",
        &[&workspace_id.to_string(), &columns::size_to_sql(files), &columns::size_to_sql(bytes)],
    )?;
    Ok(())
}

/// Sets the limits of this workspace; `None` removes one.
pub fn set_limits(tx: &Tx<'_>, workspace_id: Uuid, limits: WorkspaceLimits) -> Result<(), DbError> {
    let limit = |limit: Option<u64>| limit.map(columns::size_to_sql);
    tx.execute(
        "UPDATE workspaces SET storage_limit_bytes = ?2, max_file_bytes = ?3, max_open_sessions = ?4, \
         requests_per_second = ?5 WHERE id = ?1",
        &[
            &workspace_id.to_string(),
            &limit(limits.storage_bytes),
            &limit(limits.max_file_bytes),
            &limit(limits.max_open_sessions),
            &limit(limits.requests_per_second),
        ],
    )?;
    Ok(())
}
