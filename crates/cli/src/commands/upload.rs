//! `partway upload`
#[derive(Debug, clap::Args)]
pub(crate) struct UploadArgs {}
pub(crate) fn upload(_: UploadArgs) -> std::process::ExitCode { std::process::ExitCode::FAILURE }
