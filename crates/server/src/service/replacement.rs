//! Whether an upload may use a path, and which file there it replaces.
//!
//! Invariant: a public key may use a path only if it is free or the file there was uploaded with the same key, unless its
//! permissions allow more. [`Place::find`] decides that in the transaction that publishes, and publication requires its
//! result. The start of an upload makes the same check, so that no bytes are sent in vain.

use partway_api::ErrorCode;
use uuid::Uuid;

use crate::db::api_keys::{self, ApiKey};
use crate::db::files::{self, File};
use crate::db::{DbError, Timestamp, Tx, folders};
use crate::input::{InvalidInput, quote_for_message};
use crate::model::PublicLimits;

/// Size of the file at this path, which a new one would replace.
pub(super) fn replaced_bytes(tx: &Tx<'_>, workspace_id: Uuid, folder: &str, name: &str) -> Result<u64, DbError> {
    let folder_id = match folder {
        "" => Some(folders::root(workspace_id)),
        path => folders::find_by_path(tx, workspace_id, path)?.map(|folder| folder.id),
    };
    let replaced = folder_id.map(|folder_id| files::find_in(tx, folder_id, name)).transpose()?.flatten();
    Ok(replaced.map_or(0, |replaced| replaced.size_bytes))
}

/// A path at which a key may put a file, valid in the transaction that found it.
pub(super) struct Place {
    pub(super) key: ApiKey,
    pub(super) replaced: Option<File>,
}

impl Place {
    /// The key of the upload.
    pub(super) fn key(&self) -> &ApiKey {
        &self.key
    }

    /// Whether the file to be replaced was created or changed since `then`.
    pub(super) fn replaces_newer_than(&self, then: Timestamp) -> bool {
        self.replaced.as_ref().is_some_and(|there| there.created_at >= then || there.updated_at >= then)
    }

    /// The place for a file of an upload that was started with this key, or why the key may not put one there. Changes nothing.
    /// The workspace must be locked if a file is published afterwards.
    pub(super) fn find(
        tx: &Tx<'_>,
        limits: &PublicLimits,
        api_key_id: Uuid,
        folder: &str,
        name: &str,
    ) -> Result<Result<Self, InvalidInput>, DbError> {
        let key = api_keys::find(tx, api_key_id)?.ok_or_else(|| DbError::Corrupt {
            table: "api_keys",
            problem: format!("key {api_key_id} does not exist"),
        })?;
        let folder_id = match folder {
            "" => Some(folders::root(key.workspace_id)),
            path => folders::find_by_path(tx, key.workspace_id, path)?.map(|folder| folder.id),
        };
        let Some(folder_id) = folder_id else {
            let refused = limits.check_new_folders(tx, &key, folder)?;
            return Ok(refused.map(|()| Self { key, replaced: None }));
        };
        let replaced = files::find_in(tx, folder_id, name)?;
        let may_replace = |there: &File| key.may_replace() || there.api_key_id == Some(api_key_id);
        if replaced.as_ref().is_some_and(|there| !may_replace(there)) {
            let path = files::join(folder, name);
            let was = format!(
                "{}, and {} is a file that was not uploaded with this key",
                quote_for_message(name),
                quote_for_message(path)
            );
            let allowed = "a name that is free in the folder; `random_prefix` makes every name free";
            return Ok(Err(InvalidInput::new(ErrorCode::FileExists, "file_name", was, allowed)));
        }
        Ok(Ok(Self { key, replaced }))
    }
}
