//! The bytes that a request asks for: the whole file, one range, or several as a multipart body (RFC 9110, section 14.6).

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use rand::RngExt;
use rand::distr::Alphanumeric;

use super::headers::insert_text;
use super::{ByteRange, Piece, RangeRequest, parse_range};
use crate::error::ApiError;
use crate::service::serve::Representation;

/// Random characters of a multipart boundary: 142 bits, so that no file contains it by chance or by intent.
const BOUNDARY_CHARACTERS: usize = 24;

/// The pieces of the body for this `Range` header. Sets status and headers of a partial answer.
pub(super) fn select(
    range: Option<&str>,
    representation: &Representation,
    answer: &mut Response,
) -> Result<Vec<Piece>, ApiError> {
    let size_bytes = representation.size_bytes;
    let request = range.map_or(RangeRequest::Full, |range| parse_range(range, size_bytes));
    let ranges = match request {
        RangeRequest::Full if size_bytes == 0 => return Ok(Vec::new()),
        RangeRequest::Full => return Ok(vec![Piece::Range(ByteRange { first: 0, last: size_bytes - 1 })]),
        RangeRequest::Unsatisfiable => {
            return Err(ApiError::range_not_satisfiable(range.unwrap_or_default(), size_bytes));
        }
        RangeRequest::Ranges(ranges) => ranges,
    };
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = answer.headers_mut();
    if let [range] = ranges[..] {
        insert_text(headers, CONTENT_RANGE, &content_range(range, size_bytes));
        return Ok(vec![Piece::Range(range)]);
    }
    let boundary: String = rand::rng().sample_iter(Alphanumeric).take(BOUNDARY_CHARACTERS).map(char::from).collect();
    insert_text(headers, CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
    Ok(multipart_body(&ranges, representation, &boundary))
}

fn multipart_body(ranges: &[ByteRange], representation: &Representation, boundary: &str) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            representation.media_type,
            content_range(*range, representation.size_bytes)
        );
        pieces.push(Piece::Text(Bytes::from(head)));
        pieces.push(Piece::Range(*range));
    }
    pieces.push(Piece::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    pieces
}

fn content_range(range: ByteRange, size_bytes: u64) -> String {
    format!("bytes {}-{}/{size_bytes}", range.first, range.last)
}
