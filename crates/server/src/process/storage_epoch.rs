//! The storage epoch: while it lasts, written bytes are there even if they were never synced. Unsynced bytes survive the end
//! of a process but not a crash of the machine, and a snapshot or copy of the disk may lack them. Parts recorded in another
//! epoch are read and compared with their records before they are trusted.
//!
//! An epoch is named by the kernel's boot id and the lineage, a random name that lasts until the data directory is replaced.
//! Each start and each orderly stop touches the lock file, which changes its time, and records the lock file's identity in the
//! database. A start that finds another lock file than the database has (one of them was restored, or both were copied) begins
//! a new lineage.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::boot_id::boot_id;
use super::data_dir::DataDir;
use crate::db::{Db, DbError, Durability, installation};

const IDENTITY: &str = "identity";
const LINEAGE: &str = "lineage";

/// Why no epoch could be established.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EpochError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The lock file cannot be touched.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Records the current epoch, and returns its name.
pub(crate) async fn establish(db: &Db, data_dir: &DataDir) -> Result<Arc<str>, EpochError> {
    let found = data_dir.identity()?;
    let (known, lineage) =
        db.read(|tx| Ok((installation::get(tx, IDENTITY)?, installation::get(tx, LINEAGE)?))).await?;
    let lineage = lineage.filter(|_| known == Some(found)).unwrap_or_else(|| Uuid::new_v4().to_string());
    // If the process ends before the lineage is stored, the next start begins another one: parts are verified needlessly, and none is
    // trusted wrongly.
    data_dir.touch()?;
    let (identity, name) = (data_dir.identity()?, lineage.clone());
    let noted = db.write_to_free(Durability::PowerLoss, move |tx| {
        installation::set(tx, IDENTITY, &identity)?;
        installation::set(tx, LINEAGE, &name)
    });
    noted.await?;
    Ok(format!("{} {lineage}", boot_id()).into())
}
