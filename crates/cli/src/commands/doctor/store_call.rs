//! Calls that a store did not carry out.

use partway_server::storage::StorageError;

use super::{Health, ill};

/// A call that the store did not carry out. `permission` is the change where it was refused for lack of one.
pub(super) fn of_call(error: &StorageError, permission: &'static str) -> Health {
    const OTHER_STORE: &str = "the store: another one, or a newer version of it";
    match error {
        error if error.is_not_implemented() => Health::Ill {
            problem: format!("the store does not implement this call: {}", partway_server::error_chain(error)),
            change: match error.is_doing("set the CORS rules of") {
                true => {
                    "nothing if no browser uploads; otherwise CORS in the store's own settings, or by a proxy in front of it"
                }
                false => OTHER_STORE,
            },
        },
        StorageError::Unavailable { .. } => ill(error, "the store, or the network between: it stopped answering"),
        StorageError::Answer { status: 401 | 403, .. } => ill(error, permission),
        StorageError::Answer { status: 500.., .. } => {
            ill(error, "the store: it failed by itself, and its log says why")
        }
        error => ill(error, OTHER_STORE),
    }
}
