//! A representation as HTTP: conditions, ranges, headers that keep a file from acting as the site, and bodies that are read
//! as the connection takes them.

mod body;
pub(crate) mod conditional;
mod frames;
mod headers;
mod object;
mod partial_content;
pub(crate) mod range_header;
mod response;

use body::{FileBody, Piece};
use conditional::{Precondition, evaluate, range_applies};
use object::ObjectBody;
use range_header::{ByteRange, RangeRequest, parse_range};
pub(crate) use response::respond;
