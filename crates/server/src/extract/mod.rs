//! Extractors of handlers: the caller, the id in the path, the query and the JSON body.

mod caller;
mod json;
mod path_id;
mod query;

pub(crate) use caller::{Caller, PrivateCaller};
pub(crate) use json::ApiJson;
pub(crate) use path_id::PathId;
pub(crate) use query::Parameters;
