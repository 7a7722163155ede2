//! One file per endpoint, mirroring the URLs. A handler extracts, calls a service, and answers.

pub mod delivery;
pub mod files;
pub mod folders;
pub mod health;
pub mod multipart;
pub mod openapi_document;
pub mod uploads;
