//! A trial upload to the bucket: what a browser and the server would do, and what must not work.

use bytes::Bytes;
use partway_server::storage::{BlobHeaders, BlobStore, S3Store, StorageError};
use uuid::Uuid;

use super::{Doctor, Health, cors, ill};

/// How long the URLs of the trial are good.
const TRIAL_SECONDS: u64 = 300;
/// The smallest part that is not the last (S3 documentation, multipart upload limits).
const FIRST_BYTES: u64 = 5 << 20;
const LAST: &[u8] = b"partway doctor";
/// Index of the last part that an upload may have: its number is 10,000.
const LAST_INDEX: u32 = 9_999;

/// An upload as a browser would make it: by presigned URLs, from a page of another origin.
pub(super) async fn try_upload(doctor: &mut Doctor, store: &S3Store, blob_id: Uuid) -> Result<(), StorageError> {
    let headers = BlobHeaders { content_type: "text/plain".to_owned(), content_disposition: "inline".to_owned() };
    let upload_id = store.create_upload(blob_id, &headers).await?;
    let last_bytes = LAST.len() as u64;
    let mut urls = store.presign_parts(
        blob_id,
        &upload_id,
        &[(0, FIRST_BYTES), (LAST_INDEX, last_bytes), (LAST_INDEX, last_bytes)],
        TRIAL_SECONDS,
    )?;
    let (Some(late), Some(last), Some(first)) = (urls.pop(), urls.pop(), urls.pop()) else { return Ok(()) };
    let change = "storage.public_endpoint: the address by which clients reach the store";
    let first_part = Bytes::from(vec![b'p'; usize::try_from(FIRST_BYTES).unwrap_or_default()]);
    let (status, answer) = match store.send_as_browser(&first, first_part).await {
        Ok(answer) => answer,
        Err(error) => {
            doctor.tell("public endpoint", ill(&error, change));
            return Ok(());
        }
    };
    if status != 200 {
        let problem = format!("answers {status} to a part that was sent to a URL signed for it");
        doctor.tell("public endpoint", Health::Ill { problem, change });
        return Ok(());
    }
    doctor.tell("public endpoint", Health::Well("takes parts by presigned URLs".to_owned()));
    let preflight = store.preflight(&first, "PUT").await?;
    doctor.tell("CORS", cors(&preflight, &answer));
    doctor.tell("part length", part_length(store, &last).await);
    let (status, _) = store.send_as_browser(&last, Bytes::from_static(LAST)).await?;
    if status != 200 {
        let problem = format!("answers {status} to part number 10,000: files of so many parts cannot be uploaded");
        let change = "the store's limit of part numbers (Swift: max_upload_part_num = 10000)";
        doctor.tell("part numbers", Health::Ill { problem, change });
        return Ok(());
    }
    doctor.tell("part numbers", Health::Well("1 to 10,000 are taken".to_owned()));
    let parts = store.list_parts(blob_id, &upload_id).await?.unwrap_or_default();
    store.complete_upload(blob_id, &upload_id, &parts).await?;
    let object = store.find_blob(blob_id).await?;
    let has_checksum = object.as_ref().is_some_and(|object| object.crc64nvme.is_some());
    doctor.tell(
        "upload",
        match object {
            Some(object) if object.size_bytes == FIRST_BYTES + last_bytes => {
                Health::Well("opened, listed, completed".to_owned())
            }
            other => Health::Ill {
                problem: format!("was completed, and the object is {other:?}"),
                change: "the store: is it S3-compatible?",
            },
        },
    );
    doctor.tell("completed upload", completed_upload(store, blob_id, &upload_id).await?);
    doctor.tell("late part", late_part(store, &late).await);
    doctor.tell(
        "checksum",
        Health::Well(match has_checksum {
            true => "the store keeps the CRC-64/NVME of whole objects: `hash` is set and compared".to_owned(),
            false => {
                "the store keeps none of whole objects: `hash` is null, and one that is declared is refused".to_owned()
            }
        }),
    );
    Ok(())
}

/// A part that is longer than its URL says.
async fn part_length(store: &S3Store, url: &str) -> Health {
    match store.send_as_browser(url, Bytes::from([LAST, b"!"].concat())).await {
        Ok((200..=299, _)) => Health::Doubtful(
            "the store takes parts that are longer than their URLs allow, up to 5 GiB each: sessions that have such a part \
             are aborted every storage.sweep_seconds; give public keys to nobody you do not trust"
                .to_owned(),
        ),
        // Some close the connection on bytes that they do not want.
        _ => Health::Well("a URL takes exactly its part's length".to_owned()),
    }
}

/// The store's answers about an upload that it has completed.
async fn completed_upload(store: &S3Store, blob_id: Uuid, upload_id: &str) -> Result<Health, StorageError> {
    let is_open = store.list_parts(blob_id, upload_id).await?.is_some();
    let is_listed = store.list_uploads(Some(blob_id)).await?.iter().any(|upload| upload.upload_id == upload_id);
    Ok(match is_open || is_listed {
        true => Health::Doubtful(
            "the store goes on listing an upload that was completed; Partway leaves it alone. Rules of the bucket that abort \
             old uploads may destroy files: have none"
                .to_owned(),
        ),
        false => Health::Well("is no upload any more".to_owned()),
    })
}

/// A part that is sent when its upload was completed.
async fn late_part(store: &S3Store, url: &str) -> Health {
    match store.send_as_browser(url, Bytes::from_static(b"PARTWAY DOCTOR")).await {
        Ok((200..=299, _)) => Health::Ill {
            problem:
                "the store takes parts of an upload that was completed: whoever has a part's URL can destroy the file \
                      until the URL expires"
                    .to_owned(),
            change: "another store; until then short ttl_seconds, and no public keys (Swift's s3api does this)",
        },
        _ => Health::Well("is refused".to_owned()),
    }
}
