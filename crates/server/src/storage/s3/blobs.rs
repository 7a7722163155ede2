//! Whole objects: written, read, looked at, deleted, listed.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap};
use uuid::Uuid;

use super::S3Store;
use super::client::{Call, accepted};
use super::retry::{PART, retry};
use super::xml::{self, ObjectsPage};
use crate::model::StorageKind;
use crate::storage::blob_store::{BlobHeaders, BlobStore, ByteSource, ByteStream, Scanned, StoredBlob};
use crate::storage::{PartInStore, StorageError};

/// Part size of objects that Partway sends. 10,000 such parts are 625 GiB; larger objects have larger parts.
const PART_BYTES: u64 = 64 << 20;
/// Most parts of an upload (S3 documentation, multipart upload limits).
const MAX_PARTS: u64 = 10_000;
/// Parts of one object that are sent at the same time.
const MAX_CONCURRENT_PARTS: usize = 2;
/// How long sending a part may take: 64 MiB at 19 KiB/s, the parts of an object of 5 TiB at 150 KiB/s.
const PART_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long the signature of a request that sends a part is valid. The store may check it when the last byte has come.
const PART_URL_SECONDS: u64 = 86_400;
/// A stream that brings no byte for this long counts as broken.
const READ_STALL_TIMEOUT: Duration = Duration::from_secs(60);

impl BlobHeaders {
    /// In the order of their names.
    pub(super) fn signed(&self) -> [(&str, &str); 2] {
        [("content-disposition", &self.content_disposition), ("content-type", &self.content_type)]
    }
}

impl S3Store {
    /// A URL that permits fetching the object for `seconds`, and has the store answer with these headers. Some stores
    /// answer ranges with the headers that the object was created with.
    ///
    /// # Errors
    /// Never, with the settings that were checked at the start.
    pub fn presign_get(
        &self,
        blob_id: Uuid,
        cache_control: &str,
        headers: &BlobHeaders,
        content_encoding: Option<&str>,
        seconds: u64,
    ) -> Result<String, StorageError> {
        let mut query = vec![
            ("response-cache-control", cache_control),
            ("response-content-disposition", headers.content_disposition.as_str()),
        ];
        query.extend(content_encoding.map(|encoding| ("response-content-encoding", encoding)));
        query.push(("response-content-type", headers.content_type.as_str()));
        Ok(self.presign(&Method::GET, Some(&self.key(blob_id)), &query, &[], seconds, true).into())
    }

    /// Sends one part, with retries.
    pub(super) async fn send_part(
        &self,
        blob_id: Uuid,
        upload_id: &str,
        index: u32,
        range: Range<u64>,
        source: &dyn ByteSource,
    ) -> Result<PartInStore, StorageError> {
        const DOING: &str = "send a part to";
        let (key, number) = (self.key(blob_id), (index + 1).to_string());
        let query = [("partNumber", number.as_str()), ("uploadId", upload_id)];
        let size_bytes = range.end - range.start;
        let attempt = async || {
            let bytes = match source.read(range.clone()).await {
                Ok(bytes) => bytes,
                // A failure of the source is not one of the store: the source has its own retries.
                Err(error) => return Ok(Err(error)),
            };
            let url = self.presign(&Method::PUT, Some(&key), &query, &[], PART_URL_SECONDS, false);
            let request = self.http.put(url).header(CONTENT_LENGTH, size_bytes).body(reqwest::Body::wrap_stream(bytes));
            let sent = async { accepted(DOING, tokio::time::timeout(PART_TIMEOUT, request.send()).await).await };
            let response = self.metrics.measure("send_part", sent).await?;
            let entity_tag = text_of(response.headers(), ETAG.as_str()).unwrap_or_default();
            Ok(Ok(PartInStore { index, size_bytes, entity_tag }))
        };
        retry(PART, attempt).await?
    }

    async fn put(
        &self,
        blob_id: Uuid,
        size_bytes: u64,
        blob_headers: &BlobHeaders,
        source: &dyn ByteSource,
    ) -> Result<(), StorageError> {
        if size_bytes == 0 {
            let key = self.key(blob_id);
            let mut call = Call::new("write to", "put_object", Method::PUT, Some(&key));
            let headers = blob_headers.signed();
            call.headers = &headers;
            return self.call(&call).await.map(drop);
        }
        let upload_id = self.create_upload(blob_id, blob_headers).await?;
        let part_bytes = PART_BYTES.max(size_bytes.div_ceil(MAX_PARTS));
        let parts = (0_u32..).zip((0..size_bytes).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX)));
        let upload = upload_id.as_str();
        let sending = parts.map(|(index, begin)| {
            let range = begin..(begin + part_bytes).min(size_bytes);
            self.send_part(blob_id, upload, index, range, source)
        });
        let sent: Result<Vec<_>, _> =
            futures_util::stream::iter(sending).buffered(MAX_CONCURRENT_PARTS).try_collect().await;
        let completed = match sent {
            Ok(parts) => self.complete_upload(blob_id, upload, &parts).await,
            Err(error) => Err(error),
        };
        match completed {
            Ok(true) => Ok(()),
            // An earlier attempt of the same call completed it, and its answer was lost.
            Ok(false) => match self.find(blob_id).await? {
                Some(found) if found.size_bytes == size_bytes => Ok(()),
                _ => Err(StorageError::store("complete an upload in", "the upload no longer exists".to_owned())),
            },
            Err(error) => {
                let _ = self.abort_upload(blob_id, upload).await;
                Err(error)
            }
        }
    }

    pub(super) async fn find(&self, blob_id: Uuid) -> Result<Option<StoredBlob>, StorageError> {
        let key = self.key(blob_id);
        let mut call = Call::new("look at an object of", "head_object", Method::HEAD, Some(&key));
        call.headers = &[("x-amz-checksum-mode", "ENABLED")];
        let response = match self.call(&call).await {
            Err(error) if error.is_missing() => {
                // An answer to HEAD has no body, and with it no code: the bucket could be missing instead.
                S3Store::check(self).await?;
                return Ok(None);
            }
            response => response?,
        };
        let headers = response.headers();
        let size = text_of(headers, CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        let size_bytes =
            size.ok_or_else(|| StorageError::store(call.doing, "its answer has no Content-Length".to_owned()))?;
        // A composite checksum is one of the parts' checksums, which a client cannot compare with anything.
        let is_whole = text_of(headers, "x-amz-checksum-type").is_none_or(|kind| kind == "FULL_OBJECT");
        let crc64nvme = text_of(headers, "x-amz-checksum-crc64nvme").filter(|sum| is_whole && !sum.contains('-'));
        Ok(Some(StoredBlob { size_bytes, entity_tag: text_of(headers, ETAG.as_str()), crc64nvme }))
    }

    async fn read(&self, blob_id: Uuid, range: Range<u64>) -> Result<ByteStream, StorageError> {
        if range.is_empty() {
            return Ok(futures_util::stream::empty().boxed());
        }
        let key = self.key(blob_id);
        let mut call = Call::new("read an object of", "get_object", Method::GET, Some(&key));
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let headers = [("range", bytes.as_str())];
        call.headers = &headers;
        let response = self.call(&call).await?;
        let length = range.end - range.start;
        if text_of(response.headers(), CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()) != Some(length) {
            return Err(StorageError::store(
                call.doing,
                format!("its answer does not have the {length} bytes requested"),
            ));
        }
        let stream = Box::pin(response.bytes_stream());
        let watched = futures_util::stream::unfold(stream, |mut stream| async move {
            let next = match tokio::time::timeout(READ_STALL_TIMEOUT, stream.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(bytes))) => Ok(bytes),
                Ok(Some(Err(error))) => Err(StorageError::http("read an object of", error)),
                Err(error) => Err(StorageError::unavailable("read an object of", error)),
            };
            Some((next, stream))
        });
        Ok(watched.boxed())
    }

    async fn delete(&self, blob_id: Uuid) -> Result<(), StorageError> {
        match self.list_uploads(Some(blob_id)).await {
            Ok(uploads) => {
                for upload in uploads {
                    self.abort_upload(blob_id, &upload.upload_id).await?;
                }
            }
            // The sweep warns of it: parts of uploads that ended without a file stay until the store's own rules abort them.
            Err(error) if error.is_not_implemented() => {}
            Err(error) => return Err(error),
        }
        let key = self.key(blob_id);
        match self.call(&Call::new("delete an object of", "delete_object", Method::DELETE, Some(&key))).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<Scanned>, StorageError> {
        let mut found = Vec::new();
        let mut token = None::<String>;
        loop {
            let mut query = Vec::with_capacity(3);
            if let Some(token) = &token {
                query.push(("continuation-token", token.as_str()));
            }
            query.extend([("list-type", "2"), ("prefix", self.prefix.as_str())]);
            let mut call = Call::new("list", "list_objects", Method::GET, None);
            call.query = &query;
            let page: ObjectsPage = xml::read(call.doing, &self.text(&call).await?)?;
            found.extend(page.contents.into_iter().map(|object| match self.blob_id(&object.key) {
                Some(id) => Scanned::Blob(id),
                None => Scanned::Foreign(object.key),
            }));
            match page.next_continuation_token.filter(|next| page.is_truncated && token.as_ref() != Some(next)) {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

impl BlobStore for S3Store {
    fn kind(&self) -> StorageKind {
        StorageKind::S3
    }

    fn put_blob<'s>(
        &'s self,
        blob_id: Uuid,
        size_bytes: u64,
        headers: &'s BlobHeaders,
        source: &'s dyn ByteSource,
    ) -> BoxFuture<'s, Result<(), StorageError>> {
        self.put(blob_id, size_bytes, headers, source).boxed()
    }

    fn read_blob(&self, blob_id: Uuid, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
        self.read(blob_id, range).boxed()
    }

    fn find_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<Option<StoredBlob>, StorageError>> {
        self.find(blob_id).boxed()
    }

    fn delete_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<(), StorageError>> {
        self.delete(blob_id).boxed()
    }

    fn list_blobs(&self) -> BoxFuture<'_, Result<Vec<Scanned>, StorageError>> {
        self.list().boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        async { S3Store::check(self).await.map(drop) }.boxed()
    }
}
