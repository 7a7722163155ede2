//! Proxies in front of a real server. The files of deploy/ run as they are, but for what everybody changes in them: addresses,
//! the path, where the log is, and the settings whose effect is shown.

mod caches;
mod kinds;
mod limits;
mod proxied;
mod proxy;
mod suite;
mod tap;

pub(crate) use proxy::Proxy;
