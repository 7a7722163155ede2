//! The presigned URLs of a session's parts, kept good: long before they expire, and when the server says that one has,
//! new ones are asked for, which lets the session live on as well.

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
    /// Wall-clock time, which goes on while a laptop sleeps. Counted from when the URLs came, so that the clocks of
    /// the two sides need not agree.
    renew_at: SystemTime,
}

impl<'c> PartUrls<'c> {
    pub(crate) fn new(client: &'c Client, session_id: &str, ttl: Duration, urls: HashMap<u32, String>) -> Self {
        let state = Mutex::new(State { urls, renew_at: renew_at(ttl) });
        Self { client, session_id: session_id.to_owned(), ttl, state }
    }

    /// The URL of a part, other than `refused`, which the server says has expired.
    pub(crate) async fn get(&self, index: u32, refused: Option<&str>) -> Result<String, Error> {
        let mut state = self.state.lock().await;
        let known = state.urls.get(&index).filter(|url| Some(url.as_str()) != refused);
        if let Some(url) = known
            && SystemTime::now() < state.renew_at
        {
            return Ok(url.clone());
        }
        // All that are missing, so that the other parts need not ask, and this one, whatever the server thinks of it.
        self.renew(&mut state, None).await?;
        if state.urls.get(&index).is_none_or(|url| Some(url.as_str()) == refused) {
            self.renew(&mut state, Some(index)).await?;
        }
        state.urls.get(&index).cloned().ok_or_else(|| Error::Connection(format!("the server signs no part {index}")))
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

/// After half of their life: a part may take hours on its way.
fn renew_at(ttl: Duration) -> SystemTime {
    SystemTime::now() + ttl / 2
}
