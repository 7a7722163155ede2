//! The wire contract, promise by promise, against real servers on real ports, each with a data directory of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod app;
mod auth;
mod complete;
mod concurrency;
mod delivery;
mod generated_docs;
mod part;
mod restart;
mod start;
mod stopping;
mod urls;
