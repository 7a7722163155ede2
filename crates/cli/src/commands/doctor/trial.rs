//! A trial upload to the bucket: the requests of a browser and of the server, and some that must fail.

use bytes::Bytes;
use http::HeaderMap;
use partway_server::storage::{BlobHeaders, BlobStore, S3Store, StorageError};
use uuid::Uuid;

use super::{Doctor, Health, ill};

/// Lifetime of the presigned URLs.
const TRIAL_SECONDS: u64 = 300;
/// The smallest part that is not the last (S3 documentation, multipart upload limits).
const FIRST_BYTES: u64 = 5 << 20;
const LAST: &[u8] = b"partway doctor";
/// Index of the last part that an upload may have: its number is 10,000.
const LAST_INDEX: u32 = 9_999;

/// Uploads like a browser: by presigned URLs, from a page of another origin.
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
    let change = "storage.public_endpoint: the URL by which clients reach the store";
    let first_part = Bytes::from(vec![b'p'; usize::try_from(FIRST_BYTES).unwrap_or_default()]);
    let (status, answer) = match store.send_as_browser(&first, first_part).await {
        Ok(answer) => answer,
        Err(error) => {
            doctor.report("public endpoint", ill(&error, change));
            return Ok(());
        }
    };
    if status != 200 {
        let problem = format!("answered {status} to a part sent to its presigned URL");
        doctor.report("public endpoint", Health::Ill { problem, change });
        return Ok(());
    }
    doctor.report("public endpoint", Health::Well("accepts parts by presigned URLs".to_owned()));
    let preflight = store.preflight(&first, "PUT").await?;
    doctor.report("CORS", cors(&preflight, &answer));
    doctor.report("part length", part_length(store, &last).await);
    let (status, _) = store.send_as_browser(&last, Bytes::from_static(LAST)).await?;
    if status != 200 {
        let problem = format!("answered {status} to part number 10,000: files with that many parts cannot be uploaded");
        let change = "the store's limit of part numbers (Swift: max_upload_part_num = 10000)";
        doctor.report("part numbers", Health::Ill { problem, change });
        return Ok(());
    }
    doctor.report("part numbers", Health::Well("1 to 10,000 are accepted".to_owned()));
    let parts = store.list_parts(blob_id, &upload_id).await?.unwrap_or_default();
    store.complete_upload(blob_id, &upload_id, &parts).await?;
    let object = store.find_blob(blob_id).await?;
    let has_checksum = object.as_ref().is_some_and(|object| object.crc64nvme.is_some());
    doctor.report(
        "upload",
        match object {
            Some(object) if object.size_bytes == FIRST_BYTES + last_bytes => {
                Health::Well("started, listed and completed".to_owned())
            }
            other => Health::Ill {
                problem: format!("was completed, but the object is {other:?}"),
                change: "the store: is it S3-compatible?",
            },
        },
    );
    doctor.report("completed upload", completed_upload(store, blob_id, &upload_id).await?);
    doctor.report("late part", late_part(store, &late).await);
    doctor.report(
        "checksum",
        Health::Well(match has_checksum {
            true => "the store keeps the CRC-64/NVME of whole objects: `hash` is set and compared".to_owned(),
            false => {
                "the store keeps no checksum of whole objects: `hash` is null, and a declared one is refused".to_owned()
            }
        }),
    );
    Ok(())
}

/// Sends a part that is longer than its URL allows.
async fn part_length(store: &S3Store, url: &str) -> Health {
    match store.send_as_browser(url, Bytes::from([LAST, b"!"].concat())).await {
        Ok((200..=299, _)) => Health::Doubtful(
            "the store accepts parts that are longer than their URLs allow, up to 5 GiB each: sessions with such a part \
             are aborted every storage.sweep_seconds; give public keys only to people you trust"
                .to_owned(),
        ),
        // Some stores close the connection instead of answering.
        _ => Health::Well("a URL accepts exactly the length of its part".to_owned()),
    }
}

/// Looks for an upload that was completed.
async fn completed_upload(store: &S3Store, blob_id: Uuid, upload_id: &str) -> Result<Health, StorageError> {
    let is_open = store.list_parts(blob_id, upload_id).await?.is_some();
    let is_listed = store.list_uploads(Some(blob_id)).await?.iter().any(|upload| upload.upload_id == upload_id);
    Ok(match is_open || is_listed {
        true => Health::Doubtful(
            "the store goes on listing an upload that was completed; Partway leaves it alone. Rules of the bucket that abort \
             old uploads may destroy files: remove them"
                .to_owned(),
        ),
        false => Health::Well("is no longer an upload".to_owned()),
    })
}

/// Sends a part after its upload was completed.
async fn late_part(store: &S3Store, url: &str) -> Health {
    match store.send_as_browser(url, Bytes::from_static(b"PARTWAY DOCTOR")).await {
        Ok((200..=299, _)) => Health::Ill {
            problem:
                "the store accepts parts of an upload that was completed, so anyone with the URL of a part can destroy the file \
                      until the URL expires"
                    .to_owned(),
            change: "another store; until then use short ttl_seconds and no public keys (s3api of Swift has this fault)",
        },
        _ => Health::Well("is refused".to_owned()),
    }
}

/// The CORS rules, by the answers to a preflight and to a part.
fn cors(preflight: &HeaderMap, answer: &HeaderMap) -> Health {
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let methods = text(preflight, "access-control-allow-methods");
    let exposed = text(answer, "access-control-expose-headers");
    let change = "`partway doctor --fix-cors` sets rules that allow it";
    let missing = match () {
        () if text(preflight, "access-control-allow-origin").is_empty() => "pages of other origins are not allowed",
        () if !methods.contains("put") && methods != "*" => "PUT is not allowed",
        () if !exposed.contains("etag") && exposed != "*" => "ETag is not exposed",
        () => return Health::Well("pages of any origin may PUT and read ETag".to_owned()),
    };
    Health::Ill { problem: format!("{missing}: browsers cannot upload"), change }
}
