//! Serving files: ranges, conditional requests, and headers that keep a file from acting as the site.

mod body;
mod conditional;
mod frames;
mod headers;
mod object;
mod range;

pub use body::{FileBody, Piece};
pub use conditional::{Precondition, evaluate, is_strong_date, range_applies};
pub use headers::{entity_tag, guard_content, headers_at_store, safer_type};
pub use object::ObjectBody;
pub use range::{ByteRange, RangeRequest, parse_range};
