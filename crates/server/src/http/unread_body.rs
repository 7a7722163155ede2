//! Keeps or closes a connection whose request was answered before its body was read.
//!
//! A request is often refused by its head alone: no key, no such file, a bad type. Its body is still in flight then, and the
//! connection can carry another request only after that body. The rest of a small body is read and dropped before the answer
//! is sent; for a larger one nothing is awaited, and the answer has `Connection: close`. Invariant: an answer without that
//! header leaves a connection on which the next request works. A client that keeps its connections never finds one closed
//! without notice (RFC 9112, sections 9.3 and 9.6).
//!
//! After an answer with that header the rest is read and dropped to its end, and only then the connection is closed: proxies
//! that send the body on would otherwise find the connection closed and answer 502 or 503 themselves, or reset the client's.
//! Progress is the bound of it, as for bodies that are stored: a stalled or dripping client is not waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tower::{Service, ServiceExt};

use super::draining::{Draining, Followed, Rest};

/// Maximum bytes of a body that are dropped to keep the connection: about the cost of a new connection, and more than the
/// JSON bodies of the API have, except for large metadata.
const MAX_DROPPED_BYTES: u64 = 64 * 1024;
/// Time to wait for them: their time on a line of 1 Mbit/s. The head has arrived, so the body follows soon.
const MAX_DROP_WAIT: Duration = Duration::from_millis(500);

/// Answers a request, and drops the rest of its body or closes the connection: after the rest of the body, with `draining`.
pub(crate) async fn answer<S, B>(service: S, request: Request<B>, draining: Option<Draining>) -> Response
where
    S: Service<Request<Body>, Response = Response, Error = std::convert::Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    // Such a client sends no body before a 100, and none was sent.
    let waits_for_100 = request.headers().contains_key(EXPECT);
    let (given_back, rest) = oneshot::channel();
    let request = request.map(|body| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(Watched { body: Some(body), given_back: Some(given_back) }),
    });
    let Ok(mut response) = service.oneshot(request).await;
    let Some(rest) = rest_in_the_way(rest, waits_for_100).await else { return response };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    match draining {
        // Such a body has stalled already.
        Some(draining) if response.status() != StatusCode::REQUEST_TIMEOUT => {
            response.map(|body| Body::new(Followed::new(body, draining.drain(rest, waits_for_100))))
        }
        _ => response,
    }
}

/// The rest of the body, if another request would have to wait for it.
async fn rest_in_the_way<B>(mut rest: oneshot::Receiver<B>, waits_for_100: bool) -> Option<Rest>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    match rest.try_recv() {
        Err(oneshot::error::TryRecvError::Closed) => None,
        Err(oneshot::error::TryRecvError::Empty) => Some(Rest::Held(Box::pin(async {
            let body = rest.await.ok()?;
            Some(Body::new(body).into_data_stream())
        }))),
        Ok(body) => {
            let is_too_large = waits_for_100 || body.size_hint().lower() > MAX_DROPPED_BYTES;
            let mut body = Body::new(body).into_data_stream();
            if !is_too_large && tokio::time::timeout(MAX_DROP_WAIT, drop_all(&mut body)).await.unwrap_or(false) {
                return None;
            }
            Some(Rest::Unread(body))
        }
    }
}

/// Whether the body came to its end.
async fn drop_all(body: &mut BodyDataStream) -> bool {
    let mut left_bytes = MAX_DROPPED_BYTES;
    while let Some(chunk) = body.next().await {
        let length = chunk.map_or(u64::MAX, |bytes| bytes.len() as u64);
        match left_bytes.checked_sub(length) {
            Some(left) => left_bytes = left,
            None => return false,
        }
    }
    true
}

/// A body that is handed back if it is dropped before its end.
struct Watched<B: HttpBody> {
    /// `None` once it has ended or broken.
    body: Option<B>,
    given_back: Option<oneshot::Sender<B>>,
}

impl<B: HttpBody + Unpin> HttpBody for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            this.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B: HttpBody> Drop for Watched<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(given_back)) = (self.body.take(), self.given_back.take())
            && !body.is_end_stream()
        {
            let _ = given_back.send(body);
        }
    }
}
