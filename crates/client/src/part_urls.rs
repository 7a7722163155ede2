//! The presigned URLs of a session's parts. They are renewed long before they expire, and when one is refused. Renewing also extends the
//! session's lifetime.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use partway_api::{PartUrl, ResignRequest};
use tokio::sync::Mutex;

use crate::{Client, Error};

/// The URLs of one session.
#[derive(Debug)]
pub(crate) struct PartUrls<'c> {
    client: &'c Client,
    session_id: String,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    urls: HashMap<u32, String>,
    /// Wall-clock time, which continues while a laptop sleeps. Counted from the arrival of the URLs, so the clocks of client and server
    /// need not agree.
    renew_at: SystemTime,
}

impl<'c> PartUrls<'c> {
    pub(crate) fn new(client: &'c Client, session_id: &str, ttl: Duration, urls: HashMap<u32, String>) -> Self {
        let state = Mutex::new(State { urls, renew_at: renew_at(ttl) });
        Self { client, session_id: session_id.to_owned(), ttl, state }
    }

    /// The URL of a part; never `refused`, which was answered as expired.
    pub(crate) async fn get(&self, index: u32, refused: Option<&str>) -> Result<String, Error> {
        let mut state = self.state.lock().await;
        let known = state.urls.get(&index).filter(|url| Some(url.as_str()) != refused);
        if let Some(url) = known
            && SystemTime::now() < state.renew_at
        {
            return Ok(url.clone());
        }
        // Renews the URLs of all missing parts, so that other parts need not ask. The server may not list this part as missing.
        self.renew(&mut state, None).await?;
        if state.urls.get(&index).is_none_or(|url| Some(url.as_str()) == refused) {
            self.renew(&mut state, Some(index)).await?;
        }
        state
            .urls
            .get(&index)
            .cloned()
            .ok_or_else(|| Error::Connection(format!("the server signed no URL for part {index}")))
    }

    async fn renew(&self, state: &mut State, index: Option<u32>) -> Result<(), Error> {
        let request = ResignRequest { parts: index.map(|index| vec![index]), ttl_seconds: Some(self.ttl.as_secs()) };
        let signed = self.client.resign(&self.session_id, &request).await?;
        if index.is_none() {
            state.urls.clear();
            state.renew_at = renew_at(self.ttl);
        }
        state.urls.extend(signed.parts.into_iter().map(|PartUrl { index, url }| (index, url)));
        Ok(())
    }
}

/// Half of the lifetime, because one part may take hours.
fn renew_at(ttl: Duration) -> SystemTime {
    SystemTime::now() + ttl / 2
}
