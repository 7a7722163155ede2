//! `/api/v1/folders/…`

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod rename;
