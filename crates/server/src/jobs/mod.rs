//! What goes on without a request: sessions expire, garbage is deleted, idle sessions are closed, webhooks are told; parts
//! are verified after the machine was started anew; what commands beside the server changed is taken up.
//!
//! Invariant: whatever fails in a job, a panic included, is logged and tried again; no job ends before the server does.

mod cleaner;
mod event_bounds;
mod lease;
mod revoked;
mod secrets;
mod verifier;
mod webhooks;

pub use cleaner::Cleaner;
pub use event_bounds::EventBounds;
pub use lease::Lease;
pub use revoked::Revoker;
pub use secrets::SecretsFollower;
pub(crate) use secrets::follow_part_urls;
pub use verifier::verify_untrusted;
pub use webhooks::WebhookDispatcher;
