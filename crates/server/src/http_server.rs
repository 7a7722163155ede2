//! Connections: accepting them, serving HTTP/1.1 on them, and letting them end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::HttpSettings;
use crate::lingering::Lingering;
use crate::unread_body;

/// Most bytes of a body that are read at once, and so most of what one connection holds. Larger buffers were no faster
/// (1 MiB: 15 % slower) and cost memory; smaller ones made more calls (bench/RESULTS.md).
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// How long to wait before accepting again when the system has no file handle left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who has the other end of the connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub IpAddr);

/// Serves until `stop`, then lets running requests finish for the time that the settings allow.
pub async fn serve<S>(listener: TcpListener, service: S, settings: &HttpSettings, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout.0).max_buf_size(READ_BUFFER_BYTES);
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    while let Some((stream, peer)) = accept(&listener, &stop).await {
        let service = service.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer.ip()));
            unread_body::answer(service.clone(), request).map(Ok::<_, Infallible>)
        });
        let io = TokioIo::new(Lingering::new(stream));
        let connection = graceful.watch(http.serve_connection(io, service));
        let abandoned = abandon.clone();
        connections.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error = %crate::error::chain(&error), "a connection broke");
                },
                () = abandoned.cancelled() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.shutdown_timeout.0, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            requests = connections.len(),
            "requests still running at the end of http.shutdown_timeout_seconds are cut off"
        );
        abandon.cancel();
    }
    connections.close();
    connections.wait().await;
}

/// The next connection; `None` once the server is to stop.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting to fill a segment would only delay them.
                let _ = stream.set_nodelay(true);
                return Some((stream, peer));
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of a connection that broke before it was accepted, not of the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
