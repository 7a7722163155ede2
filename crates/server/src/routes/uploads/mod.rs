//! `/api/v1/uploads/…`

pub(crate) mod direct;
pub(crate) mod form;
pub(crate) mod remote;
