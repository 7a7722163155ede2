//! What goes on without a request: sessions expire, garbage is deleted, idle sessions are closed, webhooks are told; parts
//! are verified after the machine was started anew.

mod cleaner;
mod lease;
mod verifier;
mod webhooks;

pub use cleaner::Cleaner;
pub use lease::Lease;
pub use verifier::verify_untrusted;
pub use webhooks::Messenger;
