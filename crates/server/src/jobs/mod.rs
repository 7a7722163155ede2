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

pub(crate) use cleaner::Cleaner;
pub(crate) use event_bounds::EventBounds;
pub(crate) use lease::Lease;
pub(crate) use revoked::Revoker;
pub(crate) use secrets::SecretsFollower;
pub(crate) use secrets::follow_part_urls;
pub(crate) use verifier::verify_untrusted;
pub(crate) use webhooks::WebhookDispatcher;
