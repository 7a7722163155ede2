//! Objects whose size is known when their last byte has come. S3 needs the length of each request in advance, so bytes are
//! gathered into parts in memory: two for each object, one that is being sent and one that is being filled.

use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, Either, select};
use futures_util::{FutureExt, Stream, StreamExt};
use reqwest::Method;
use uuid::Uuid;

use super::S3Store;
use super::client::Call;
use crate::failpoint;
use crate::storage::{BlobHeaders, ByteSource, ByteStream, PartInStore, StorageError};

/// Bytes that are gathered before they are sent. S3 takes no parts under 5 MiB, except the last one.
const PART_BYTES: usize = 8 << 20;
/// The largest object that can be written in this way: 10,000 parts (S3 documentation, multipart upload limits), 78 GiB.
pub const MAX_STREAM_BYTES: u64 = 10_000 * PART_BYTES as u64;
/// How long a small object may take: 8 MiB at 64 KiB/s.
const SMALL_OBJECT_TIMEOUT: Duration = Duration::from_secs(128);

/// Bytes in memory.
pub(super) struct Gathered(pub(super) Bytes);

impl ByteSource for Gathered {
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(self.0.len());
        let bytes = self.0.slice(at(range.start)..at(range.end));
        std::future::ready(Ok(futures_util::stream::iter([Ok(bytes)]).boxed())).boxed()
    }
}

impl S3Store {
    /// Writes an object of all bytes of `body`, at most [`MAX_STREAM_BYTES`]. After an error, bytes may be left under the id;
    /// deleting the blob deletes them, too.
    ///
    /// # Errors
    /// Those of `body` and of the store.
    pub async fn put_stream<E: From<StorageError>>(
        &self,
        blob_id: Uuid,
        headers: &BlobHeaders,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), E> {
        let mut body = pin!(body);
        let mut left_over = Bytes::new();
        let first = gather(&mut body, &mut left_over).await?;
        if first.len() < PART_BYTES {
            let key = self.key(blob_id);
            let mut call = Call::new("write to", "put_object", Method::PUT, Some(&key));
            let headers = headers.signed();
            (call.headers, call.body, call.timeout) = (&headers, first, SMALL_OBJECT_TIMEOUT);
            return self.call(&call).await.map(drop).map_err(E::from);
        }
        let upload_id = self.create_upload(blob_id, headers).await?;
        failpoint::hit("stream.after_upload");
        let mut parts: Vec<PartInStore> = Vec::new();
        let mut next = first;
        loop {
            let index = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            let (source, length) = (Gathered(next.clone()), next.len() as u64);
            let sending = pin!(self.send_part(blob_id, &upload_id, index, 0..length, &source));
            let gathering = pin!(gather(&mut body, &mut left_over));
            let (sent, gathered) = match select(sending, gathering).await {
                Either::Left((sent, gathering)) => (sent?, gathering.await?),
                Either::Right((gathered, sending)) => {
                    // Even after an error of `body`: a part that is cut off could arrive after the upload was aborted.
                    let sent = sending.await;
                    let gathered = gathered?;
                    (sent?, gathered)
                }
            };
            failpoint::hit("stream.after_part");
            parts.push(sent);
            if gathered.is_empty() {
                break;
            }
            next = gathered;
        }
        let is_complete = self.complete_upload(blob_id, &upload_id, &parts).await?;
        failpoint::hit("stream.after_complete");
        if is_complete {
            return Ok(());
        }
        // An earlier attempt of the same call completed it, and its answer was lost.
        let size_bytes: u64 = parts.iter().map(|part| part.size_bytes).sum();
        match self.find(blob_id).await? {
            Some(found) if found.size_bytes == size_bytes => Ok(()),
            _ => Err(StorageError::store("complete an upload in", "the upload no longer exists".to_owned()).into()),
        }
    }
}

/// The next part; only the last one is shorter than [`PART_BYTES`]. The bytes are copied, so that small pieces do not hold
/// the larger buffers that they came in.
async fn gather<E>(
    body: &mut std::pin::Pin<&mut impl Stream<Item = Result<Bytes, E>>>,
    left_over: &mut Bytes,
) -> Result<Bytes, E> {
    let mut gathered = BytesMut::new();
    loop {
        let taken = left_over.split_to(left_over.len().min(PART_BYTES - gathered.len()));
        gathered.extend_from_slice(&taken);
        if gathered.len() == PART_BYTES {
            return Ok(gathered.freeze());
        }
        match body.next().await {
            Some(bytes) => *left_over = bytes?,
            None => return Ok(gathered.freeze()),
        }
    }
}
