//! `/api/v1/folders/…`

pub mod create;
pub mod delete;
pub mod list;
pub mod rename;
