//! Entry points of the fuzz targets in fuzz/: parsers of outside input that are private otherwise.
//!
//! Only with the feature `fuzzing`, which the product never has.

use axum::extract::Request;

pub use crate::media::file_type::FileType;
pub use crate::serving::conditional::{Precondition, evaluate, range_applies};
pub use crate::serving::range_header::{ByteRange, RangeRequest, parse_range};

/// File name of a `Content-Disposition` header.
pub fn disposition_file_name(header: &[u8]) -> Option<String> {
    crate::outgoing::disposition::file_name(header)
}

/// Fields of a form, and the bytes of its file; `None` when it is refused.
pub async fn form(request: Request) -> Option<(crate::input::UploadFields, Option<Vec<u8>>)> {
    crate::routes::uploads::form::read_whole(request).await
}

/// Width and height in pixels of an image or a video in memory. Panics of its reader are not caught.
pub fn dimensions(mime_type: &str, bytes: &[u8]) -> Option<(u32, u32)> {
    crate::media::pictures_or_panic(mime_type, bytes).dimensions()
}

/// Length, expiry and signature in the query of a part's URL.
pub fn presigned(url: &http::Uri) -> Option<(u64, i64, String)> {
    crate::routes::multipart::part::presigned(url)
}

/// Number of parts, uploads and objects in an S3 store's list.
pub fn listed(xml: &str) -> [usize; 3] {
    crate::storage::s3::xml::listed(xml)
}

/// Whether an S3 store's answer to CompleteMultipartUpload says that the object is there.
pub fn is_completed(xml: &str) -> bool {
    crate::storage::s3::xml::read_late_error("complete", xml).is_ok()
}
