//! Reads the rest of a refused request's body after the answer, and drops it.
//!
//! Invariant: it ends. The body makes progress as one that is stored must (`pace.rs`), has at most [`MAX_DRAINED_BYTES`], and is given
//! up when the server stops.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pace::{Pace, PaceLimits};

/// Maximum bytes of a body that are dropped: more than any part has.
const MAX_DRAINED_BYTES: u64 = 1024 * 1024 * 1024;
/// Time for the first byte of a client that sent `Expect: 100-continue`. Most of them send nothing after a refusal, but some proxies
/// pass the header on and send the body without waiting.
const EXPECT_WAIT: Duration = Duration::from_secs(2);

/// The rest of a body that has not arrived.
pub(super) enum Rest {
    /// The service is not done with it.
    Held(Pin<Box<dyn Future<Output = Option<BodyDataStream>> + Send>>),
    Unread(BodyDataStream),
}

/// The bounds of draining on one connection.
#[derive(Debug, Clone)]
pub(super) struct Draining {
    limits: PaceLimits,
    stop: CancellationToken,
    /// Wakes the connection. Hyper, waiting for bytes of a body, does not notice that nobody wants them any more.
    connection: Arc<AtomicWaker>,
}

impl Draining {
    pub(super) fn new(limits: PaceLimits, stop: CancellationToken, connection: Arc<AtomicWaker>) -> Self {
        Self { limits, stop, connection }
    }

    /// Drops the rest of the body.
    pub(super) async fn drain(self, rest: Rest, waits_for_100: bool) {
        let first_wait = if waits_for_100 { EXPECT_WAIT } else { self.limits.stall_timeout };
        let all = async {
            let body = match rest {
                Rest::Held(held) => held.await,
                Rest::Unread(body) => Some(body),
            };
            if let Some(body) = body {
                drop_paced(body, self.limits, first_wait).await;
            }
        };
        tokio::select! {
            () = all => {}
            () = self.stop.cancelled() => {}
        }
        self.connection.wake();
    }
}

/// Drops the body until it ends, breaks, stalls or is too long.
async fn drop_paced(mut body: BodyDataStream, limits: PaceLimits, first_wait: Duration) {
    let (mut pace, mut wait) = (Pace::new(limits), first_wait);
    let mut left_bytes = MAX_DRAINED_BYTES;
    loop {
        let asked_at = Instant::now();
        let Ok(Some(Ok(piece))) = tokio::time::timeout(wait, body.next()).await else { return };
        let bytes = piece.len() as u64;
        if bytes > left_bytes || !pace.keeps(asked_at.elapsed(), bytes) {
            return;
        }
        (left_bytes, wait) = (left_bytes - bytes, limits.stall_timeout);
    }
}

/// The body of an answer, which is followed by something: a task that begins once the answer has been handed over. Not earlier,
/// because asking hyper for a body makes it send a `100 Continue` as long as there is no answer.
pub(super) struct Followed {
    body: Body,
    next: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Followed {
    pub(super) fn new(body: Body, next: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { body, next: Some(Box::pin(next)) }
    }
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let (Some(next), Ok(runtime)) = (self.next.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(next);
        }
    }
}
