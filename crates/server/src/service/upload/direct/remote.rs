//! Files that are fetched from a URL.

use futures_util::StreamExt;
use partway_api::ErrorCode;
use partway_api::limits::MAX_URL_BYTES;

use super::{DirectFile, DirectSource, UploadOrigin};
use crate::db::files::File;
use crate::input::{FileName, InvalidInput, UploadFields, quote_for_message};
use crate::outgoing::{FetchError, Outgoing};
use crate::service::key::Identity;
use crate::service::upload::tasks::to_its_end;
use crate::service::upload::{UploadError, Uploads};

/// Name of a file whose URL and response name none.
const NAMELESS: &str = "download";

impl Uploads {
    /// Fetches a file. Once begun it runs to its end, even when the request is cancelled: a client that did not wait finds
    /// the file. A request that is cancelled while it waits for a permit has not begun.
    ///
    /// # Errors
    /// [`UploadError::Fetch`] when the other server does not deliver it; otherwise those of [`Self::receive_direct`].
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
        self.check_fields(identity, &fields, None).await?;
        let permit = self.fetches.enter(identity.workspace_id, identity.kind).await?;
        let (uploads, identity) = (self.clone(), identity.clone());
        to_its_end(async move {
            let _permit = permit;
            let max_file = uploads.max_file(&identity);
            let checked = fields.webhook_url.clone();
            let source = Remote { outgoing: uploads.outgoing.clone(), url, fields };
            uploads.receive_from(&identity, max_file, checked.as_ref(), source).await
        })
        .await
    }
}

/// A file at a URL that was checked.
struct Remote {
    outgoing: Outgoing,
    url: url::Url,
    fields: UploadFields,
}

impl DirectSource for Remote {
    const ORIGIN: UploadOrigin = UploadOrigin::Remote;

    async fn next_file(&mut self) -> Result<DirectFile, UploadError> {
        let fetched = self.outgoing.fetch(self.url.clone()).await?;
        let named = fetched.file_name.as_deref().and_then(FileName::nearest);
        Ok(DirectFile {
            fields: self.fields.clone(),
            path_is_final: false,
            default_name: named.or_else(|| FileName::parse(NAMELESS).ok()),
            own_name: None,
            content_type: fetched.content_type,
            at_least_bytes: fetched.size_bytes,
            about_bytes: fetched.size_bytes,
            body: fetched.body.map(|bytes| bytes.map_err(UploadError::from)).boxed(),
        })
    }

    async fn finish_fields(&mut self) -> Result<UploadFields, UploadError> {
        Ok(self.fields.clone())
    }
}
