//! Receiving one part: its lease, its bytes, its record.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use uuid::Uuid;

use super::live::{BegunPart, LiveSession};
use super::part_lease::PartGuard;
use super::{LocalSession, LocalUploads, UploadError, blocking, to_its_end};
use crate::db::sessions::Status;
use crate::db::{Durability, Timestamp, parts, sessions};
use crate::error_chain::error_chain;
use crate::failpoint;
use crate::pace::Pace;
use crate::service::upload::backend::{Arrival, BodyError, PartBody};
use crate::storage::{Blob, PartDigests, PartWriter, Promise, WrittenPart};

/// Early writeback gains nothing for a smaller part.
const MIN_WRITEBACK_BYTES: u64 = 1024 * 1024;

/// Set once the request is over: database jobs that outlive it look here.
#[derive(Default)]
struct DropGuard(Arc<AtomicBool>);

impl DropGuard {
    fn is_dropped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl LocalUploads {
    /// Receives part `part_index` of a session, which must have `digests`. The caller has checked that the sender may
    /// send it.
    ///
    /// When this returns, the part survives the end of the process. On any error the part is missing, unless no
    /// byte of the body had come: then it is as it was before. Returns the part's entity tag.
    ///
    /// # Errors
    /// When the session takes no parts, the body is not exactly the part, or something failed.
    pub(super) async fn write_part(
        &self,
        session_id: Uuid,
        part_index: u32,
        arrival: Arrival,
        digests: PartDigests,
        body: PartBody<'_>,
    ) -> Result<String, UploadError> {
        let incoming = self.records.metrics.begin_part();
        let live = match self.find(session_id).await? {
            LocalSession::Live(live) => live,
            LocalSession::Ended(session) => return Err(UploadError::ended(session_id, session.status)),
        };
        let lease = live.lease(part_index, arrival).await?;
        let entity_tag = tokio::select! {
            biased;
            () = lease.superseded.cancelled() => return Err(live.cancelled(part_index)),
            received = self.write_and_record(&live, part_index, digests, lease.guard, body) => received?,
        };
        incoming.received(live.plan.range(part_index).map_or(0, |part| part.end - part.start));
        Ok(entity_tag)
    }

    async fn write_and_record(
        &self,
        live: &Arc<LiveSession>,
        part_index: u32,
        digests: PartDigests,
        guard: PartGuard,
        body: impl Stream<Item = Result<Bytes, BodyError>>,
    ) -> Result<String, UploadError> {
        let part =
            live.plan.range(part_index).ok_or_else(|| UploadError::SessionNotFound(live.session.id.to_string()))?;
        let expected = part.end - part.start;
        let mut body = pin!(body);
        let mut pace = Pace::new(self.pace);
        let too_short = |received| UploadError::PartTooShort { part_index, received, expected };
        let too_long = || UploadError::PartTooLong { part_index, expected };
        // A request without bytes takes no disk space and changes nothing.
        let first = next_bytes(body.as_mut(), &mut pace).await?.ok_or_else(|| too_short(0))?;
        if first.len() as u64 > expected {
            return Err(too_long());
        }
        let room = self.room_for_part(live, expected).await?;
        let guard = Arc::new(guard);
        let mut writer = PartWriter::new(
            Arc::clone(&live.blob),
            Arc::clone(&self.gate),
            part.clone(),
            live.plan.size_bytes(),
            digests,
            room,
            (Arc::clone(&guard), Arc::clone(live)),
        );
        let begun = self.begin_part(live, part_index).await?;
        failpoint::hit("part.before_write");
        writer.write(first).await?;
        self.renew(live).await;
        while let Some(chunk) = next_bytes(body.as_mut(), &mut pace).await? {
            if chunk.len() as u64 > writer.missing_bytes() {
                return Err(too_long());
            }
            writer.write(chunk).await?;
            self.renew(live).await;
        }
        let received = expected - writer.missing_bytes();
        let WrittenPart { subtrees, mismatch } = writer.finish().ok_or_else(|| too_short(received))?;
        if let Some(mismatch) = mismatch {
            return Err(UploadError::DigestMismatch { part_index, mismatch });
        }
        failpoint::hit("part.after_write");
        self.start_writeback(&live.blob, part);
        to_its_end(record_part(self.clone(), Arc::clone(live), part_index, begun, subtrees, guard)).await
    }

    /// Lets the session live on while bytes of its parts arrive. If that cannot be recorded, the next bytes try again.
    async fn renew(&self, live: &Arc<LiveSession>) {
        let latest = self.records.latest_end(&live.session, live.is_of_public_key());
        let Some(expires_at) = live.claim_renewal(Timestamp::now(), latest) else { return };
        let (records, live, id) = (self.records.clone(), Arc::clone(live), live.session.id);
        let renewed = to_its_end(async move {
            let write = records.db.write(Durability::Process, move |tx| sessions::renew_by_part(tx, id, expires_at));
            if let Some(renewed_from) = write.await? {
                live.renewed(expires_at, renewed_from);
            }
            Ok(())
        });
        if let Err(error) = renewed.await {
            tracing::warn!(session_id = %id, error = %error_chain(&error), "a session is not renewed; its next bytes try again");
        }
    }

    /// Promises disk space for a part's bytes, where the blob has none reserved.
    async fn room_for_part(&self, live: &LiveSession, part_bytes: u64) -> Result<Option<Promise>, UploadError> {
        let (store, blob) = (Arc::clone(&self.store), Arc::clone(&live.blob));
        if live.is_of_public_key() {
            let (public, size_bytes) = (self.records.public, live.plan.size_bytes());
            let take = move || {
                let kept_bytes = public.kept_bytes(&store.room()?);
                store.take_part_room(&blob, size_bytes, part_bytes, kept_bytes)
            };
            return blocking(take).await;
        }
        if self.store.reserves() {
            return Ok(None);
        }
        blocking(move || store.promise(blob.id(), part_bytes).map(Some)).await
    }

    /// Starts the writeback of these bytes while the next ones arrive. Not waited for.
    pub(super) fn start_writeback(&self, blob: &Arc<Blob>, range: Range<u64>) {
        if range.end - range.start < MIN_WRITEBACK_BYTES {
            return;
        }
        // On a slow disk starting blocks, too; bytes whose writeback is not started are left to the sync.
        if let Ok(permit) = Arc::clone(&self.writebacks).try_acquire_owned() {
            let blob = Arc::clone(blob);
            tokio::task::spawn_blocking(move || {
                blob.start_writeback(&range);
                drop(permit);
            });
        }
    }

    /// Deletes the record of a part before its first byte is overwritten.
    async fn begin_part(&self, live: &LiveSession, part_index: u32) -> Result<BegunPart, UploadError> {
        let begun = live.begin_part(part_index).await?;
        if begun.maybe_recorded {
            let session_id = live.session.id;
            // A database job goes on when its request has ended. A late one must not delete the record of the next request: under
            // the lock of the session's row, which that record needs too, it checks whether its own request is over.
            let request = DropGuard::default();
            let is_over = request.is_dropped();
            let forgotten = self.records.db.write(Durability::Process, move |tx| {
                let status = sessions::find_locked(tx, session_id)?.map(|session| session.status);
                if status == Some(Status::Uploading) && !is_over.load(Ordering::Acquire) {
                    parts::delete(tx, session_id, part_index)?;
                }
                Ok(status)
            });
            // The session may have ended without this process knowing: its bytes are then a file's.
            match forgotten.await? {
                Some(Status::Uploading) => {}
                ended => return Err(UploadError::ended_or_gone(session_id, ended)),
            }
            live.set_maybe_recorded(part_index, false);
        }
        Ok(begun)
    }
}

/// The next bytes of a body, at least one; `None` at its end.
async fn next_bytes<S>(mut body: std::pin::Pin<&mut S>, pace: &mut Pace) -> Result<Option<Bytes>, UploadError>
where
    S: Stream<Item = Result<Bytes, BodyError>>,
{
    loop {
        match next_chunk(body.as_mut(), pace).await? {
            Some(chunk) if chunk.is_empty() => {}
            next => return Ok(next),
        }
    }
}

/// The next chunk of a body, which must keep its pace; it may be empty.
async fn next_chunk<S>(mut body: std::pin::Pin<&mut S>, pace: &mut Pace) -> Result<Option<Bytes>, UploadError>
where
    S: Stream<Item = Result<Bytes, BodyError>>,
{
    let (began, stall_timeout) = (Instant::now(), pace.limits().stall_timeout);
    let chunk = match tokio::time::timeout(stall_timeout, body.next()).await {
        Ok(Some(Ok(chunk))) => chunk,
        Ok(Some(Err(error))) => return Err(UploadError::BodyBroken(error.0)),
        Ok(None) => return Ok(None),
        Err(_) => return Err(UploadError::Stalled(stall_timeout)),
    };
    if !pace.keeps(began.elapsed(), chunk.len() as u64) {
        return Err(UploadError::too_slow(pace.limits()));
    }
    Ok(Some(chunk))
}

/// Records a part after its last byte is written. Only then may the next request for it write.
async fn record_part(
    uploads: LocalUploads,
    live: Arc<LiveSession>,
    part_index: u32,
    begun: BegunPart,
    subtrees: Vec<u8>,
    guard: Arc<PartGuard>,
) -> Result<String, UploadError> {
    let session_id = live.session.id;
    let stored = subtrees.clone();
    live.set_maybe_recorded(part_index, true);
    let recorded = uploads.records.db.write(Durability::Process, move |tx| {
        if parts::record(tx, session_id, part_index, &stored)? {
            return Ok(None);
        }
        Ok(Some(sessions::find(tx, session_id)?.map(|session| session.status)))
    });
    if let Some(ended) = recorded.await? {
        return Err(UploadError::ended_or_gone(session_id, ended));
    }
    failpoint::hit("part.after_record");
    let entity_tag = format!("\"{}\"", &blake3::hash(&subtrees).to_hex()[..32]);
    if !live.part_recorded(part_index, begun, subtrees) {
        uploads.forget_lost(session_id, move |tx| parts::delete(tx, session_id, part_index)).await;
        return Err(UploadError::SyncFailed(part_index));
    }
    drop(guard);
    Ok(entity_tag)
}
