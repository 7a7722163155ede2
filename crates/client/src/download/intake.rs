//! Buffers bytes between a connection and their sink, in order.
//!
//! Invariant: at most [`BUFFER_BYTES`] and one chunk of the connection are in memory, and sinks run off the async threads.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use blake3::Hasher;
use partway_hash::PartHasher;

use super::part_file::PartFile;
use super::ranges::Ranges;
use crate::Error;
use crate::blocking::blocking;

/// Bytes gathered for one write.
const BUFFER_BYTES: usize = 256 * 1024;

/// Takes bytes in order. Blocks.
pub(crate) trait Sink: Send + 'static {
    /// Takes all of the next bytes. After an error it is not called again.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// A buffer in front of a sink.
#[derive(Debug)]
pub(crate) struct Intake<S> {
    /// `None` while it runs, and after it panicked.
    sink: Option<S>,
    buffer: Vec<u8>,
    /// Offset of the first byte in the buffer.
    begin: u64,
}

impl<S: Sink> Intake<S> {
    /// An intake whose first byte is at offset `begin`.
    pub(crate) fn new(sink: S, begin: u64) -> Self {
        Self { sink: Some(sink), buffer: Vec::with_capacity(2 * BUFFER_BYTES), begin }
    }

    /// Offset of the next byte to come.
    pub(crate) fn next(&self) -> u64 {
        self.begin + self.buffer.len() as u64
    }

    /// Takes bytes. Returns the number of bytes that were passed to the sink.
    pub(crate) async fn take(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < BUFFER_BYTES { Ok(0) } else { self.flush().await }
    }

    /// Passes the buffer to the sink. Returns the number of bytes.
    pub(crate) async fn flush(&mut self) -> Result<u64, Error> {
        let Some(mut sink) = self.sink.take() else {
            return Err(Error::Connection("writing stopped".to_owned()));
        };
        let buffer = std::mem::take(&mut self.buffer);
        let (sink, mut buffer, outcome) = blocking(move || {
            let outcome = sink.take(&buffer);
            Ok((sink, buffer, outcome))
        })
        .await?;
        self.sink = Some(sink);
        outcome?;
        let bytes = buffer.len() as u64;
        self.begin += bytes;
        buffer.clear();
        self.buffer = buffer;
        Ok(bytes)
    }

    /// The sink, once all is flushed.
    pub(crate) fn into_sink(self) -> Option<S> {
        self.sink
    }
}

/// A place in a part file.
#[derive(Debug)]
pub(crate) struct PartSink {
    part: Arc<PartFile>,
    at: u64,
    received: Arc<Mutex<Ranges>>,
    hasher: Option<PartHasher>,
}

impl PartSink {
    /// A sink that writes from offset `begin` on and adds the written bytes to `received`.
    pub(crate) fn new(
        part: Arc<PartFile>,
        begin: u64,
        received: Arc<Mutex<Ranges>>,
        hasher: Option<PartHasher>,
    ) -> Self {
        Self { part, at: begin, received, hasher }
    }

    /// The subtree of the written bytes, if a hash is wanted.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        self.hasher.map(PartHasher::finish)
    }
}

impl Sink for PartSink {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.part.write(bytes, self.at)?;
        let end = self.at + bytes.len() as u64;
        self.received.lock().unwrap_or_else(PoisonError::into_inner).add(self.at..end);
        self.at = end;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }
}

/// A writer that gets the file from its beginning to its end.
#[derive(Debug)]
pub(crate) struct WriterSink<W> {
    writer: W,
    hasher: Hasher,
}

impl<W: Write> WriterSink<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer, hasher: Hasher::new() }
    }

    /// Flushes the writer and returns the hash of all bytes.
    pub(crate) fn finish(mut self) -> Result<blake3::Hash, Error> {
        self.writer.flush().map_err(Error::Output)?;
        Ok(self.hasher.finalize())
    }
}

impl<W: Write + Send + 'static> Sink for WriterSink<W> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).map_err(Error::Output)?;
        self.hasher.update(bytes);
        Ok(())
    }
}
