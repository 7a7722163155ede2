//! `/api/v1/uploads/…`

pub mod direct;
mod form;
pub mod remote;
