//! The trial's object: completed, completed again, read by range, and attacked by a late part.

use bytes::Bytes;
use partway_server::storage::{BlobHeaders, BlobStore, PartInStore, StorageError, StoredBlob};

use super::{CONTENT_TYPE, LAST, OBJECT_BYTES, OTHER_STORE, PART_BYTES, TRIAL_SECONDS, Trial, crc};
use crate::commands::doctor::Health;

/// Headers that the presigned URL of a file asks for, other than those of the upload.
const OTHER_TYPE: &str = "application/x-partway-doctor";
const STREAM: &str = "storage.delivery = \"stream\": then the server reads the store, and answers itself";

impl Trial<'_> {
    /// Completes the upload, and looks at the object.
    pub(super) async fn complete(&mut self, parts: &[PartInStore]) -> Result<(), StorageError> {
        self.store.complete_upload(self.blob_id, &self.upload_id, parts).await?;
        self.is_open = false;
        let object = self.store.find_blob(self.blob_id).await?;
        let health = match &object {
            Some(object) if object.size_bytes == OBJECT_BYTES => {
                Health::Well("started, listed and completed".to_owned())
            }
            other => {
                Health::Ill { problem: format!("was completed, but the object is {other:?}"), change: OTHER_STORE }
            }
        };
        self.report("upload", health);
        self.report("checksum", checksum(object.as_ref()));
        Ok(())
    }

    /// Completes it once more, as a client does whose answer was lost.
    pub(super) async fn complete_again(&mut self, parts: &[PartInStore]) -> Result<(), StorageError> {
        let again = self.store.complete_upload(self.blob_id, &self.upload_id, parts).await;
        let object = self.store.find_blob(self.blob_id).await?;
        let answered = match &again {
            Ok(true) => "the same answer again".to_owned(),
            Ok(false) => "the upload is no longer known; the object shows that it was completed".to_owned(),
            Err(error) => {
                format!("{}; the object shows that it was completed", partway_server::error_chain(error))
            }
        };
        let health = match object {
            Some(object) if object.size_bytes == OBJECT_BYTES => Health::Well(answered),
            other => Health::Ill {
                problem: format!("completing a second time left the object as {other:?}: {answered}"),
                change: OTHER_STORE,
            },
        };
        self.report("complete twice", health);
        Ok(())
    }

    /// Looks for the upload that was completed.
    pub(super) async fn look_for_upload(&mut self) -> Result<(), StorageError> {
        let is_open = self.store.list_parts(self.blob_id, &self.upload_id).await?.is_some();
        let listed = match self.store.list_uploads(Some(self.blob_id)).await {
            Err(error) if error.is_not_implemented() => {
                let doubt = format!(
                    "the store does not implement ListMultipartUploads ({}): parts of uploads that end without a file stay in \
                     the bucket. Let a rule of the bucket abort old uploads",
                    partway_server::error_chain(&error)
                );
                self.report("list of uploads", Health::Doubtful(doubt));
                Vec::new()
            }
            listed => listed?,
        };
        let health = match is_open || listed.iter().any(|upload| upload.upload_id == self.upload_id) {
            true => Health::Doubtful(
                "the store goes on listing an upload that was completed; Partway leaves it alone. Rules of the bucket that \
                 abort old uploads may destroy files: remove them"
                    .to_owned(),
            ),
            false => Health::Well("is no longer an upload".to_owned()),
        };
        self.report("completed upload", health);
        Ok(())
    }

    /// Reads the end of a part and the beginning of the next one, as a player does that was redirected to the store.
    pub(super) async fn read(&mut self) -> Result<(), StorageError> {
        let headers = BlobHeaders { content_type: OTHER_TYPE.to_owned(), content_disposition: "attachment".to_owned() };
        let url = self.store.presign_get(self.blob_id, "private, max-age=60", &headers, None, TRIAL_SECONDS)?;
        let begin = 2 * PART_BYTES - 2;
        let range = format!("bytes {begin}-{}/{OBJECT_BYTES}", begin + 3);
        let (status, headers, body) =
            self.store.fetch_as_browser(&url, &format!("bytes={begin}-{}", begin + 3)).await?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (answered_range, kind) = (text("content-range"), text("content-type"));
        let is_right = status == 206 && answered_range == range && body[..] == [b"pp", &LAST[..2]].concat();
        let health = match kind.split(';').next().unwrap_or_default() {
            _ if !is_right => Health::Ill {
                problem: format!(
                    "answered {status} with {} bytes and the range {answered_range:?} to a request for 4 bytes ({range:?}): \
                     players cannot seek, and downloads cannot go on",
                    body.len()
                ),
                change: OTHER_STORE,
            },
            OTHER_TYPE => Health::Well("ranges are read, with the headers that the URL asks for".to_owned()),
            CONTENT_TYPE => Health::Well("ranges are read, with the headers of the upload".to_owned()),
            other => Health::Ill { problem: format!("a range has the content type {other:?}"), change: STREAM },
        };
        self.report("ranges", health);
        let (status, headers, body) = self.store.fetch_as_browser(&url, "bytes=0-0,2-2").await?;
        let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_readable =
            kind.starts_with("multipart/byteranges") || body.len() as u64 == OBJECT_BYTES && status == 200;
        let health = match is_readable {
            true => Health::Well("are answered as multipart/byteranges, or with the whole file".to_owned()),
            false => Health::Doubtful(format!(
                "a request for two ranges is answered with {status}, {} bytes and the type {kind:?}: the few clients that \
                 ask for several ranges read something else. {STREAM}",
                body.len()
            )),
        };
        self.report("several ranges", health);
        Ok(())
    }

    /// Sends a part after its upload was completed.
    pub(super) async fn send_late(&mut self, index: u32) -> Result<(), StorageError> {
        let url = self.url(index, LAST.len() as u64)?;
        let health = match self.store.send_as_browser(&url, Bytes::from_static(b"PARTWAY DOCTOR")).await {
            Ok((200..=299, _)) => Health::Ill {
                problem:
                    "the store accepts parts of an upload that was completed, so anyone with the URL of a part can \
                          destroy the file until the URL expires"
                        .to_owned(),
                change: "another store; until then use short ttl_seconds and no public keys (s3api of Swift has this fault)",
            },
            _ => Health::Well("is refused".to_owned()),
        };
        self.report("late part", health);
        Ok(())
    }
}

/// Compares the checksum that the store keeps with one of the bytes that were sent.
fn checksum(object: Option<&StoredBlob>) -> Health {
    let sent =
        std::iter::repeat_n(b'p', usize::try_from(2 * PART_BYTES).unwrap_or_default()).chain(LAST.iter().copied());
    match object.and_then(|object| object.crc64nvme.as_deref()) {
        None => Health::Well(
            "the store keeps no checksum of whole objects: `hash` is null, and a declared one is refused".to_owned(),
        ),
        Some(kept) if kept == crc::crc64nvme(sent) => {
            Health::Well("the store keeps the CRC-64/NVME of whole objects: `hash` is set and compared".to_owned())
        }
        Some(kept) => Health::Ill {
            problem: format!(
                "the store says the CRC-64/NVME {kept:?} of the object, and that is not the one of its bytes"
            ),
            change: OTHER_STORE,
        },
    }
}
