//! Extractors of handlers: the caller, the id in the path, the query and the JSON body.

mod caller;
mod json;
mod path_id;
mod query;

pub use caller::{Caller, PrivateCaller};
pub use json::ApiJson;
pub use path_id::PathId;
pub use query::Parameters;
