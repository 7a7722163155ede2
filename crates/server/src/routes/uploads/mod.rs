//! `/api/v1/uploads/…`

pub mod direct;
pub(crate) mod form;
pub mod remote;
