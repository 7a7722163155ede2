//! One file per endpoint, mirroring the URLs. A handler extracts, calls a service, and answers.

pub mod delivery;
pub mod health;
pub mod multipart;
pub mod openapi_document;
mod record;
