//! `/api/v1/multipart/…`

pub mod complete;
pub mod part;
pub mod start;
