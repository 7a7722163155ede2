//! `Content-Disposition` of served files (RFC 6266).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything that RFC 8187 requires to be encoded in an extended parameter.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whether a browser shows the file or saves it, and under which name.
pub fn content_disposition(file_name: &str, as_attachment: bool) -> String {
    let disposition = if as_attachment { "attachment" } else { "inline" };
    format!("{disposition}; filename*=UTF-8''{}", utf8_percent_encode(file_name, ENCODED))
}
