//! The bucket's CORS rules: browsers send parts to the store itself, from the application's origin.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::S3Store;
use super::client::{ANSWER_TIMEOUT, Call};
use crate::storage::StorageError;

/// Any origin may send parts and fetch files by presigned URLs, and reads the parts' entity tags.
const CORS_RULES: &str = "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>\
    <AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod><AllowedHeader>*</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>86400</MaxAgeSeconds></CORSRule></CORSConfiguration>";

impl S3Store {
    /// Replaces the bucket's CORS rules.
    ///
    /// # Errors
    /// The store's error.
    pub async fn set_cors(&self) -> Result<(), StorageError> {
        use base64::Engine;
        use md5::Digest;
        let md5 = base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(CORS_RULES));
        let mut call = Call::new("set the CORS rules of", "put_cors", Method::PUT, None);
        let headers = [("content-md5", md5.as_str())];
        (call.query, call.headers, call.body) = (&[("cors", "")], &headers, Bytes::from_static(CORS_RULES.as_bytes()));
        self.call(&call).await.map(drop)
    }

    /// Headers of the store's answer to a preflight request: may a page of another origin send `method` to `url`?
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn preflight(&self, url: &str, method: &str) -> Result<HeaderMap, StorageError> {
        let request = self
            .http
            .request(Method::OPTIONS, url)
            .header("origin", "https://example.com")
            .header("access-control-request-method", method)
            .timeout(ANSWER_TIMEOUT);
        let answer = request.send().await.map_err(|error| StorageError::http("send a preflight request to", error))?;
        Ok(answer.headers().clone())
    }

    /// Sends bytes to a presigned URL as a page of another origin would, and returns status and headers.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn send_as_browser(&self, url: &str, bytes: Bytes) -> Result<(u16, HeaderMap), StorageError> {
        let request = self.http.put(url).header("origin", "https://example.com").body(bytes).timeout(ANSWER_TIMEOUT);
        let answer = request.send().await.map_err(|error| StorageError::http("send a part to", error))?;
        Ok((answer.status().as_u16(), answer.headers().clone()))
    }

    /// Fetches a presigned URL as a page of another origin would, with this `Range`, and returns status, headers and body.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn fetch_as_browser(&self, url: &str, range: &str) -> Result<(u16, HeaderMap, Bytes), StorageError> {
        const DOING: &str = "read an object of";
        let request = self.http.get(url).header("origin", "https://example.com").header("range", range);
        let answer = request.timeout(ANSWER_TIMEOUT).send().await.map_err(|error| StorageError::http(DOING, error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok((status, headers, answer.bytes().await.map_err(|error| StorageError::http(DOING, error))?))
    }
}
