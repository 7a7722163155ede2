//! The common options of commands that transfer files.

use std::time::Duration;

use clap::Args;
use partway_client::{RetryPolicy, TransferOptions};

/// Options of a transfer, in either direction.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// Parts of a file that are transferred at the same time. An upload sends fewer where a proxy ends requests too soon.
    #[arg(long, value_name = "N", default_value_t = default_concurrency(), value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// How long to wait for an unavailable server, such as 90s, 10m or 2h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    wait: Duration,
}

fn default_concurrency() -> u8 {
    u8::try_from(TransferOptions::default().concurrency).unwrap_or(u8::MAX)
}

impl TransferArgs {
    /// The options of the client.
    pub(crate) fn options(&self) -> TransferOptions {
        TransferOptions {
            concurrency: usize::from(self.concurrency),
            retry: RetryPolicy { wait: self.wait, ..RetryPolicy::default() },
            ..TransferOptions::default()
        }
    }
}
