//! A trial upload to the bucket: the requests of a browser and of the server, and some that must fail.
//!
//! The trial makes one object of three parts: two of the smallest size, sent at the same time, and a short one with the highest
//! number. The caller deletes it.

mod crc;
mod object;
mod parts;

use partway_server::storage::{BlobHeaders, PartInStore, S3Store, StorageError};
use uuid::Uuid;

use super::store_call::of_call;
use super::{Doctor, Health};

/// Lifetime of the presigned URLs.
const TRIAL_SECONDS: u64 = 300;
/// The smallest part that is not the last (S3 documentation, multipart upload limits).
const PART_BYTES: u64 = 5 << 20;
const LAST: &[u8] = b"partway doctor";
/// Index of the last part that an upload may have: its number is 10,000.
const LAST_INDEX: u32 = 9_999;
const OBJECT_BYTES: u64 = 2 * PART_BYTES + LAST.len() as u64;
const CONTENT_TYPE: &str = "text/plain";
const OTHER_STORE: &str = "the store: is it S3-compatible?";

/// A trial, and the upload that it has open.
pub(super) struct Trial<'t> {
    doctor: &'t mut Doctor,
    store: &'t S3Store,
    blob_id: Uuid,
    upload_id: String,
    is_open: bool,
    /// The change that allows pages to upload.
    cors_change: &'static str,
}

impl<'t> Trial<'t> {
    /// Sends nothing.
    pub(super) fn new(doctor: &'t mut Doctor, store: &'t S3Store, blob_id: Uuid, cors_change: &'static str) -> Self {
        Self { doctor, store, blob_id, upload_id: String::new(), is_open: false, cors_change }
    }

    /// The upload that was not completed.
    pub(super) fn open_upload(self) -> Option<String> {
        self.is_open.then_some(self.upload_id)
    }

    /// Uploads like a browser: by presigned URLs, from a page of another origin. Reports each check.
    ///
    /// # Errors
    /// The store's error, where nothing can be tried any more.
    pub(super) async fn run(&mut self) -> Result<(), StorageError> {
        let headers = BlobHeaders { content_type: CONTENT_TYPE.to_owned(), content_disposition: "inline".to_owned() };
        self.upload_id = self.store.create_upload(self.blob_id, &headers).await?;
        self.is_open = true;
        self.list_without_parts().await;
        let Some(last_index) = self.send_parts().await? else { return Ok(()) };
        let Some(parts) = self.list_parts(last_index).await? else { return Ok(()) };
        self.complete(&parts).await?;
        self.complete_again(&parts).await?;
        self.look_for_upload().await?;
        self.read().await?;
        self.send_late(last_index).await
    }

    fn report(&mut self, check: &str, health: Health) {
        self.doctor.report(check, health);
    }

    /// Lists the upload before its first part, as a client does that was interrupted early.
    async fn list_without_parts(&mut self) {
        let health = match self.store.list_parts(self.blob_id, &self.upload_id).await {
            Ok(Some(parts)) if parts.is_empty() => Health::Well("an upload without parts is listed".to_owned()),
            Ok(Some(parts)) => Health::Ill {
                problem: format!("the store lists {} parts of an upload that has none", parts.len()),
                change: OTHER_STORE,
            },
            Ok(None) => Health::Doubtful(
                "the store does not know an upload before its first part; going on with one opens another".to_owned(),
            ),
            Err(error) if error.is_not_implemented() => of_call(&error, OTHER_STORE),
            Err(error) => Health::Doubtful(format!(
                "the store fails to list an upload before its first part; Partway then sends a part of one byte and lists again \
                 ({}). RustFS has this fault up to 1.0.0-beta.1",
                partway_server::error_chain(&error)
            )),
        };
        self.report("empty upload", health);
    }

    /// Lists the parts; `None` if they are not those that were sent.
    async fn list_parts(&mut self, last_index: u32) -> Result<Option<Vec<PartInStore>>, StorageError> {
        let listed = self.store.list_parts(self.blob_id, &self.upload_id).await?.unwrap_or_default();
        let found: Vec<_> = listed.iter().map(|part| (part.index, part.size_bytes)).collect();
        if found == [(0, PART_BYTES), (1, PART_BYTES), (last_index, LAST.len() as u64)] {
            return Ok(Some(listed));
        }
        let problem = format!("three parts were sent, and the store lists these (index, bytes): {found:?}");
        self.report("upload", Health::Ill { problem, change: OTHER_STORE });
        Ok(None)
    }
}
