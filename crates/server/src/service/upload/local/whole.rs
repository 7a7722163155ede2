//! Files that come whole, into a blob of the data directory.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use uuid::Uuid;

use super::{LocalUploads, UploadError, blocking};
use crate::failpoint;
use crate::media;
use crate::storage::BlobWriter;

/// How much comes between two looks at the free room of the disk, and is brought onto the disk at once.
const STRETCH_BYTES: u64 = 16 << 20;

impl LocalUploads {
    /// Brings all that `body` brings into a new blob, and onto the disk. `size_bytes`: about how many there will be.
    pub(in super::super) async fn receive_whole(
        &self,
        blob_id: Uuid,
        size_bytes: Option<u64>,
        body: impl Stream<Item = Result<Bytes, UploadError>>,
    ) -> Result<(), UploadError> {
        let store = Arc::clone(&self.store);
        let blob = Arc::new(
            blocking(move || {
                store.check_room(blob_id, size_bytes.unwrap_or_default())?;
                store.create(blob_id, 0)
            })
            .await?,
        );
        failpoint::pass("whole.after_blob");
        let mut writer = BlobWriter::new(Arc::clone(&blob), Arc::clone(&self.gate));
        let mut stretch = 0..0;
        let mut body = pin!(body);
        while let Some(bytes) = body.next().await {
            let written = writer.write(bytes?).await?;
            stretch.end = written.end;
            if stretch.end - stretch.start >= STRETCH_BYTES {
                self.start_writeback(&blob, stretch.clone());
                stretch.start = stretch.end;
                self.store.check_room(blob_id, 0)?;
            }
        }
        let store = Arc::clone(&self.store);
        blocking(move || {
            blob.sync()?;
            store.sync_name(blob_id)
        })
        .await
    }

    /// Width and height, from the header of an image or a video.
    pub(in super::super) async fn dimensions(
        &self,
        blob_id: Uuid,
        mime_type: &str,
    ) -> Result<Option<(u32, u32)>, UploadError> {
        if !media::has_dimensions(mime_type) {
            return Ok(None);
        }
        let (store, mime_type) = (Arc::clone(&self.store), mime_type.to_owned());
        blocking(move || {
            let blob = store.open_for_reading(blob_id)?;
            Ok(media::dimensions(&mime_type, || blob.reader(media::MAX_READS).ok()))
        })
        .await
    }
}
