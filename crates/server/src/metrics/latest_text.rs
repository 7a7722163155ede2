//! The latest text of one format, which scrapes share.
//!
//! Invariant: one text at most is being written, on a thread that may wait, and another one begins a second later at the earliest,
//! however many scrapes come.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::{AbortHandle, JoinError};

/// Age, from its beginning, up to which a text is reused.
const LIFETIME: Duration = Duration::from_secs(1);

/// Why there is no text.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TextError {
    /// It could not be written.
    #[error("metrics could not be written")]
    Write(#[from] fmt::Error),
    /// Its task was cancelled, or panicked.
    #[error("the text of the metrics was not finished")]
    Lost(#[source] Arc<JoinError>),
}

type Written = Result<Bytes, TextError>;

struct Latest {
    begun_at: Instant,
    task: AbortHandle,
    text: Shared<BoxFuture<'static, Written>>,
}

/// The text that is being written, or the last one.
#[derive(Default)]
pub(super) struct LatestText {
    latest: Mutex<Option<Latest>>,
}

impl LatestText {
    /// The running text, or one that is young enough; otherwise a new one.
    pub(super) fn get(
        &self,
        write: impl FnOnce() -> Result<String, fmt::Error> + Send + 'static,
    ) -> Shared<BoxFuture<'static, Written>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest
            && (!latest.task.is_finished() || latest.begun_at.elapsed() < LIFETIME)
        {
            return latest.text.clone();
        }
        let begun_at = Instant::now();
        let running = tokio::task::spawn_blocking(write);
        let task = running.abort_handle();
        let written = async {
            let text = running.await.map_err(|error| TextError::Lost(Arc::new(error)))?;
            Ok(Bytes::from(text?))
        };
        let text = written.boxed().shared();
        *latest = Some(Latest { begun_at, task, text: text.clone() });
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn many_scrapes_share_a_text_while_it_is_written_and_for_a_second() {
        let latest = LatestText::default();
        let written = Arc::<AtomicU64>::default();
        let (allow, allowed) = mpsc::channel::<()>();
        let allowed = Arc::new(Mutex::new(allowed));
        let get = || {
            let (written, allowed) = (Arc::clone(&written), Arc::clone(&allowed));
            latest.get(move || {
                let _closed = allowed.lock().unwrap().recv();
                Ok((written.fetch_add(1, Ordering::Relaxed) + 1).to_string())
            })
        };
        let began = Instant::now();
        let scrapes: Vec<_> = (0..50).map(|_| get()).collect();
        tokio::time::sleep(LIFETIME * 2).await;
        let late = get();
        drop(allow);
        for text in join_all(scrapes.into_iter().chain([late])).await {
            assert_eq!(text.unwrap(), "1", "a second text began while the first was not finished");
        }
        // It is too old now.
        assert_eq!(get().await.unwrap(), "2");
        let texts = join_all((0..50).map(|_| get())).await;
        assert!(texts.iter().all(|text| text.is_ok()));
        assert!(written.load(Ordering::Relaxed) <= 1 + began.elapsed().as_secs());
    }

    #[tokio::test]
    async fn a_text_that_is_lost_is_an_error_and_the_next_one_is_not() {
        let latest = LatestText::default();
        let lost = latest.get(|| panic!("as a test asked for")).await.unwrap_err();
        assert!(matches!(lost, TextError::Lost(_)), "{lost}");
        let began = Instant::now();
        while latest.get(|| Ok("text".to_owned())).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the error stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
