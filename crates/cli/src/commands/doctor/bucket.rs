//! The bucket: its keys and its clock; then a trial upload.

use std::time::Duration;

use partway_server::storage::{BlobStore, S3Store, StorageError};
use uuid::Uuid;

use super::store_call::of_call;
use super::trial::Trial;
use super::{Doctor, Health, ill};

/// Difference of the clocks that is worth a warning.
const CLOCK_SKEW_WARNING: Duration = Duration::from_secs(60);
/// Difference of the clocks from which on stores refuse signatures (15 minutes, S3 documentation).
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(900);

/// Tests the bucket, and sets its CORS rules first if `fix_cors`.
pub(super) async fn examine(doctor: &mut Doctor, store: &S3Store, fix_cors: bool) {
    match S3Store::check(store).await {
        Ok(clock) => {
            doctor.report("bucket", Health::Well("exists, and the keys give access".to_owned()));
            if let Some(clock) = clock {
                let skew = clock.store.duration_since(clock.ours).unwrap_or_else(|earlier| earlier.duration());
                doctor.report("clock", skew_of(skew));
            }
        }
        Err(error) => {
            if error.is_code("RequestTimeTooSkewed") {
                doctor.report(
                    "clock",
                    ill(&error, "the clock of this machine: it differs from that of the store by more than 15 minutes"),
                );
            }
            return doctor.report("bucket", bucket_problem(&error));
        }
    }
    let mut cors_change = "`partway doctor --fix-cors` sets rules that allow it";
    if fix_cors {
        match store.set_cors().await {
            Ok(()) => doctor.report("fix CORS", Health::Well("the bucket's rules are set".to_owned())),
            Err(error) => {
                cors_change = "the reason why the rules could not be set";
                doctor.report("fix CORS", of_call(&error, "the key's permission to change the bucket (owner)"));
            }
        }
    }
    let blob_id = Uuid::now_v7();
    let mut trial = Trial::new(doctor, store, blob_id, cors_change);
    let tried = trial.run().await;
    let open_upload = trial.open_upload();
    if let Err(error) = tried {
        doctor.report("trial upload", of_call(&error, "the key's permission to read, write and list the bucket"));
    }
    if let Err(error) = clean_up(store, blob_id, open_upload).await {
        doctor.report("trial deletion", of_call(&error, "the key's permission to delete objects and abort uploads"));
    }
}

/// Deletes everything that the trial may have left.
async fn clean_up(store: &S3Store, blob_id: Uuid, open_upload: Option<String>) -> Result<(), StorageError> {
    let aborted = match open_upload {
        // By its id: the store may list no uploads.
        Some(upload_id) => store.abort_upload(blob_id, &upload_id).await,
        None => Ok(()),
    };
    store.delete_blob(blob_id).await.and(aborted)
}

fn skew_of(skew: Duration) -> Health {
    let seconds = skew.as_secs();
    match skew {
        skew if skew >= MAX_CLOCK_SKEW => Health::Ill {
            problem: format!("differs from the clock of the store by {seconds} s: signatures are refused"),
            change: "the clock of this machine, by NTP",
        },
        skew if skew >= CLOCK_SKEW_WARNING => {
            Health::Doubtful(format!("differs from the clock of the store by {seconds} s; set it by NTP"))
        }
        _ => Health::Well("agrees with the clock of the store".to_owned()),
    }
}

fn bucket_problem(error: &StorageError) -> Health {
    let change = match error {
        StorageError::Unavailable { .. } => "storage.endpoint: no server answers there",
        error if error.is_code("NoSuchBucket") => "storage.bucket, or create the bucket",
        error if error.is_code("SignatureDoesNotMatch") => "storage.secret_access_key, or storage.region",
        error if error.is_code("AuthorizationHeaderMalformed") => "storage.region",
        error if error.is_code("InvalidAccessKeyId") || error.is_code("AccessDenied") => {
            "storage.access_key_id and secret_access_key, storage.region, or the key's permissions for the bucket"
        }
        _ => "storage.endpoint, storage.region, storage.bucket and the keys",
    };
    ill(error, change)
}
