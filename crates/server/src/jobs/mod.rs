//! What goes on without a request: sessions expire, garbage is deleted, idle sessions are closed; parts are verified
//! after the machine was started anew.

mod cleaner;
mod verifier;

pub use cleaner::Cleaner;
pub use verifier::verify_untrusted;
