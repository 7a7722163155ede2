//! Direct uploads: files that arrive in one piece, in a request or from a URL.
//!
//! Their bytes go into a blob that is registered as unfinished (`service/unfinished.rs`) while they arrive, and are hashed and counted on
//! the way. One transaction then makes the file visible. Cut off anywhere before that, nothing remains.
//!
//! ```text
//!  permit ─▶ next_file ─▶ bytes into a blob ─▶ finish_fields ─▶ publish ─▶ the file
//!                                  └───────────────┴──────────────┴──────▶ give up: the blob is garbage
//! ```

mod byte_counter;
mod byte_limit;
pub(in crate::service::upload) mod bytes_in_flight;
mod publish;
mod receive;
mod remote;

use futures_util::future::Future;

use super::backend::FileBody;
use super::tasks::to_its_end;
use super::{UploadError, Uploads};
use crate::db::files::File;
use crate::input::{FileName, FolderPath, MediaType, SizeLimit, UploadFields, WebhookUrl};
use crate::service::key::Identity;
use crate::service::public_keys::check_webhook_url;
use crate::service::replacement::Place;
use crate::service::unfinished::UnfinishedBlob;
use crate::storage::BlobHeaders;
use publish::Described;
use receive::Announcement;

/// Scope of the limit of one request.
pub(super) const LIMIT_OF_ONE_REQUEST: &str = "in one request; send larger files in parts";
/// Name that a file without a name is taken to have, where only its type is judged by it.
const NAME_OF_NAMELESS: &str = "file";

/// A file that arrives in one piece, with its fields.
pub trait DirectSource: Send {
    /// Where the file comes from.
    const ORIGIN: UploadOrigin;

    /// Reads all that comes before the file's bytes. Called once.
    ///
    /// # Errors
    /// When there is no file, or what comes before it breaks a rule.
    fn next_file(&mut self) -> impl Future<Output = Result<DirectFile, UploadError>> + Send;

    /// All fields, once the file's bytes have been read to their end. Called at most once, after [`next_file`](Self::next_file).
    ///
    /// # Errors
    /// When the rest of the source breaks a rule or does not arrive.
    fn finish_fields(&mut self) -> impl Future<Output = Result<UploadFields, UploadError>> + Send;
}

/// A file whose bytes are about to arrive.
pub struct DirectFile {
    /// The fields that are known by now.
    pub fields: UploadFields,
    /// Whether the path of these fields is final: no later field can change it.
    pub path_is_final: bool,
    /// The name that it gets if the fields name none, where they are final; `None` where they must name it, or may do so later.
    pub default_name: Option<FileName>,
    /// The name that the sender's own system gives it.
    pub own_name: Option<FileName>,
    /// The media type that the sender declares.
    pub content_type: Option<String>,
    /// Lower bound of its size in bytes.
    pub at_least_bytes: Option<u64>,
    /// Its estimated size in bytes, for the check of free space.
    pub about_bytes: Option<u64>,
    /// Its bytes.
    pub body: FileBody<'static>,
}

crate::opaque_debug::opaque_debug!(DirectFile);

/// Where a direct upload comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOrigin {
    /// A request to the API.
    Api,
    /// A URL.
    Remote,
}

impl UploadOrigin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => super::session::UPLOAD_SOURCE,
            Self::Remote => "remote",
        }
    }
}

impl Uploads {
    /// Stores a file that arrives in one request. `open` is called when there is a permit for it: each such request holds a descriptor
    /// and a row for as long as it takes, at most [`Self::longest_time`]. When this returns, the file survives a power cut. The request may be
    /// cancelled until all bytes have arrived; publishing runs to its end.
    ///
    /// # Errors
    /// [`UploadError::FileTooLarge`] when `at_least_bytes` is too much already, [`UploadError::Busy`] when no permit becomes free for
    /// a while, and the errors of source, storage and publishing. Nothing remains of the file then.
    pub async fn receive_direct<S: DirectSource>(
        &self,
        identity: &Identity,
        at_least_bytes: Option<u64>,
        open: impl FnOnce() -> Result<S, UploadError> + Send,
    ) -> Result<File, UploadError> {
        let max_file = self.max_direct(identity);
        if at_least_bytes.is_some_and(|bytes| bytes > max_file.bytes) {
            return Err(UploadError::FileTooLarge(max_file));
        }
        let _permit = self.directs.enter(identity.workspace_id, identity.kind).await?;
        self.receive_from(identity, max_file, None, open()?).await
    }

    /// Receives and publishes the file of `source`, whose `checked` webhook needs no further check.
    async fn receive_from<S: DirectSource>(
        &self,
        identity: &Identity,
        max_file: SizeLimit,
        checked: Option<&WebhookUrl>,
        mut source: S,
    ) -> Result<File, UploadError> {
        let file = source.next_file().await?;
        // Mistakes that are known by now are reported before the bytes are read.
        let known = file.fields.with_prefix(identity.permissions.random_prefix);
        self.check_fields(identity, &known, checked).await?;
        // The path is checked early where neither a later field nor a random prefix can change it.
        if let (Some(name), true, false) = (&known.file_name, file.path_is_final, known.random_prefix) {
            self.check_path(identity, &known.folder, name).await?;
        }
        let stored_name = file.default_name.map(|name| known.stored_name(Some(name))).transpose()?;
        let likely_name = stored_name.as_ref().or(known.file_name.as_ref()).or(file.own_name.as_ref());
        let likely_name = likely_name.map_or(NAME_OF_NAMELESS, FileName::as_str);
        let declared = file.content_type.as_deref().and_then(MediaType::of_header);
        let content_type = MediaType::likely(declared.clone(), likely_name).content_type();
        let announced = Announcement {
            max_file,
            at_least_bytes: file.at_least_bytes,
            about_bytes: file.about_bytes,
            headers: BlobHeaders::of_file(likely_name, &content_type),
        };
        let received = self.receive_bytes(identity, announced, file.body).await?;
        let described = async {
            let fields = source.finish_fields().await?.with_prefix(identity.permissions.random_prefix);
            self.check_fields(identity, &fields, known.webhook_url.as_ref()).await?;
            let name = match stored_name {
                Some(name) => name,
                None => fields.stored_name(None)?,
            };
            self.draft_of(identity, &received, Described { fields, name, declared, origin: S::ORIGIN }).await
        };
        match described.await {
            Ok(draft) => {
                let (uploads, is_public) = (self.clone(), identity.is_public());
                to_its_end(async move { uploads.publish_received(received, draft, is_public).await }).await
            }
            Err(error) => Err(received.give_up(error).await),
        }
    }

    /// Checks what can be wrong with the fields of a file while its bytes have not arrived. A webhook URL is checked unless it is
    /// `checked`, because each check asks a name server.
    async fn check_fields(
        &self,
        identity: &Identity,
        fields: &UploadFields,
        checked: Option<&WebhookUrl>,
    ) -> Result<(), UploadError> {
        fields.check_before_bytes()?;
        if fields.webhook_url.as_ref() != checked {
            check_webhook_url(identity, fields.webhook_url.as_ref())?;
            self.check_webhook(fields.webhook_url.as_ref()).await?;
        }
        Ok(())
    }

    /// Checks early whether a public key may put a file at the path; publishing checks again.
    ///
    /// # Errors
    /// FILE_EXISTS when there is a file that the caller may not replace.
    async fn check_path(&self, identity: &Identity, folder: &FolderPath, name: &FileName) -> Result<(), UploadError> {
        if !identity.is_public() {
            return Ok(());
        }
        let (public, api_key_id) = (self.records.public, identity.api_key_id);
        let (folder, name) = (folder.as_str().to_owned(), name.as_str().to_owned());
        let place = self.records.db.read(move |tx| Place::find(tx, &public, api_key_id, &folder, &name));
        Ok(place.await?.map(drop)?)
    }
}

/// The rule by which direct uploads give their blob up after an error: at once, unless the storage may still be writing it. A store that did
/// not answer may yet do what it was asked to, so its blob is deleted when its registration as unfinished runs out; the same happens when
/// an upload is cancelled. Returns the error to report.
async fn give_up(unfinished: UnfinishedBlob, error: UploadError) -> UploadError {
    if matches!(&error, UploadError::Storage(error) if error.is_transient()) {
        return error;
    }
    match unfinished.give_up().await {
        Ok(()) => error,
        Err(failed) if matches!(error, UploadError::Db(_)) => {
            tracing::warn!(
                error = %crate::error_chain::error_chain(&failed),
                "the bytes of a failed upload stay until their registration as unfinished runs out"
            );
            error
        }
        Err(failed) => failed.into(),
    }
}
