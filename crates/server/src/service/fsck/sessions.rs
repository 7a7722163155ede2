//! Open sessions of local storage: their blob, and in a deep check the bytes of their parts.
//!
//! Sessions of a bucket are not checked: the store alone knows their parts.

use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::{Fsck, FsckError, OnRead, Outcome, Problem, Report, blocking};
use crate::db::blobs::OwnedBlob;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, parts};
use crate::model::StorageKind;
use crate::service::upload::plan_of;
use crate::storage::part_is_intact;

/// A finding whose outcome is not decided yet.
type Suspicion = (Problem, String, &'static str);

impl Fsck {
    pub(super) async fn check_session(
        &self,
        id: Uuid,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<(), FsckError> {
        let found = self.db.read(move |tx| Ok((sessions::find(tx, id)?, parts::list(tx, id)?))).await?;
        let (Some(session), recorded) = found else { return Ok(()) };
        // A session that is being started may not have its blob yet; without parts, nothing is lost. One without trust
        // was repaired: its parts are verified before anybody uses them.
        if session.status != Status::Uploading
            || recorded.is_empty()
            || session.verified_in_epoch.is_empty()
            || session.storage == StorageKind::S3
        {
            return Ok(());
        }
        let Some(size) = self.size_of(blob.blob, report).await? else { return Ok(()) };
        if size.is_none_or(|size| size < blob.size_bytes) {
            if self.is_uploading(id).await? {
                let was = size.map_or_else(|| "is missing".to_owned(), |size| format!("has {size} bytes"));
                let detail = format!("its blob {was}; expected: {} bytes", blob.size_bytes);
                report.add(Problem::SessionBlob, format!("session {id}"), detail, self.repair_session(id).await?);
            }
            return Ok(());
        }
        if self.deep {
            let damaged = self.find_damaged_parts(&session, recorded, blob, report, on_read).await?;
            if !damaged.is_empty() && self.is_uploading(id).await? {
                let outcome = self.repair_session(id).await?;
                for (problem, subject, detail) in damaged {
                    report.add(problem, subject, detail, outcome);
                }
            }
        }
        Ok(())
    }

    async fn find_damaged_parts(
        &self,
        session: &Session,
        recorded: Vec<(u32, Vec<u8>)>,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<Vec<Suspicion>, FsckError> {
        let id = session.id;
        let mut damaged = Vec::new();
        let Ok(plan) = plan_of(session) else { return Ok(damaged) };
        for (index, subtrees) in recorded {
            let Some(range) = plan.range(index) else { continue };
            on_read(range.end - range.start);
            report.bytes_verified += range.end - range.start;
            if !self.is_part_intact(id, index, &range, subtrees, blob).await? {
                let subject = format!("part {index} of session {id}");
                damaged.push((Problem::Part, subject, "its bytes differ from those received"));
            }
        }
        Ok(damaged)
    }

    /// Distrusts the parts of a session where that is allowed: the next server reads all of them before it uses them.
    async fn repair_session(&self, id: Uuid) -> Result<Outcome, FsckError> {
        Ok(match (self.alone, self.repair) {
            (true, true) => {
                self.db
                    .write_to_free(Durability::PowerLoss, move |tx| sessions::set_verified_in_epoch(tx, id, ""))
                    .await?;
                Outcome::Repaired
            }
            (true, false) => Outcome::Repairable,
            (false, _) => Outcome::RepairableWithoutServer,
        })
    }

    async fn is_uploading(&self, id: Uuid) -> Result<bool, FsckError> {
        let found = self.db.read(move |tx| sessions::find(tx, id)).await?;
        Ok(found.is_some_and(|session| session.status == Status::Uploading))
    }

    /// Whether the bytes of a part match its record. A part that is sent again during the check is compared again.
    async fn is_part_intact(
        &self,
        id: Uuid,
        index: u32,
        part: &Range<u64>,
        mut subtrees: Vec<u8>,
        blob: &OwnedBlob,
    ) -> Result<bool, FsckError> {
        loop {
            let (store, part, values) = (Arc::clone(self.stores.local()?), part.clone(), subtrees.clone());
            let (blob_id, size_bytes) = (blob.blob.id, blob.size_bytes);
            let intact =
                blocking(move || part_is_intact(&store.open_for_reading(blob_id)?, &part, size_bytes, &values)).await?;
            if intact.unwrap_or(false) {
                return Ok(true);
            }
            let recorded = self.db.read(move |tx| parts::find(tx, id, index)).await?;
            match recorded {
                Some(now) if now == subtrees => return Ok(false),
                Some(now) => subtrees = now,
                // It is being sent again.
                None => return Ok(true),
            }
        }
    }
}
