//! A form with a file (RFC 7578), read as it comes: fields are kept, the file is a stream.
//!
//! Invariant: no more than the fields (each within its limit, each kept once, and of tags no more than a file may have) and one
//! piece of the body is in memory. The library that takes the form apart would gather whatever comes until it understands it, so the body is
//! given to it piece by piece, and not without end where no file is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use multer::Multipart;
use partway_api::ErrorCode;
use partway_api::limits::{MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS, MAX_TAG_CHARS};
use serde_json::{Map, Value};
use tokio::time::{Instant, Sleep};

use crate::error::ApiError;
use crate::input::{InvalidInput, JsonBody, Tags, TtlLimit, UploadFields, quote_for_message};
use crate::pace::{Pace, PaceLimits};
use crate::service::upload::UploadError;

/// Name of the field that has the file.
const FILE: &str = "file";
/// Name of the fields that have one tag each, and bytes of one of them: those of the longest tag, and as many around it.
const TAG: &str = "tags[]";
const MAX_TAG_FIELD_BYTES: usize = 2 * 4 * MAX_TAG_CHARS;
/// Much of a field's name that is worth showing.
const MAX_SHOWN_CHARS: usize = 80;
/// What may come between two fields, and before the first: boundary and headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A form on its way.
pub(super) struct Form {
    parts: Multipart<'static>,
    allowance: Allowance,
    fields: Map<String, Value>,
    count: usize,
    has_file: bool,
}

impl Form {
    /// Opens the form of a request whose body must keep its pace, and have come within `longest` from now on.
    ///
    /// # Errors
    /// When it is no form.
    pub(super) fn open(request: Request, pace: PaceLimits, longest: TtlLimit) -> Result<Self, ApiError> {
        let given = request.headers().get(CONTENT_TYPE);
        let given = given.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let is_form = given.as_deref().and_then(|text| text.parse::<mime::Mime>().ok());
        let is_form = is_form.is_some_and(|mime| mime.essence_str() == mime::MULTIPART_FORM_DATA.essence_str());
        let was = given.as_ref().map_or_else(|| "missing".to_owned(), quote_for_message);
        let refuse = |code, allowed: &str| ApiError::new(code, format!("`Content-Type` is {was}; allowed: {allowed}"));
        if !is_form {
            return Err(refuse(ErrorCode::UnsupportedMediaType, "multipart/form-data"));
        }
        // RFC 2046, section 5.1.1
        let boundary = multer::parse_boundary(given.as_deref().unwrap_or_default()).ok();
        let boundary = boundary.filter(|boundary| (1..=70).contains(&boundary.len())).ok_or_else(|| {
            refuse(ErrorCode::InvalidParameter, "multipart/form-data with a `boundary` of 1 to 70 characters")
        })?;
        let allowance = Allowance(Arc::new(AtomicUsize::new(MAX_HEAD_BYTES)));
        let body = Pieces {
            body: request.into_body().into_data_stream(),
            gave: false,
            allowance: allowance.clone(),
            pace: Pace::new(pace),
            waits_since: None,
            stalled: Box::pin(tokio::time::sleep(pace.stall_timeout)),
            longest,
            over: Box::pin(tokio::time::sleep(Duration::from_secs(longest.seconds))),
        };
        Ok(Self { parts: Multipart::new(body, boundary), allowance, fields: Map::new(), count: 0, has_file: false })
    }

    /// Reads fields until the file; `None` at the end of the form. A form has one file.
    ///
    /// # Errors
    /// When the form is not as it must be.
    pub(super) async fn next_file(&mut self) -> Result<Option<FileField>, UploadError> {
        loop {
            self.allowance.set(MAX_HEAD_BYTES);
            let Some(field) = self.parts.next_field().await.map_err(broken)? else { return Ok(None) };
            self.count += 1;
            if self.count > MAX_FORM_FIELDS {
                let was = format!("one of more than {MAX_FORM_FIELDS} fields");
                return Err(refused(ErrorCode::InvalidParameter, "form", was, format!("{MAX_FORM_FIELDS} fields")));
            }
            let name = field.name().unwrap_or_default().to_owned();
            if name == FILE {
                if self.has_file {
                    return Err(refused(ErrorCode::InvalidParameter, FILE, "there twice".into(), "one file".into()));
                }
                self.has_file = true;
                self.allowance.set(usize::MAX);
                return Ok(Some(FileField { field }));
            }
            let value = self.read_text(&name, field).await?;
            self.keep(&name, value)?;
        }
    }

    async fn read_text(&self, name: &str, mut field: multer::Field<'static>) -> Result<String, UploadError> {
        self.allowance.set(MAX_FORM_FIELD_BYTES + MAX_HEAD_BYTES);
        let max_bytes = if name == TAG { MAX_TAG_FIELD_BYTES } else { MAX_FORM_FIELD_BYTES };
        let mut text = Vec::new();
        while let Some(bytes) = field.chunk().await.map_err(|error| of_field(name, error))? {
            if text.len() + bytes.len() > max_bytes {
                return Err(too_large(name));
            }
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).map_err(|_| {
            let allowed = "UTF-8".to_owned();
            refused(ErrorCode::InvalidParameter, name, "not UTF-8".to_owned(), allowed)
        })
    }

    /// Keeps what the API knows. An empty field counts as not given. Tags come as repeated `tags[]`, too, each of which is
    /// looked at when it comes.
    fn keep(&mut self, name: &str, value: String) -> Result<(), InvalidInput> {
        if value.is_empty() {
            return Ok(());
        }
        if name == TAG {
            let known = match self.fields.remove("tags") {
                Some(Value::Array(tags)) => tags,
                one => one.into_iter().collect(),
            };
            let given = known.iter().filter_map(Value::as_str).chain([value.as_str()]);
            let tags = Tags::of(given, TAG)?.into_inner();
            self.fields.insert("tags".to_owned(), tags.into());
        } else if UploadFields::NAMES.contains(&name) {
            self.fields.insert(name.to_owned(), value.into());
        }
        Ok(())
    }

    /// Whether the field has come, with something in it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// What the fields say that have come.
    ///
    /// # Errors
    /// The code of the field.
    pub(super) fn fields(&self) -> Result<UploadFields, InvalidInput> {
        UploadFields::read(&JsonBody::of(self.fields.clone()))
    }
}

/// The file of a form.
pub(super) struct FileField {
    field: multer::Field<'static>,
}

impl FileField {
    /// What the sender's own system calls it.
    pub(super) fn own_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// The type that the sender names.
    pub(super) fn content_type(&self) -> Option<String> {
        self.field.headers().get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
    }

    /// Its bytes.
    pub(super) fn bytes(self) -> impl Stream<Item = Result<Bytes, UploadError>> + Send {
        self.field.map(|bytes| bytes.map_err(broken))
    }
}

/// How many bytes may still come before something must be understood.
#[derive(Clone)]
struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether these bytes may come.
    fn take(&self, bytes: usize) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.set(left.saturating_sub(bytes));
        left == usize::MAX && {
            self.set(usize::MAX);
            true
        } || left > 0
    }
}

/// The body, one piece for each time that somebody asks.
struct Pieces {
    body: BodyDataStream,
    gave: bool,
    allowance: Allowance,
    pace: Pace,
    /// Since when the client is waited for, unless it is this side that has bytes to work on.
    waits_since: Option<Instant>,
    stalled: Pin<Box<Sleep>>,
    /// How long all of it may take, and when that is over.
    longest: TtlLimit,
    over: Pin<Box<Sleep>>,
}

impl Stream for Pieces {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.gave) {
            // Who asks again at once has not yet looked at what came.
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

fn refused(code: ErrorCode, field: &str, was: String, allowed: String) -> UploadError {
    InvalidInput::new(code, field, was, allowed).into()
}

fn too_large(field: &str) -> UploadError {
    if field == TAG {
        let was = format!("larger than {MAX_TAG_FIELD_BYTES} bytes");
        return refused(ErrorCode::InvalidTags, TAG, was, format!("tags of at most {MAX_TAG_CHARS} characters"));
    }
    let was = format!("larger than {MAX_FORM_FIELD_BYTES} bytes");
    let field: String = field.chars().take(MAX_SHOWN_CHARS).collect();
    refused(ErrorCode::PayloadTooLarge, &field, was, format!("at most {MAX_FORM_FIELD_BYTES} bytes"))
}

/// More came than may come before something is understood.
#[derive(Debug, thiserror::Error)]
#[error("nothing that can be understood came in {MAX_HEAD_BYTES} bytes")]
struct TooMuch;

fn head_too_large() -> UploadError {
    let was = format!("without a boundary, or the end of a field's headers, in {MAX_HEAD_BYTES} bytes");
    refused(ErrorCode::InvalidParameter, "form", was, "multipart/form-data (RFC 7578)".to_owned())
}

/// The same, in the middle of a field: it is so large that nothing behind it was found.
fn of_field(name: &str, error: multer::Error) -> UploadError {
    match &error {
        multer::Error::StreamReadFailed(inner) if inner.is::<TooMuch>() => too_large(name),
        _ => broken(error),
    }
}

/// What was wrong with the form, or with its body.
fn broken(error: multer::Error) -> UploadError {
    match error {
        multer::Error::StreamReadFailed(inner) if inner.is::<TooMuch>() => head_too_large(),
        multer::Error::StreamReadFailed(inner) => match inner.downcast::<UploadError>() {
            Ok(error) => *error,
            Err(error) => UploadError::BodyBroken(error.to_string()),
        },
        multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteFieldData { .. } => {
            let was = "cut off before its last boundary".to_owned();
            refused(ErrorCode::InvalidParameter, "form", was, "a whole form".to_owned())
        }
        other => {
            let allowed = "multipart/form-data (RFC 7578)".to_owned();
            refused(ErrorCode::InvalidParameter, "form", quote_for_message(other.to_string()), allowed)
        }
    }
}
