//! Whether what was written and not synced is still there. It survives the end of a process, but not that of the
//! machine, and it may not be in a snapshot or a copy of the disk: parts recorded under other circumstances are read and
//! compared with their records before they are trusted.
//!
//! The circumstances are the kernel's boot id and the lineage, a random name that lasts as long as nobody else puts
//! anything in the data directory's place. Each start and each orderly stop touches the lock file, which changes its
//! time, and notes in the database what the lock file is since then. A start that finds another lock file than the
//! database says (either was restored, or the whole was copied) begins a new lineage.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::boot_id::boot_id;
use super::data_dir::DataDir;
use crate::db::{Db, DbError, Durability, installation};

const IDENTITY: &str = "identity";
const LINEAGE: &str = "lineage";

/// Why the circumstances cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EpochError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The lock file cannot be touched.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Notes the present circumstances, and names them.
pub(crate) async fn establish(db: &Db, data_dir: &DataDir) -> Result<Arc<str>, EpochError> {
    let found = data_dir.identity()?;
    let (known, lineage) =
        db.read(|tx| Ok((installation::get(tx, IDENTITY)?, installation::get(tx, LINEAGE)?))).await?;
    let lineage = lineage.filter(|_| known == Some(found)).unwrap_or_else(|| Uuid::new_v4().to_string());
    // If the process ends before the database has it, the next start begins a new lineage: slower, never wrong.
    data_dir.touch()?;
    let (identity, name) = (data_dir.identity()?, lineage.clone());
    let noted = db.write_to_free(Durability::PowerLoss, move |tx| {
        installation::set(tx, IDENTITY, &identity)?;
        installation::set(tx, LINEAGE, &name)
    });
    noted.await?;
    Ok(format!("{} {lineage}", boot_id()).into())
}
