//! Which session a request means, and whether its key may work on it.

use std::time::Duration;

use uuid::Uuid;

use super::UploadError;
use crate::db::api_keys::KeyKind;
use crate::db::sessions::Session;
use crate::service::key::Identity;

/// Whether the caller may see the session and work on it: a private key on all sessions of its workspace, a public key on those
/// that were started with it. `remembered`: how long ended sessions stay known.
///
/// # Errors
/// [`UploadError::SessionNotFound`] for a session of another workspace, exactly as for one that does not exist;
/// [`UploadError::NotYours`] for a public key on a session of another key.
pub(in crate::service::upload) fn authorize(
    session: &Session,
    identity: &Identity,
    remembered: Duration,
) -> Result<(), UploadError> {
    if session.workspace_id != identity.workspace_id {
        return Err(UploadError::unknown(&session.id.to_string(), remembered));
    }
    if identity.kind == KeyKind::Public && session.api_key_id != identity.api_key_id {
        return Err(UploadError::NotYours(session.id));
    }
    Ok(())
}

/// Compares the `uuid` that a client names with the id of the session's file.
///
/// # Errors
/// [`UploadError::UuidMismatch`] when they differ.
pub(in crate::service::upload) fn check_uuid(session: &Session, uuid: Option<&str>) -> Result<(), UploadError> {
    match uuid {
        Some(given) if Uuid::try_parse(given) != Ok(session.file_id) => {
            Err(UploadError::UuidMismatch { given: given.to_owned(), expected: session.file_id })
        }
        _ => Ok(()),
    }
}
