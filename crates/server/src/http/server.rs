//! Accepts connections, serves HTTP/1.1 on them, and ends them.
//!
//! Invariant: no client holds a connection for ever. A connection whose client sends no head or no body, or takes no answer,
//! ends after a timeout (`header_timeout`, the routes' own bounds, `paced_stream.rs`), and `connections.rs` bounds their number.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::connections::Connections;
use super::draining::Draining;
use super::lingering::Lingering;
use super::own_answers::{Answered, Answers, OwnAnswers};
use super::paced_stream::{MAX_UNSENT_BYTES, PacedStream};
use super::sockets;
use super::unread_body;
use crate::config::HttpSettings;
use crate::metrics::HttpMetrics;
use crate::pace::PaceLimits;

/// Maximum bytes of a body that are read at once, which is most of the memory of a connection. Larger buffers were no faster
/// (1 MiB: 15 % slower) and cost memory; smaller ones made more calls (bench/RESULTS.md).
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Pause before the next accept when the system has no free file descriptor.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Maximum connections over the bound that are answered at the same time. Further ones are closed without an answer.
const MAX_CONCURRENT_REFUSALS: usize = 64;
/// Time in which such a connection is answered or closed.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Peer address of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddress(pub IpAddr);

/// Length of the queue of connections to be accepted: the system's own maximum (`net.core.somaxconn`). The client of a connection
/// that the queue drops tries again after a second, so a burst of thousands must not fill it.
const BACKLOG: u32 = i32::MAX as u32;

/// Listens, for [`run`](crate::run).
///
/// # Errors
/// When the address cannot be bound.
///
/// # Panics
/// Outside of a runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that restarts at once gets its port again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`, then waits for running requests for the time that the settings allow. `overloaded` answers connections
/// over the bound.
pub(crate) async fn serve<S, O>(
    listener: TcpListener,
    service: S,
    overloaded: O,
    settings: &HttpSettings,
    metrics: &Arc<HttpMetrics>,
    stop: CancellationToken,
) where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
    O: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    // Accepted connections inherit the options, which saves calls for each.
    if let Err(error) = sockets::set_up(&listener, MAX_UNSENT_BYTES) {
        tracing::warn!(%error, "cannot set socket options; connections are slower or take more memory of the system");
    }
    let http = http_builder(settings);
    let pace = PaceLimits::new(settings);
    let admission = Connections::new(settings, Arc::clone(metrics));
    let refusals = Arc::new(Semaphore::new(MAX_CONCURRENT_REFUSALS));
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    while let Some((stream, peer)) = accept(&listener, &stop).await {
        let stream = PacedStream::new(stream, pace, Arc::clone(metrics));
        let room = stream.room();
        let answers = Arc::<Answers>::default();
        let io = TokioIo::new(OwnAnswers::new(Lingering::new(stream), Arc::clone(&answers)));
        let Ok(permit) = admission.admit(peer.ip()) else {
            spawn_refusal(&refusals, refuse(io, answers, overloaded.clone()));
            continue;
        };
        let (service, crowd) = (service.clone(), Arc::clone(&admission));
        let waker = Arc::<AtomicWaker>::default();
        let draining = Draining::new(pace, stop.clone(), Arc::clone(&waker));
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer.ip()));
            request.extensions_mut().insert(room.clone());
            let (crowd, guard) = (Arc::clone(&crowd), answers.begin());
            // Boxed, its memory is released before the answer is sent, which may take long.
            let draining = (!crowd.is_crowded()).then(|| draining.clone());
            Box::pin(unread_body::answer(service.clone(), request, draining)).map(move |mut response| {
                if crowd.is_crowded() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Answered::new(body, guard)))
            })
        });
        let connection = graceful.watch(http.serve_connection(io, service));
        let abandoned = abandon.clone();
        connections.spawn(async move {
            tokio::select! {
                () = run_connection(connection, waker) => {}
                () = abandoned.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.shutdown_timeout_seconds, graceful.shutdown()).await.is_err() {
        let requests = connections.len();
        tracing::warn!(requests, "requests still running after http.shutdown_timeout_seconds are cut off");
        abandon.cancel();
    }
    connections.close();
    connections.wait().await;
}

/// Runs a connection to its end, also when `waker` wakes it.
async fn run_connection(connection: impl Future<Output = hyper::Result<()>>, waker: Arc<AtomicWaker>) {
    let mut connection = pin!(connection);
    let ended = poll_fn(|cx| {
        waker.register(cx.waker());
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(error = %crate::error_chain::error_chain(&error), "a connection broke");
    }
}

fn http_builder(settings: &HttpSettings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout_seconds).max_buf_size(READ_BUFFER_BYTES);
    http
}

/// Runs a refusal in the background unless too many are running.
fn spawn_refusal(refusals: &Arc<Semaphore>, refusal: impl Future<Output = ()> + Send + 'static) {
    if let Ok(permit) = Arc::clone(refusals).try_acquire_owned() {
        tokio::spawn(async move {
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refusal).await;
            drop(permit);
        });
    }
}

/// Answers one request of a connection over the bound, and closes it.
async fn refuse<S>(io: TokioIo<OwnAnswers<Lingering>>, answers: Arc<Answers>, overloaded: S)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let guard = answers.begin();
        unread_body::answer(overloaded.clone(), request, None)
            .map(|response| Ok::<_, Infallible>(response.map(|body| Answered::new(body, guard))))
    });
    let _ = http1::Builder::new().keep_alive(false).serve_connection(io, service).await;
}

/// The next connection; `None` after `stop`.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

/// Whether a connection broke before it was accepted. Other errors are of the listener.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
