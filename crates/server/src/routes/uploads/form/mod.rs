//! A form with a file (RFC 7578), read as it arrives: fields are kept, the file is a stream.
//!
//! Invariant: no more than the fields (each within its limit, each kept once, and no more tags than a file may have) and one piece of
//! the body are in memory. The parser would buffer everything until it understands it, so the body is given to it piece by piece, and
//! outside of the file only within an allowance.

mod errors;
mod pieces;

use axum::extract::Request;
use bytes::Bytes;
use data_url::mime::Mime;
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use multer::Multipart;
use partway_api::ErrorCode;
use partway_api::limits::{MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS, MAX_TAG_CHARS};
use serde_json::{Map, Value};

use crate::http::content_length;
use crate::input::{FileName, InvalidInput, JsonBody, Tags, TtlLimit, UploadFields, quote_for_message};
use crate::pace::PaceLimits;
use crate::service::upload::UploadError;
use crate::service::upload::direct::{DirectFile, DirectSource, UploadOrigin};
use errors::{broken, of_field, refused, too_large};
use pieces::{Allowance, Pieces};

/// Name of the field that has the file.
const FILE: &str = "file";
/// Name of the field of tags, which may be repeated.
const TAGS: &str = "tags";
/// Upper bound of one of them: the bytes of the longest tag, and as many around it.
const MAX_TAG_FIELD_BYTES: usize = 2 * 4 * MAX_TAG_CHARS;
/// Upper bound of the bytes between two fields, and before the first: boundary and headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Upper bound of the bytes of a form around its file.
const MAX_AROUND_BYTES: u64 = (MAX_FORM_FIELDS * 2 * MAX_FORM_FIELD_BYTES) as u64;

/// Whether fields of this name have one tag each: `tags[]`, `tags[0]`, as libraries write lists.
fn is_tag(name: &str) -> bool {
    let index = name.strip_prefix(TAGS).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
    index.is_some_and(|index| index.len() <= 4 && index.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lower bound of the file in a form, judged by the length of the request's body.
pub(super) fn at_least_bytes(request: &Request) -> Option<u64> {
    content_length(request.headers()).map(|length| length.saturating_sub(MAX_AROUND_BYTES))
}

/// A form that is arriving.
pub(super) struct Form {
    parts: Multipart<'static>,
    allowance: Allowance,
    fields: Map<String, Value>,
    count: usize,
    has_file: bool,
    /// Bytes of the whole body, if the request names them.
    length: Option<u64>,
}

impl Form {
    /// Opens the form of a request whose body must keep its pace, and must have arrived within `longest` from now on.
    ///
    /// # Errors
    /// When it is no form.
    pub(super) fn open(request: Request, pace: PaceLimits, longest: TtlLimit) -> Result<Self, InvalidInput> {
        let given = request.headers().get(CONTENT_TYPE);
        let given = given.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let is_form = given.as_deref().and_then(|text| text.parse::<Mime>().ok());
        let is_form = is_form.is_some_and(|mime| mime.type_ == "multipart" && mime.subtype == "form-data");
        let was = given.as_ref().map_or_else(|| "missing".to_owned(), quote_for_message);
        let refuse = |code, allowed: &str| InvalidInput {
            code,
            message: format!("`Content-Type` is {was}; allowed: {allowed}"),
        };
        if !is_form {
            return Err(refuse(ErrorCode::UnsupportedMediaType, "multipart/form-data"));
        }
        // RFC 2046, section 5.1.1
        let boundary = multer::parse_boundary(given.as_deref().unwrap_or_default()).ok();
        let boundary = boundary.filter(|boundary| (1..=70).contains(&boundary.len())).ok_or_else(|| {
            refuse(ErrorCode::InvalidParameter, "multipart/form-data with a `boundary` of 1 to 70 characters")
        })?;
        let (allowance, length) = (Allowance::new(MAX_HEAD_BYTES), content_length(request.headers()));
        let body = Pieces::new(request.into_body().into_data_stream(), allowance.clone(), pace, longest);
        let parts = Multipart::new(body, boundary);
        Ok(Self { parts, allowance, fields: Map::new(), count: 0, has_file: false, length })
    }

    /// Reads fields until the file; `None` at the end of the form.
    ///
    /// # Errors
    /// When the form breaks a rule, among them that it has one file.
    async fn find_file(&mut self) -> Result<Option<FileField>, UploadError> {
        loop {
            self.allowance.set(MAX_HEAD_BYTES);
            let Some(field) = self.parts.next_field().await.map_err(broken)? else { return Ok(None) };
            self.count += 1;
            if self.count > MAX_FORM_FIELDS {
                let was = format!("of more than {MAX_FORM_FIELDS} fields");
                return Err(refused(ErrorCode::InvalidParameter, "form", was, format!("at most {MAX_FORM_FIELDS}")));
            }
            let name = field.name().unwrap_or_default().to_owned();
            if name == FILE {
                if self.has_file {
                    return Err(refused(ErrorCode::InvalidParameter, FILE, "given twice".into(), "one file".into()));
                }
                self.has_file = true;
                self.allowance.lift();
                return Ok(Some(FileField { field }));
            }
            let value = self.read_text(&name, field).await?;
            self.keep(&name, value)?;
        }
    }

    async fn read_text(&self, name: &str, mut field: multer::Field<'static>) -> Result<String, UploadError> {
        self.allowance.set(MAX_FORM_FIELD_BYTES + MAX_HEAD_BYTES);
        let max_bytes = if is_tag(name) { MAX_TAG_FIELD_BYTES } else { MAX_FORM_FIELD_BYTES };
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

    /// Keeps the fields that the API knows. An empty field counts as not given. `tags`, `tags[]` and `tags[0]` may be repeated: all of
    /// them are taken, and each is checked when it arrives.
    fn keep(&mut self, name: &str, value: String) -> Result<(), InvalidInput> {
        if value.is_empty() {
            return Ok(());
        }
        if name == TAGS || is_tag(name) {
            let more = if name == TAGS { Tags::split(&value) } else { vec![value] };
            let known = self.fields.get(TAGS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let tags = Tags::of(known.chain(more.iter().map(String::as_str)), name)?.into_inner();
            self.fields.insert(TAGS.to_owned(), tags.into());
        } else if UploadFields::NAMES.contains(&name) {
            self.fields.insert(name.to_owned(), value.into());
        }
        Ok(())
    }

    /// The fields that have arrived.
    ///
    /// # Errors
    /// The code of the field.
    fn fields(&self) -> Result<UploadFields, InvalidInput> {
        UploadFields::read(&JsonBody::of(self.fields.clone()))
    }
}

impl DirectSource for Form {
    const ORIGIN: UploadOrigin = UploadOrigin::Api;

    async fn next_file(&mut self) -> Result<DirectFile, UploadError> {
        let file = self
            .find_file()
            .await?
            .ok_or_else(|| InvalidInput::new(ErrorCode::FileRequired, "file", "missing", "one file"))?;
        Ok(DirectFile {
            fields: self.fields()?,
            // Without a folder so far, a field after the file may still name one.
            path_is_final: self.fields.contains_key("folder"),
            default_name: None,
            own_name: file.own_name().and_then(FileName::nearest),
            content_type: file.content_type(),
            at_least_bytes: self.length.map(|length| length.saturating_sub(MAX_AROUND_BYTES)),
            about_bytes: self.length,
            body: file.bytes().boxed(),
        })
    }

    async fn finish_fields(&mut self) -> Result<UploadFields, UploadError> {
        // Refuses a second file.
        self.find_file().await?;
        Ok(self.fields()?)
    }
}

/// The file of a form.
struct FileField {
    field: multer::Field<'static>,
}

impl FileField {
    /// The name that the sender's own system gives it.
    fn own_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// The media type that the sender declares.
    fn content_type(&self) -> Option<String> {
        self.field.headers().get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
    }

    /// Its bytes.
    fn bytes(self) -> impl Stream<Item = Result<Bytes, UploadError>> + Send {
        self.field.map(|bytes| bytes.map_err(broken))
    }
}

/// Reads a form to its end, with the bytes of its file.
#[cfg(feature = "fuzzing")]
pub(crate) async fn read_whole(request: Request) -> Option<(UploadFields, Option<Vec<u8>>)> {
    use futures_util::TryStreamExt;

    let minute = std::time::Duration::from_secs(60);
    let pace = PaceLimits { stall_timeout: minute, least_bytes: 0, window: minute };
    let mut form = Form::open(request, pace, TtlLimit { seconds: 60, whose: "" }).ok()?;
    let mut bytes = None;
    while let Some(file) = form.find_file().await.ok()? {
        let pieces: Vec<Bytes> = file.bytes().try_collect().await.ok()?;
        bytes = Some(pieces.concat());
    }
    Some((form.fields().ok()?, bytes))
}
