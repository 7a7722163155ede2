//! `partway docs DIR`: writes the generated documents.

use std::path::PathBuf;

use clap::Args;
use partway_server::docs;

use crate::Failure;

#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// The directory to write into.
    directory: PathBuf,
}

/// Writes docs/CONFIG.md, docs/ERRORS.md, docs/METRICS.md and docs/openapi.json.
pub(crate) fn docs(args: &DocsArgs) -> Result<(), Failure> {
    for (name, text) in [
        ("CONFIG.md", docs::config_md()),
        ("ERRORS.md", docs::errors_md()),
        ("METRICS.md", docs::metrics_md()),
        ("openapi.json", docs::openapi_json()?),
    ] {
        std::fs::write(args.directory.join(name), text)?;
    }
    Ok(())
}
