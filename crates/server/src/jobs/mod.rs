//! Background jobs: sessions expire, garbage is deleted, idle sessions are closed, webhooks are dispatched, parts are verified
//! after a restart of the machine, and changes by commands next to the server take effect.
//!
//! Invariant: a failure in a job, even a panic, is logged and retried. No job ends before the server does.

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
