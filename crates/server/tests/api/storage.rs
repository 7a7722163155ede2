//! Promises of every storage.

use std::ops::Range;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use partway_server::storage::{BlobHeaders, BlobStore, ByteSource, ByteStream, Scanned, StorageError};
use uuid::Uuid;

use crate::app::{MIB, bytes};

/// Bytes in memory.
pub(crate) struct Memory(pub Bytes);

impl ByteSource for Memory {
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
        let bytes = self.0.slice(range.start as usize..range.end as usize);
        let pieces: Vec<_> = bytes.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        async { Ok(futures_util::stream::iter(pieces).boxed()) }.boxed()
    }
}

async fn read(store: &dyn BlobStore, id: Uuid, range: Range<u64>) -> Vec<u8> {
    let stream = store.read_blob(id, range).await.unwrap();
    stream
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
        .unwrap()
}

pub(crate) fn headers() -> BlobHeaders {
    BlobHeaders { content_type: "video/mp4".to_owned(), content_disposition: "inline".to_owned() }
}

/// Goes through everything once. The storage must be empty, and is left so.
pub(crate) async fn conforms(store: &dyn BlobStore) {
    store.check().await.unwrap();
    assert_eq!(store.list_blobs().await.unwrap(), []);
    for (seed, size) in [(1, 1), (2, 5 * MIB + 17), (3, 70 * MIB)] {
        let (id, data) = (Uuid::now_v7(), Bytes::from(bytes(seed, size)));
        assert_eq!(store.find_blob(id).await.unwrap(), None);
        assert!(store.read_blob(id, 0..1).await.err().unwrap().is_missing());
        store.put_blob(id, size, &headers(), &Memory(data.clone())).await.unwrap();
        assert_eq!(store.find_blob(id).await.unwrap().unwrap().size_bytes, size);
        assert!(read(store, id, 0..size).await == data);
        let (begin, end) = (size / 3, (size / 3 + 100_001).min(size));
        assert!(read(store, id, begin..end).await == data[begin as usize..end as usize]);
        assert!(read(store, id, size - 1..size).await == data[size as usize - 1..]);
        assert_eq!(store.list_blobs().await.unwrap(), [Scanned::Blob(id)]);
        for _ in 0..2 {
            store.delete_blob(id).await.unwrap();
        }
        assert_eq!(store.find_blob(id).await.unwrap(), None);
    }
    // A source that ends early makes no blob that anybody could take for whole.
    let (id, short) = (Uuid::now_v7(), Memory(Bytes::from_static(b"short")));
    struct Short(Memory);
    impl ByteSource for Short {
        fn read(&self, _: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
            self.0.read(0..5)
        }
    }
    assert!(store.put_blob(id, 100, &headers(), &Short(short)).await.is_err());
    store.delete_blob(id).await.unwrap();
    assert_eq!(store.list_blobs().await.unwrap(), []);
}
