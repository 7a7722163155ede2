//! `partway upload`

mod names;
mod passing;
mod recall;
mod transfer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use partway_client::{FileRecord, Upload};
use partway_server::config::{Bytes, Setting};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::remote::{self, INTERRUPTED, ServerArgs, interruption, parse_meta};
use crate::resume::Remembered;
use crate::transfer_args::TransferArgs;
use crate::{Failure, output};

use passing::Passing;
use transfer::{Outcome, upload_file};

/// Arguments of `partway upload`.
#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The files to upload.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Folder in the workspace. It is created if it is missing.
    #[arg(long)]
    folder: Option<String>,
    /// Tag of the file; may be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Member of the file's metadata; may be given several times.
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = parse_meta)]
    metadata: Vec<(String, String)>,
    /// The file's id in your own system.
    #[arg(long, value_name = "ID")]
    custom_id: Option<String>,
    /// Name in the workspace, if it differs; for one file.
    #[arg(long)]
    name: Option<String>,
    /// Put eight random characters in front of the name.
    #[arg(long)]
    random_prefix: bool,
    #[command(flatten)]
    transfer: TransferArgs,
    /// Size of the parts, such as 1MiB or 5MiB, for a proxy that limits requests; the server chooses it by default. Where a proxy
    /// refuses parts for their size or duration, the upload starts again in smaller ones by itself, but not with --resume.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    part_size: Option<u64>,
    /// Resume this session, which anyone may have started: only missing parts are sent. To resume an upload of your own, repeat
    /// its command instead.
    #[arg(long, value_name = "SESSION", value_parser = parse_session, conflicts_with_all = ["folder", "name", "tags", "metadata", "custom_id", "random_prefix"])]
    resume: Option<String>,
    /// Neither resume an earlier upload of the same file nor remember this one.
    #[arg(long)]
    no_resume: bool,
    /// Send parts without their SHA-256. The hash of the whole file is still compared.
    #[arg(long)]
    no_digests: bool,
    /// Print the file records as JSON, one per line, without progress.
    #[arg(long)]
    json: bool,
}

/// Exit code of arguments that do not fit together, as clap's: nothing was done.
const UNFIT_ARGUMENTS: u8 = 2;

fn parse_session(text: &str) -> Result<String, String> {
    Uuid::try_parse(text).map(|id| id.to_string()).map_err(|_| "must be the id of a session, a UUID".to_owned())
}

fn parse_size(text: &str) -> Result<u64, String> {
    Bytes::parse(text).ok_or_else(|| Bytes::problem(text).unwrap_or_else(|| format!("it must be {}", Bytes::ALLOWED)))
}

/// Uploads the files, one after the other. A failure does not keep the others from being tried.
pub(crate) fn upload(args: UploadArgs) -> ExitCode {
    remote::block_on(upload_all(&args))
}

async fn upload_all(args: &UploadArgs) -> Result<ExitCode, Failure> {
    if args.resume.is_some() && args.files.len() != 1 {
        return Err("--resume continues one session: give it one file".into());
    }
    let interrupted = interruption();
    let files = args.files.clone();
    let distinct = blocking(move || names::distinct(files));
    let distinct = tokio::select! {
        distinct = distinct => distinct,
        () = interrupted.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if args.name.is_some() && distinct.len() != 1 {
        return Err("--name is the name of one file: give it one".into());
    }
    if !args.random_prefix
        && let Some((first, second)) = names::same_name(&distinct)
    {
        output::say(names::clash(first, second, args.folder.as_deref()));
        return Ok(ExitCode::from(UNFIT_ARGUMENTS));
    }
    let client = args.server.client()?;
    let passing = Passing::default();
    let mut failed = 0;
    for (file, left) in distinct.iter().zip((0..distinct.len()).rev()) {
        match upload_file(args, &client, file, &passing, &interrupted).await {
            Outcome::Uploaded(record) => print_record(&record, args.json)?,
            Outcome::Failed => failed += 1,
            Outcome::FailedForAll if left > 0 => {
                output::say(match left {
                    1 => "partway: the other file was not tried, for the same reason".to_owned(),
                    left => format!("partway: the other {left} files were not tried, for the same reason"),
                });
                return Ok(ExitCode::FAILURE);
            }
            Outcome::FailedForAll => failed += 1,
            Outcome::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl UploadArgs {
    fn metadata(&self) -> Map<String, Value> {
        self.metadata.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    }

    /// The name in the workspace.
    fn name_of(&self, file: &Path) -> String {
        self.name.clone().unwrap_or_else(|| file_label(file))
    }

    /// The upload of one file, with its record if it is remembered.
    fn of_file(&self, file: &Path, passing: &Passing, remembered: Option<&Remembered>) -> Upload {
        let mut options = self.transfer.options();
        options.concurrency = passing.parts_at_once().unwrap_or(options.concurrency);
        let mut upload = Upload::of(file)
            .tags(self.tags.clone())
            .metadata(self.metadata())
            .random_prefix(self.random_prefix)
            .options(options)
            .digests(!self.no_digests);
        if let Some(name) = &self.name {
            upload = upload.name(name);
        }
        if let Some(folder) = &self.folder {
            upload = upload.folder(folder);
        }
        if let Some(custom_id) = &self.custom_id {
            upload = upload.custom_id(custom_id);
        }
        if let Some(remembered) = remembered {
            upload = upload.idempotency_key(remembered.idempotency_key()).sent_parts(remembered.sent_parts());
        }
        if let Some(part_size) = passing.part_size(file).or(self.part_size) {
            upload = upload.part_size(part_size);
        }
        match self.resume.as_deref().or(remembered.and_then(Remembered::session_id)) {
            // The arguments do not say where the file of a session that was named is to go.
            Some(session_id) => upload.resume(session_id).may_start_again(self.resume.is_none()),
            None => upload,
        }
    }
}

fn file_label(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn print_record(record: &FileRecord, as_json: bool) -> Result<(), Failure> {
    if as_json {
        output::json(record)?;
    } else {
        output::line(&record.url)?;
    }
    Ok(())
}

/// Runs blocking work on another thread, so that Ctrl-C is noticed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(output) => output,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
