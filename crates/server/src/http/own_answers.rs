//! Answers that hyper itself sends: 400, 414 and 431 to heads that it cannot parse. No code of Partway sees these requests.
//!
//! Invariant: they carry `Cache-Control: no-store`, as every error does. A cache in front of the server that accepts a head which
//! hyper refuses (with more than a hundred headers, or a control character in one) would otherwise keep the refusal, as nginx
//! does with `proxy_cache_valid any`, and answer it to every request for that URL.
//!
//! Bytes written while no request is being answered are hyper's own. An answer has ended once its body is dropped and its bytes
//! are flushed: hyper flushes its own buffer before the stream. A malformed head in the same packet as a good request may be
//! answered in one write together with it, and is then left unchanged: no proxy sends one, because proxies wait for answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const NO_STORE: &[u8] = b"cache-control: no-store\r\n";

/// Answers of one connection, as they begin and end.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Answers {
    /// A request has arrived: bytes written until the guard is dropped belong to its answer.
    pub(crate) fn begin(self: &Arc<Self>) -> AnswerGuard {
        self.begun.fetch_add(1, Ordering::SeqCst);
        AnswerGuard(Arc::clone(self))
    }

    /// The number of answers so far, if all of them have ended.
    fn all_ended(&self) -> Option<usize> {
        let begun = self.begun.load(Ordering::SeqCst);
        (begun == self.ended.load(Ordering::SeqCst)).then_some(begun)
    }
}

/// An answer that has not ended.
#[derive(Debug)]
pub(crate) struct AnswerGuard(Arc<Answers>);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// The body of an answer.
pub(crate) struct Answered<B> {
    body: B,
    _guard: AnswerGuard,
}

impl<B> Answered<B> {
    pub(crate) fn new(body: B, guard: AnswerGuard) -> Self {
        Self { body, _guard: guard }
    }
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection, as hyper writes to it.
pub(crate) struct OwnAnswers<S> {
    stream: S,
    answers: Arc<Answers>,
    /// The number of answers when the last one ended; `None` while one is being written.
    over: Option<usize>,
    /// The unwritten rest of one of hyper's own answers.
    pending: Bytes,
}

impl<S: AsyncWrite + Unpin> OwnAnswers<S> {
    pub(crate) fn new(stream: S, answers: Arc<Answers>) -> Self {
        Self { stream, answers, over: Some(0), pending: Bytes::new() }
    }

    /// Whether the next bytes belong to no answer of the service.
    fn is_hypers_own(&self) -> bool {
        self.over.is_some() && self.over == self.answers.all_ended()
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pending.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes one of hyper's own answers. The rest is written when the stream is flushed.
    fn take(&mut self, cx: &mut Context<'_>, answer: &[u8]) -> Poll<io::Result<usize>> {
        self.over = None;
        self.pending = with_no_store(answer).into();
        match self.poll_pending(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(answer.len())),
        }
    }
}

/// The answer with the header after its first line.
fn with_no_store(answer: &[u8]) -> Vec<u8> {
    let headers = answer.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    [&answer[..headers], if headers == 0 { &[] } else { NO_STORE }, &answer[headers..]].concat()
}

impl<S: AsyncRead + Unpin> AsyncRead for OwnAnswers<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OwnAnswers<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        if this.is_hypers_own() {
            return this.take(cx, bytes);
        }
        this.over = None;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        if this.is_hypers_own() {
            // Its head is in one piece, and it has no body.
            let head = slices.iter().find(|slice| !slice.is_empty());
            return head.map_or(Poll::Ready(Ok(0)), |head| this.take(cx, head));
        }
        this.over = None;
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        this.over = this.answers.all_ended();
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const OWN: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn an_answer_of_hypers_own_gets_the_header_and_no_byte_of_the_service_changes() {
        // The buffer is smaller than any line: everything is written in pieces.
        let (mut client, server) = duplex(7);
        let answers = Arc::<Answers>::default();
        let mut connection = OwnAnswers::new(server, Arc::clone(&answers));
        let writing = tokio::spawn(async move {
            for body in [OWN, b""] {
                let guard = answers.begin();
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                drop(guard);
                // Dropped and not flushed: bytes of the body may follow, and may look like any answer.
                connection.write_all(body).await.unwrap();
                connection.flush().await.unwrap();
            }
            // A request whose answer has no body is over before it is written.
            drop(answers.begin());
            connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            connection.flush().await.unwrap();
            connection.write_all(OWN).await.unwrap();
            connection.shutdown().await.unwrap();
        });
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        writing.await.unwrap();
        let own =
            "HTTP/1.1 431 Request Header Fields Too Large\r\ncache-control: no-store\r\nconnection: close\r\n\r\n";
        let ok = "HTTP/1.1 200 OK\r\n\r\n";
        let expected = [ok, str::from_utf8(OWN).unwrap(), ok, "HTTP/1.1 204 No Content\r\n\r\n", own].concat();
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }
}
