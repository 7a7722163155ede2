//! Files that are fetched from a URL.

use futures_util::StreamExt;
use partway_api::ErrorCode;
use partway_api::limits::MAX_URL_BYTES;

use super::tasks::to_its_end;
use super::whole::{DirectUploadHints, MOST_IN_ONE_REQUEST, UploadOrigin};
use super::{UploadError, Uploads};
use crate::db::files::File;
use crate::input::{FileName, InvalidInput, MediaType, SizeLimit, UploadFields, quote_for_message};
use crate::outgoing::FetchError;
use crate::service::key::Identity;
use crate::storage::BlobHeaders;

/// What a file is called whose URL says nothing.
const NAMELESS: &str = "download";

impl Uploads {
    /// Fetches a file. Once begun it goes on to its end, even when the request goes away: a client that did not wait finds
    /// the file.
    ///
    /// # Errors
    /// [`UploadError::Fetch`] when the other side does not deliver it; otherwise as for files that come in one request.
    pub async fn fetch_remote(
        &self,
        identity: &Identity,
        remote_url: &str,
        fields: UploadFields,
    ) -> Result<File, UploadError> {
        if remote_url.len() > MAX_URL_BYTES {
            let allowed = format!("at most {MAX_URL_BYTES} bytes");
            let was = quote_for_message(remote_url);
            return Err(InvalidInput::new(ErrorCode::InvalidRemoteUrl, "remote_url", was, allowed).into());
        }
        let url = self.outgoing.check(remote_url).await.map_err(FetchError::Forbidden)?;
        fields.check_before_bytes()?;
        self.check_webhook(fields.webhook_url.as_ref()).await?;
        // Who waits for its turn and goes away has not begun.
        let turn = self.fetches.enter(identity.workspace_id, identity.kind).await?;
        let (uploads, identity) = (self.clone(), identity.clone());
        to_its_end(async move {
            let _turn = turn;
            uploads.fetch_whole(&identity, url, fields).await
        })
        .await
    }

    async fn fetch_whole(&self, identity: &Identity, url: url::Url, fields: UploadFields) -> Result<File, UploadError> {
        let fetched = self.outgoing.fetch(url).await?;
        let named = fetched.file_name.as_deref().and_then(FileName::nearest);
        let name = fields.stored_name(named.or_else(|| FileName::parse(NAMELESS).ok()))?;
        let declared = MediaType::guess(fetched.content_type.as_deref(), name.as_str());
        let max_file = SizeLimit { whose: MOST_IN_ONE_REQUEST, ..self.max_file(identity) };
        let headers = BlobHeaders::of_file(name.as_str(), declared.as_str());
        let size_bytes = fetched.size_bytes;
        let expected = DirectUploadHints { max_file, at_least_bytes: size_bytes, about_bytes: size_bytes, headers };
        let body = fetched.body.map(|bytes| bytes.map_err(UploadError::from));
        let received = self.receive_whole(identity, expected, body).await?;
        self.publish_whole(identity, received, name, &declared, fields, UploadOrigin::Remote).await
    }
}
