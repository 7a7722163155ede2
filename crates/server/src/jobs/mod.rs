//! What goes on without a request: sessions expire, garbage is deleted, idle sessions are closed.

mod cleaner;

pub use cleaner::Cleaner;
