//! One file per endpoint, mirroring the URLs. A handler extracts, calls a service, and answers.

pub(crate) mod delivery;
pub(crate) mod files;
pub(crate) mod folders;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod multipart;
pub(crate) mod openapi_document;
pub(crate) mod uploads;
