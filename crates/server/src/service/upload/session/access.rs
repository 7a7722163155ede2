//! Which session a request means, and whether its key may work on it.

use std::time::Duration;

use uuid::Uuid;

use super::UploadError;
use super::records::Records;
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

impl Records {
    /// The stored session with this id, if the caller may see it.
    ///
    /// # Errors
    /// Those of [`authorize`], and when there is no such session or the database fails.
    pub(in crate::service::upload) async fn find_authorized(
        &self,
        identity: &Identity,
        session_id: &str,
        remembered: Duration,
    ) -> Result<Session, UploadError> {
        let not_found = || UploadError::unknown(session_id, remembered);
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        let session = self.find(id).await?.ok_or_else(not_found)?;
        authorize(&session, identity, remembered)?;
        Ok(session)
    }
}
