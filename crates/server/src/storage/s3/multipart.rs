//! Multipart uploads of the store.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use tokio::time::Instant;
use uuid::Uuid;

use super::S3Store;
use super::client::Call;
use super::retry::{CALL, retry};
use super::stream::Gathered;
use super::xml::{self, PartsPage, UploadMade, UploadsPage};
use crate::storage::{BlobHeaders, StorageError};

/// How long the store may take to complete an upload, all attempts together: as long as one attempt that takes its
/// `COMPLETE_STEP_TIMEOUT` twice. Completing 10,000 parts takes some stores minutes.
pub const COMPLETE_TIMEOUT: Duration = Duration::from_secs(1200);
/// How long the store may take until its answer to one attempt begins, and until it ends; some stores send blanks meanwhile.
const COMPLETE_STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// Length of a part that only shows whether an upload is open. Some stores refuse an empty one (Garage 2.5).
pub const PROBE_BYTES: usize = 1;
/// Upper bound of pages, for a store whose listing never ends: more than 10,000 parts need.
const MAX_PAGES: usize = 10_000;

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInStore {
    /// Its index, from 0.
    pub index: u32,
    /// Its size.
    pub size_bytes: u64,
    /// The store's entity tag of its content.
    pub entity_tag: String,
}

/// A multipart upload that the store keeps open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreUpload {
    /// The blob it would become.
    pub blob_id: Uuid,
    /// Its id.
    pub upload_id: String,
}

/// Ends a call at its deadline.
async fn by<T>(
    deadline: Instant,
    doing: &'static str,
    call: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let outcome = tokio::time::timeout_at(deadline, call).await;
    outcome.unwrap_or_else(|late| Err(StorageError::unavailable(doing, late)))
}

impl S3Store {
    /// Opens a multipart upload for the blob; the object will have these headers. After a retry, or when two nodes do it at
    /// the same time, one blob may have two open uploads.
    ///
    /// # Errors
    /// The store's error.
    pub async fn create_upload(&self, blob_id: Uuid, blob_headers: &BlobHeaders) -> Result<String, StorageError> {
        let key = self.key(blob_id);
        let mut call = Call::new("open an upload in", "create_upload", Method::POST, Some(&key));
        let headers = blob_headers.signed();
        (call.query, call.headers) = (&[("uploads", "")], &headers);
        let text = self.text(&call).await?;
        Ok(xml::read::<UploadMade>(call.doing, &text)?.upload_id)
    }

    /// URLs that permit sending these parts (index from 0, and length in bytes) for `seconds`. The length is signed: a
    /// store that checks signatures accepts no other, and browsers send it by themselves.
    ///
    /// # Errors
    /// Never, with the settings that were checked at the start.
    pub fn presign_parts(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        parts: &[(u32, u64)],
        seconds: u64,
    ) -> Result<Vec<String>, StorageError> {
        let key = self.key(blob_id);
        let url = |(index, size_bytes): &(u32, u64)| {
            let (number, length) = ((index + 1).to_string(), size_bytes.to_string());
            let query = [("partNumber", number.as_str()), ("uploadId", upload_id)];
            let headers = [("content-length", length.as_str())];
            Ok(self.presign(&Method::PUT, Some(&key), &query, &headers, seconds, true).into())
        };
        parts.iter().map(url).collect()
    }

    /// The parts that the store has, ascending; `None` when the upload does not exist: it was completed or aborted.
    ///
    /// # Errors
    /// The store's error.
    pub async fn list_parts(&self, blob_id: Uuid, upload_id: &str) -> Result<Option<Vec<PartInStore>>, StorageError> {
        let key = self.key(blob_id);
        let mut found = Vec::new();
        let mut marker = String::from("0");
        for _ in 0..MAX_PAGES {
            let mut call = Call::new("list the parts in", "list_parts", Method::GET, Some(&key));
            let query = [("max-parts", "1000"), ("part-number-marker", marker.as_str()), ("uploadId", upload_id)];
            call.query = &query;
            let text = match self.text(&call).await {
                Err(error) if error.is_no_upload() => return Ok(None),
                text => text?,
            };
            let page: PartsPage = xml::read(call.doing, &text)?;
            found.extend(page.part.into_iter().filter(|part| part.part_number > 0).map(|part| PartInStore {
                index: part.part_number - 1,
                size_bytes: part.size,
                entity_tag: part.etag,
            }));
            match page.next_part_number_marker.filter(|_| page.is_truncated) {
                Some(next) if next != marker => marker = next,
                _ => break,
            }
        }
        found.sort_by_key(|part| part.index);
        Ok(Some(found))
    }

    /// Sends a part of [`PROBE_BYTES`] with this index, and lists the parts then. Some stores fail to list an upload that has none
    /// (RustFS up to 1.0.0-beta.1, rustfs#2760). One attempt: the caller has waited for the list already.
    ///
    /// # Errors
    /// The store's error.
    pub async fn list_parts_after_probe(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        index: u32,
    ) -> Result<Option<Vec<PartInStore>>, StorageError> {
        let (key, number) = (self.key(blob_id), (index + 1).to_string());
        let query = [("partNumber", number.as_str()), ("uploadId", upload_id)];
        let mut call = Call::new("send a part to", "send_part", Method::PUT, Some(&key));
        (call.query, call.body) = (&query, Bytes::from_static(&[b'p'; PROBE_BYTES]));
        self.send_for_text(&call).await?;
        self.list_parts(blob_id, upload_id).await
    }

    /// Makes the object of these parts, in this order. False when the upload does not exist. An earlier attempt may have
    /// completed it and lost its answer: then the object exists.
    ///
    /// # Errors
    /// The store's error, also one under a 200, after at most [`COMPLETE_TIMEOUT`].
    pub async fn complete_upload(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        parts: &[PartInStore],
    ) -> Result<bool, StorageError> {
        self.complete_upload_by(blob_id, upload_id, parts, Instant::now() + COMPLETE_TIMEOUT).await
    }

    /// The same with a deadline, after which the store may still complete the upload.
    ///
    /// # Errors
    /// The store's error, also one under a 200; `Unavailable` at the deadline.
    pub async fn complete_upload_by(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        parts: &[PartInStore],
        deadline: Instant,
    ) -> Result<bool, StorageError> {
        let key = self.key(blob_id);
        let query = [("uploadId", upload_id)];
        let body = xml::complete_body(parts.iter().map(|part| (part.index + 1, part.entity_tag.as_str())), None);
        let mut call = Call::new("complete an upload in", "complete_upload", Method::POST, Some(&key));
        (call.query, call.body, call.timeout) = (&query, Bytes::from(body), COMPLETE_STEP_TIMEOUT);
        let attempt = async || {
            let text = self.send_for_text(&call).await?;
            xml::read_late_error(call.doing, &text)
        };
        match by(deadline, call.doing, retry(CALL, attempt)).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_no_upload() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The first part that the store lists but refuses to complete with; `None` when it accepts all. Garage refuses a part
    /// that was sent again if the second request broke off.
    ///
    /// A binary search: a call with all parts, one of which has an impossible checksum, completes nothing, and its error
    /// says whether a part before that one is refused. A store that ignores the checksum completes the upload; then
    /// there is nothing left to find.
    ///
    /// # Errors
    /// The store's error; `Unavailable` at the deadline.
    pub async fn find_refused_part(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        parts: &[PartInStore],
        deadline: Instant,
    ) -> Result<Option<u32>, StorageError> {
        let (mut good, mut refused) = (0, parts.len());
        while good < refused {
            // Is one of the parts up to this one, inclusive, refused?
            let middle = good + (refused - good) / 2;
            let tried = self.try_to_complete(blob_id, upload_id, parts, middle);
            match by(deadline, "look for a refused part in", tried).await {
                Err(error) if error.is_code("InvalidPart") => refused = middle,
                Err(error) if error.is_code("InvalidDigest") || error.is_code("BadDigest") => good = middle + 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(None),
            }
        }
        Ok(parts.get(refused).map(|part| part.index))
    }

    async fn try_to_complete(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        parts: &[PartInStore],
        wrong: usize,
    ) -> Result<(), StorageError> {
        let key = self.key(blob_id);
        let query = [("uploadId", upload_id)];
        let mut call = Call::new("look for a refused part in", "find_refused_part", Method::POST, Some(&key));
        let body = xml::complete_body(parts.iter().map(|part| (part.index + 1, part.entity_tag.as_str())), Some(wrong));
        (call.query, call.body, call.timeout) = (&query, Bytes::from(body), COMPLETE_STEP_TIMEOUT);
        let text = self.text(&call).await?;
        xml::read_late_error(call.doing, &text)
    }

    /// Whether the store keeps the CRC-64/NVME of whole objects that came in parts. Creates an object of one byte, which the
    /// caller must delete, also after an error.
    ///
    /// # Errors
    /// The store's error.
    pub async fn try_checksums(&self, blob_id: Uuid) -> Result<bool, StorageError> {
        let headers = BlobHeaders {
            content_type: "application/octet-stream".to_owned(),
            content_disposition: "attachment".to_owned(),
        };
        let upload_id = self.create_upload(blob_id, &headers).await?;
        let part = self.send_part(blob_id, &upload_id, 0, 0..1, &Gathered(Bytes::from_static(b"p"))).await?;
        self.complete_upload(blob_id, &upload_id, &[part]).await?;
        Ok(self.find(blob_id).await?.is_some_and(|object| object.crc64nvme.is_some()))
    }

    /// Aborts an upload. One that does not exist counts as aborted.
    ///
    /// # Errors
    /// The store's error.
    pub async fn abort_upload(&self, blob_id: Uuid, upload_id: &str) -> Result<(), StorageError> {
        let key = self.key(blob_id);
        let query = [("uploadId", upload_id)];
        let mut call = Call::new("abort an upload in", "abort_upload", Method::DELETE, Some(&key));
        call.query = &query;
        match self.call(&call).await {
            Err(error) if !error.is_no_upload() && !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    /// The open uploads of one blob, or of all blobs. Uploads of other keys are left out.
    ///
    /// # Errors
    /// The store's error.
    pub async fn list_uploads(&self, blob_id: Option<Uuid>) -> Result<Vec<StoreUpload>, StorageError> {
        let prefix = blob_id.map_or_else(|| self.prefix.clone(), |id| self.key(id));
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut query = Vec::with_capacity(5);
            if !key_marker.is_empty() {
                query.push(("key-marker", key_marker.as_str()));
            }
            query.extend([("max-uploads", "1000"), ("prefix", prefix.as_str())]);
            if !id_marker.is_empty() {
                query.push(("upload-id-marker", id_marker.as_str()));
            }
            query.push(("uploads", ""));
            let mut call = Call::new("list the uploads in", "list_uploads", Method::GET, None);
            call.query = &query;
            let page: UploadsPage = xml::read(call.doing, &self.text(&call).await?)?;
            let uploads = page.upload.into_iter().filter_map(|upload| {
                Some(StoreUpload { blob_id: self.blob_id(&upload.key)?, upload_id: upload.upload_id })
            });
            found.extend(uploads);
            let next = (page.next_key_marker.unwrap_or_default(), page.next_upload_id_marker.unwrap_or_default());
            if !page.is_truncated || (&next.0, &next.1) == (&key_marker, &id_marker) {
                break;
            }
            (key_marker, id_marker) = next;
        }
        Ok(found)
    }
}
