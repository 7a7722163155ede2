//! Counters of workspaces, folders and keys.

use uuid::Uuid;

use super::{Fsck, FsckError, Outcome, Problem, Report};
use crate::db::usage::{self, Amount, Usage};
use crate::db::{DbError, Durability, Tx, workspaces};

/// A workspace's contents, added up, and the number of wrong counters below it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recount {
    files: Amount,
    sessions: Amount,
    wrong_folders: u64,
    wrong_keys: u64,
    has_folder_count: bool,
}

impl Recount {
    fn of(tx: &Tx<'_>, workspace_id: Uuid) -> Result<Self, DbError> {
        let (files, sessions) = usage::add_up(tx, workspace_id)?;
        Ok(Self {
            files,
            sessions,
            wrong_folders: usage::miscounted_folders(tx, workspace_id)?,
            wrong_keys: usage::miscounted_keys(tx, workspace_id)?,
            has_folder_count: usage::counts_its_folders(tx, workspace_id)?,
        })
    }

    /// Whether all counters are right.
    fn confirms(&self, counted: &Usage) -> bool {
        (self.files, self.sessions) == (counted.files, counted.sessions)
            && self.wrong_folders == 0
            && self.wrong_keys == 0
            && self.has_folder_count
    }

    fn difference_from(&self, counted: &Usage) -> String {
        let folders = if self.has_folder_count { "" } else { "; the number of folders is wrong" };
        format!(
            "counters: {} files of {} bytes, {} sessions of {} bytes; contents: {} files of {} bytes, {} sessions of {} bytes; \
             wrong counters of {} folders and {} keys{folders}",
            counted.files.count,
            counted.files.bytes,
            counted.sessions.count,
            counted.sessions.bytes,
            self.files.count,
            self.files.bytes,
            self.sessions.count,
            self.sessions.bytes,
            self.wrong_folders,
            self.wrong_keys,
        )
    }
}

impl Fsck {
    pub(super) async fn check_counters(&self, counted: Usage, report: &mut Report) -> Result<(), FsckError> {
        let id = counted.workspace_id;
        if self.db.read(move |tx| Recount::of(tx, id)).await?.confirms(&counted) {
            return Ok(());
        }
        // Compares again while no other transaction changes the workspace.
        let repair = self.repair;
        let compared = self.db.write_to_free(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, id)?;
            let Some(counted) = usage::find(tx, id)? else { return Ok(None) };
            let recount = Recount::of(tx, id)?;
            if recount.confirms(&counted) {
                return Ok(None);
            }
            if repair {
                usage::recount(tx, id)?;
            }
            Ok(Some(recount.difference_from(&counted)))
        });
        if let Some(detail) = compared.await? {
            let outcome = if repair { Outcome::Repaired } else { Outcome::Repairable };
            report.add(Problem::Counters, format!("workspace {}", counted.workspace_no), detail, outcome);
        }
        Ok(())
    }
}
