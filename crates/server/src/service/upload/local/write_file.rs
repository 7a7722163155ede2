//! Files that arrive in one piece, into a blob of the data directory.

use std::sync::Arc;

use futures_util::StreamExt;
use uuid::Uuid;

use super::{LocalUploads, UploadError, blocking};
use crate::db::api_keys::KeyKind;
use crate::failpoint;
use crate::media::{self, Pictures};
use crate::service::upload::backend::{FileBody, IncomingFile};
use crate::storage::{BlobWriter, UnclaimedBytes};

/// Disk space that is promised at a time to a file that may turn out smaller, and bytes of which the writeback is started at a time.
const STRETCH_BYTES: u64 = 16 << 20;
/// The first promise to a file of unknown size: most are small, and must not need more space than they take.
const FIRST_STRETCH_BYTES: u64 = 1 << 20;

/// The size of a file as far as it is announced.
#[derive(Debug, Clone, Copy)]
struct Announced {
    /// Estimated size in bytes.
    about_bytes: Option<u64>,
    /// Whether space for all of it is promised at the start. Otherwise space is taken only by bytes that arrive.
    keeps_room: bool,
}

impl Announced {
    /// Bytes to promise next, after `promised_bytes`.
    fn stretch(self, promised_bytes: u64) -> u64 {
        let left = self.about_bytes.map(|about| about.saturating_sub(promised_bytes)).filter(|left| *left > 0);
        match left {
            Some(left) if self.keeps_room => left,
            Some(left) => left.min(STRETCH_BYTES),
            None => promised_bytes.clamp(FIRST_STRETCH_BYTES, STRETCH_BYTES),
        }
    }
}

impl LocalUploads {
    /// Writes all bytes of `body` into a new blob and syncs it. Every byte is promised space before it is written. The blob is deleted
    /// at once when this fails, and when its result is dropped.
    pub(super) async fn write_file(
        &self,
        file: IncomingFile<'_>,
        mut body: FileBody<'_>,
    ) -> Result<UnclaimedBytes, UploadError> {
        let blob_id = file.blob_id;
        // Holders of a public key could take the space of the whole disk by announcing it.
        let announced = Announced { about_bytes: file.about_bytes, keeps_room: file.key_kind != KeyKind::Public };
        let store = Arc::clone(&self.store);
        let mut promised = announced.stretch(0);
        let (blob, promise) = blocking(move || {
            let promise = store.promise(blob_id, promised)?;
            // A file that does not fit is refused before its bytes arrive.
            store.promise(blob_id, announced.about_bytes.unwrap_or_default().saturating_sub(promised))?;
            Ok((Arc::new(store.create_empty(blob_id)?), promise))
        })
        .await?;
        failpoint::hit("whole.after_blob");
        let mut writer = BlobWriter::new(Arc::clone(&blob), Arc::clone(&self.gate), promise);
        let mut stretch = 0..0;
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            let missing = (bytes.len() as u64).saturating_sub(writer.promised_bytes());
            if missing > 0 {
                let more = announced.stretch(promised).max(missing);
                writer.extend(more).await?;
                promised += more;
            }
            let written = writer.write(bytes).await?;
            stretch.end = written.end;
            if stretch.end - stretch.start >= STRETCH_BYTES {
                self.start_writeback(&blob, stretch.clone());
                stretch.start = stretch.end;
            }
        }
        let received = writer.finish()?;
        let store = Arc::clone(&self.store);
        blocking(move || {
            received.blob().sync()?;
            store.sync_name(blob_id)?;
            Ok(received)
        })
        .await
    }

    /// Reads the pictures' sides from the header of an image or a video.
    pub(super) async fn read_pictures(&self, blob_id: Uuid, mime_type: &str) -> Result<Pictures, UploadError> {
        if !media::has_reader(mime_type) {
            return Ok(Pictures::Unknown);
        }
        let (store, mime_type) = (Arc::clone(&self.store), mime_type.to_owned());
        blocking(move || {
            let blob = store.open_for_reading(blob_id)?;
            Ok(media::pictures(&mime_type, || blob.reader(media::MAX_READS).ok()))
        })
        .await
    }
}
