//! The body of a form, given to the parser one piece at a time, within an allowance, and at a minimum pace.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep};

use super::MAX_HEAD_BYTES;
use crate::input::TtlLimit;
use crate::pace::{Pace, PaceLimits};
use crate::service::upload::UploadError;

/// An allowance without bound.
const UNLIMITED: usize = usize::MAX;

/// How many bytes may still arrive before the parser must have understood something. Clones share it.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(super) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Allows any number of bytes, until it is set again.
    pub(super) fn lift(&self) {
        self.set(UNLIMITED);
    }

    /// Takes these bytes from the allowance. False when it was used up before; the piece that uses it up is let through.
    fn take(&self, bytes: usize) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left != UNLIMITED {
            self.set(left.saturating_sub(bytes));
        }
        left > 0
    }
}

/// More arrived than the allowance.
#[derive(Debug, thiserror::Error)]
#[error("nothing that can be understood came in {MAX_HEAD_BYTES} bytes")]
pub(super) struct TooMuch;

/// The body, one piece for each time that the parser asks.
pub(super) struct Pieces {
    body: BodyDataStream,
    /// Whether the last poll yielded a piece.
    gave: bool,
    allowance: Allowance,
    pace: Pace,
    /// Since when the client is waited for; `None` while this side has bytes to work on.
    waits_since: Option<Instant>,
    stalled: Pin<Box<Sleep>>,
    /// How long all of it may take.
    longest: TtlLimit,
    /// Ends with that time.
    over: Pin<Box<Sleep>>,
}

impl Pieces {
    pub(super) fn new(body: BodyDataStream, allowance: Allowance, pace: PaceLimits, longest: TtlLimit) -> Self {
        Self {
            body,
            gave: false,
            allowance,
            pace: Pace::new(pace),
            waits_since: None,
            stalled: Box::pin(tokio::time::sleep(pace.stall_timeout)),
            longest,
            over: Box::pin(tokio::time::sleep(Duration::from_secs(longest.seconds))),
        }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.gave) {
            // The parser asks again at once only because it has not yet looked at the piece it got.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(UploadError::TookTooLong(self.longest).into())));
        }
        let limits = self.pace.limits();
        match self.body.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                if !self.allowance.take(bytes.len()) {
                    return Poll::Ready(Some(Err(TooMuch.into())));
                }
                self.gave = true;
                let waited = self.waits_since.take().map(|since| since.elapsed()).unwrap_or_default();
                if !self.pace.keeps(waited, bytes.len() as u64) {
                    return Poll::Ready(Some(Err(UploadError::too_slow(limits).into())));
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(UploadError::BodyBroken(error.to_string()).into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                if self.waits_since.is_none() {
                    let now = Instant::now();
                    self.waits_since = Some(now);
                    self.stalled.as_mut().reset(now + limits.stall_timeout);
                }
                match self.stalled.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(UploadError::Stalled(limits.stall_timeout).into()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}
