//! Real servers for tests, PostgreSQL, PgBouncer, Garage and moto, on 127.0.0.1 and in temporary directories. None of them
//! outlives the test process, even one that is killed. `scripts/test` installs the programs.
//!
//! Every failure panics and shows the end of the server's log.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod garage;
mod moto;
mod odd_store;
mod pgbouncer;
mod postgres;
pub mod proxied;
mod watchdog;

pub use garage::Garage;
pub use moto::Moto;
pub use odd_store::{Lacks, Manners, OddStore};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
