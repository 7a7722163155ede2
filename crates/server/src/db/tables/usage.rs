//! The contents of a workspace: counters beside each workspace, so that a start need not add up a million files. And beside each
//! key, those of its open sessions.
//!
//! Invariant: they change in the same transaction as the files and sessions they count. Only `files` and `sessions`
//! call `change` and `change_key`.

use uuid::Uuid;

use crate::db::sql::Row;
use crate::db::sql::{DbError, Tx, columns};
use crate::model::WorkspaceLimits;

const TABLE: &str = "workspaces";

/// A number of things and their bytes. Negative only where counters are wrong, which a check must be able to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: i64,
    /// Their bytes.
    pub bytes: i64,
}

impl Amount {
    pub(super) fn from_row(row: &Row<'_>, column: usize) -> Result<Self, DbError> {
        Ok(Self { count: row.get(column)?, bytes: row.get(column + 1)? })
    }
}

/// What a workspace holds.
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
    /// Those of them that were started with public keys.
    pub public_sessions: Amount,
    /// Limits of its own.
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

/// The open sessions that take room from somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// None of them.
    None,
    /// Those of private keys.
    Private,
    /// All of them.
    All,
}

impl Usage {
    /// The open sessions that are `counting`.
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

    /// Bytes that count towards the limit: files, and the open sessions that are `counting`.
    pub fn counted_bytes(&self, counting: Counting) -> u64 {
        u64::try_from(self.files.bytes.saturating_add(self.counted(counting).bytes)).unwrap_or(0)
    }

    /// How many open sessions are `counting`.
    pub fn counted_sessions(&self, counting: Counting) -> u64 {
        u64::try_from(self.counted(counting).count).unwrap_or(0)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    File,
    Session,
}

/// Adds (`sign` 1) or takes away (`sign` -1) one file or session.
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

/// Adds (`sign` 1) or takes away (`sign` -1) one session of a key. The key's row comes after its workspace's: whoever changes
/// both does it in this order.
pub(super) fn change_key(tx: &Tx<'_>, api_key_id: Uuid, sign: i64, size_bytes: u64) -> Result<(), DbError> {
    let sql =
        "UPDATE api_keys SET sessions_count = sessions_count + ?2, sessions_bytes = sessions_bytes + ?3 WHERE id = ?1";
    tx.execute(sql, &[&api_key_id.to_string(), &sign, &(sign * columns::size_to_sql(size_bytes))])?;
    Ok(())
}

/// Adds so many folders, or takes them away. Only `folders` calls it.
pub(super) fn change_folders(tx: &Tx<'_>, workspace_id: Uuid, difference: i64) -> Result<(), DbError> {
    let sql = "UPDATE workspaces SET folders_count = folders_count + ?2 WHERE id = ?1";
    tx.execute(sql, &[&workspace_id.to_string(), &difference]).map(drop)
}

macro_rules! folders_of_workspace {
    () => {
        "(SELECT count(*) FROM folders f WHERE f.workspace_id = workspaces.id AND f.parent_id IS NOT NULL)"
    };
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

/// What the workspace holds, as it is counted.
pub fn find(tx: &Tx<'_>, workspace_id: Uuid) -> Result<Option<Usage>, DbError> {
    tx.optional(select!("WHERE id = ?1"), &[&workspace_id.to_string()], from_row)
}

/// What all workspaces hold, as it is counted, oldest first.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Usage>, DbError> {
    tx.all(select!("ORDER BY created_at, id"), &[], from_row)
}

/// What a workspace holds when everything is added up: files and open sessions. Reads all of them.
pub fn add_up(tx: &Tx<'_>, workspace_id: Uuid) -> Result<(Amount, Amount), DbError> {
    let id = workspace_id.to_string();
    let amount = |row: &Row<'_>| Amount::from_row(row, 0);
    let files = tx.optional(
        "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM files WHERE workspace_id = ?1 \
         AND folder_id NOT IN (SELECT id FROM folders WHERE workspace_id = ?1 AND deleted_at IS NOT NULL)",
        &[&id],
        amount,
    )?;
    let sessions = tx.optional(
        "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM sessions WHERE workspace_id = ?1 AND status = 'uploading'",
        &[&id],
        amount,
    )?;
    Ok((files.unwrap_or_default(), sessions.unwrap_or_default()))
}

macro_rules! open_sessions_of_key {
    () => {
        "FROM sessions s WHERE s.api_key_id = api_keys.id AND s.status = 'uploading'"
    };
}

/// Sets the counters to what adding up gives.
pub fn recount(tx: &Tx<'_>, workspace_id: Uuid) -> Result<(), DbError> {
    let (files, sessions) = add_up(tx, workspace_id)?;
    tx.execute(
        "UPDATE workspaces SET files_count = ?2, files_bytes = ?3, sessions_count = ?4, sessions_bytes = ?5 WHERE id = ?1",
        &[
            &workspace_id.to_string(),
            &files.count,
            &files.bytes,
            &sessions.count,
            &sessions.bytes,
        ],
    )?;
    tx.execute(
        "UPDATE folders SET \
         files_count = (SELECT count(*) FROM files f WHERE f.folder_id = folders.id), \
         files_bytes = (SELECT CAST(coalesce(sum(f.size_bytes), 0) AS BIGINT) FROM files f WHERE f.folder_id = folders.id) \
         WHERE workspace_id = ?1",
        &[&workspace_id.to_string()],
    )?;
    tx.execute(
        concat!("UPDATE workspaces SET folders_count = ", folders_of_workspace!(), " WHERE id = ?1"),
        &[&workspace_id.to_string()],
    )?;
    tx.execute(
        concat!(
            "UPDATE api_keys SET \
             sessions_count = (SELECT count(*) ",
            open_sessions_of_key!(),
            "), sessions_bytes = (SELECT CAST(coalesce(sum(s.size_bytes), 0) AS BIGINT) ",
            open_sessions_of_key!(),
            ") WHERE workspace_id = ?1"
        ),
        &[&workspace_id.to_string()],
    )?;
    Ok(())
}

/// The keys of a workspace whose counters are not what they have open.
pub fn miscounted_keys(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional(
        concat!(
            "SELECT count(*) FROM api_keys WHERE workspace_id = ?1 AND (sessions_count <> (SELECT count(*) ",
            open_sessions_of_key!(),
            ") OR sessions_bytes <> (SELECT coalesce(sum(s.size_bytes), 0) ",
            open_sessions_of_key!(),
            "))"
        ),
        &[&workspace_id.to_string()],
        |row| columns::size("api_keys", row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// Whether the folders of a workspace are as many as are counted.
pub fn counts_its_folders(tx: &Tx<'_>, workspace_id: Uuid) -> Result<bool, DbError> {
    let sql = concat!("SELECT 1 FROM workspaces WHERE id = ?1 AND folders_count = ", folders_of_workspace!());
    tx.exists(sql, &[&workspace_id.to_string()])
}

/// The folders of a workspace whose counters are not what is in them.
pub fn miscounted_folders(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional(
        "SELECT count(*) FROM folders d LEFT JOIN (SELECT folder_id, count(*) AS files, sum(size_bytes) AS bytes FROM files \
         WHERE workspace_id = ?1 GROUP BY folder_id) f ON f.folder_id = d.id \
         WHERE d.workspace_id = ?1 AND d.deleted_at IS NULL \
         AND (d.files_count <> coalesce(f.files, 0) OR d.files_bytes <> coalesce(f.bytes, 0))",
        &[&workspace_id.to_string()],
        |row| columns::size("folders", row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// Takes files away that nobody sees any more.
pub(super) fn take_files(tx: &Tx<'_>, workspace_id: Uuid, files: u64, bytes: u64) -> Result<(), DbError> {
    tx.execute(
        "UPDATE workspaces SET files_count = files_count - ?2, files_bytes = files_bytes - ?3 WHERE id = ?1",
        &[&workspace_id.to_string(), &columns::size_to_sql(files), &columns::size_to_sql(bytes)],
    )?;
    Ok(())
}

/// Sets the workspace's own limits; what is none takes one away.
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
