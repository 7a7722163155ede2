//! Errors of forms: which field broke which rule.

use partway_api::ErrorCode;
use partway_api::limits::{MAX_FORM_FIELD_BYTES, MAX_TAG_CHARS};

use super::pieces::TooMuch;
use super::{MAX_HEAD_BYTES, MAX_TAG_FIELD_BYTES, is_tag};
use crate::input::{InvalidInput, quote_for_message};
use crate::service::upload::UploadError;

/// Characters of a field's name that are shown.
const MAX_SHOWN_CHARS: usize = 80;

pub(super) fn refused(code: ErrorCode, field: &str, was: String, allowed: String) -> UploadError {
    InvalidInput::new(code, field, was, allowed).into()
}

pub(super) fn too_large(field: &str) -> UploadError {
    if is_tag(field) {
        let was = format!("larger than {MAX_TAG_FIELD_BYTES} bytes");
        return refused(ErrorCode::InvalidTags, field, was, format!("tags of at most {MAX_TAG_CHARS} characters"));
    }
    let was = format!("larger than {MAX_FORM_FIELD_BYTES} bytes");
    let field: String = field.chars().take(MAX_SHOWN_CHARS).collect();
    refused(ErrorCode::PayloadTooLarge, &field, was, format!("at most {MAX_FORM_FIELD_BYTES} bytes"))
}

fn head_too_large() -> UploadError {
    let was = format!("without a boundary, or the end of a field's headers, in {MAX_HEAD_BYTES} bytes");
    refused(ErrorCode::InvalidParameter, "form", was, "multipart/form-data (RFC 7578)".to_owned())
}

/// The error in the middle of the field `name`: one that is too large hides all that follows.
pub(super) fn of_field(name: &str, error: multer::Error) -> UploadError {
    match &error {
        multer::Error::StreamReadFailed(inner) if inner.is::<TooMuch>() => too_large(name),
        _ => broken(error),
    }
}

/// The parser's error, or the one of the body that it read.
pub(super) fn broken(error: multer::Error) -> UploadError {
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
