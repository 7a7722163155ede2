//! The parts of the trial: two at the same time, one of a wrong length, and the one with the highest number.

use bytes::Bytes;
use http::HeaderMap;
use partway_server::storage::StorageError;

use super::{LAST, LAST_INDEX, PART_BYTES, TRIAL_SECONDS, Trial};
use crate::commands::doctor::{Health, ill};

const PUBLIC_ENDPOINT: &str = "storage.public_endpoint: the URL by which clients reach the store";

impl Trial<'_> {
    /// Sends the parts. Returns the index of the last one; `None` when the store does not accept parts.
    pub(super) async fn send_parts(&mut self) -> Result<Option<u32>, StorageError> {
        let [first, second] = [self.url(0, PART_BYTES)?, self.url(1, PART_BYTES)?];
        let Some(answer) = self.send_two(&first, &second).await else { return Ok(None) };
        let preflight = self.store.preflight(&first, "PUT").await?;
        self.report("CORS", cors(&preflight, &answer, self.cors_change));
        let last = self.url(LAST_INDEX, LAST.len() as u64)?;
        let health = self.part_length(&last).await;
        self.report("part length", health);
        let (status, _) = self.store.send_as_browser(&last, Bytes::from_static(LAST)).await?;
        if status == 200 {
            self.report("part numbers", Health::Well("1 to 10,000 are accepted".to_owned()));
            return Ok(Some(LAST_INDEX));
        }
        let problem = format!("answered {status} to part number 10,000: files with that many parts cannot be uploaded");
        let change = "the store's limit of part numbers (Swift: max_upload_part_num = 10000)";
        self.report("part numbers", Health::Ill { problem, change });
        let third = self.url(2, LAST.len() as u64)?;
        let (status, _) = self.store.send_as_browser(&third, Bytes::from_static(LAST)).await?;
        Ok((status == 200).then_some(2))
    }

    /// A URL that accepts the part, as clients get it.
    pub(super) fn url(&self, index: u32, size_bytes: u64) -> Result<String, StorageError> {
        let urls = self.store.presign_parts(self.blob_id, &self.upload_id, &[(index, size_bytes)], TRIAL_SECONDS)?;
        Ok(urls.into_iter().next().unwrap_or_default())
    }

    /// Sends two parts at the same time, and once more alone those that were not accepted. Returns the headers of an answer.
    async fn send_two(&mut self, first: &str, second: &str) -> Option<HeaderMap> {
        let bytes = Bytes::from(vec![b'p'; usize::try_from(PART_BYTES).unwrap_or_default()]);
        let store = self.store;
        let sent =
            tokio::join!(store.send_as_browser(first, bytes.clone()), store.send_as_browser(second, bytes.clone()));
        let mut refused = None;
        let mut headers = None;
        for (url, sent) in [(first, sent.0), (second, sent.1)] {
            let (mut status, mut answer) = match sent {
                Ok(answer) => answer,
                Err(error) => {
                    self.report("public endpoint", ill(&error, PUBLIC_ENDPOINT));
                    return None;
                }
            };
            if status != 200 {
                let at_once = status;
                (status, answer) = store.send_as_browser(url, bytes.clone()).await.unwrap_or((status, answer));
                if status != 200 {
                    let problem = format!("answered {status} to a part sent to its presigned URL");
                    self.report("public endpoint", Health::Ill { problem, change: PUBLIC_ENDPOINT });
                    return None;
                }
                refused = Some(at_once);
            }
            headers = Some(answer);
        }
        self.report("public endpoint", Health::Well("accepts parts by presigned URLs".to_owned()));
        let health = match refused {
            None => Health::Well("two at the same time are accepted".to_owned()),
            Some(status) => Health::Doubtful(format!(
                "the store answered {status} to one of two parts that were sent at the same time, and accepted it alone: \
                 uploads are repeated and slow; send fewer parts at once (`partway upload --concurrency 1`), or use another \
                 version of the store (RustFS up to 1.0.0-rc.1 locks the whole upload for each part)"
            )),
        };
        self.report("parallel parts", health);
        headers
    }

    /// Sends a part that is longer than its URL allows.
    async fn part_length(&self, url: &str) -> Health {
        match self.store.send_as_browser(url, Bytes::from([LAST, b"!"].concat())).await {
            Ok((200..=299, _)) => Health::Doubtful(
                "the store accepts parts that are longer than their URLs allow, up to 5 GiB each: sessions with such a part \
                 are aborted every storage.sweep_seconds; give public keys only to people you trust"
                    .to_owned(),
            ),
            // Some stores close the connection instead of answering.
            _ => Health::Well("a URL accepts exactly the length of its part".to_owned()),
        }
    }
}

/// The CORS rules, by the answers to a preflight and to a part. `change` allows what they do not.
fn cors(preflight: &HeaderMap, answer: &HeaderMap, change: &'static str) -> Health {
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let methods = text(preflight, "access-control-allow-methods");
    let exposed = text(answer, "access-control-expose-headers");
    let missing = match () {
        () if text(preflight, "access-control-allow-origin").is_empty() => "pages of other origins are not allowed",
        () if !methods.contains("put") && methods != "*" => "PUT is not allowed",
        () if !exposed.contains("etag") && exposed != "*" => "ETag is not exposed",
        () => return Health::Well("pages of any origin may PUT and read ETag".to_owned()),
    };
    Health::Ill { problem: format!("{missing}: browsers cannot upload"), change }
}
