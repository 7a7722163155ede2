//! `partway upload`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use partway_client::{Client, Error, Event, FileRecord, RetryPolicy, Upload};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::progress::Progress;
use crate::remote::{self, INTERRUPTED, ServerArgs, interruption, parse_meta, quoted};
use crate::resume::{Destination, Remembered, ResumeError, forget_session, state_dir};
use crate::{Failure, output};

#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The files to upload.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Folder in the workspace.
    #[arg(long)]
    folder: Option<String>,
    /// A tag; may be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A member of the metadata; may be given several times.
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = parse_meta)]
    metadata: Vec<(String, String)>,
    /// The file's id in your own system.
    #[arg(long, value_name = "ID")]
    custom_id: Option<String>,
    /// Put eight random characters in front of the name.
    #[arg(long)]
    random_prefix: bool,
    /// Parts sent at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// Go on with this session, whoever started it: only the parts that are missing are sent. Not needed for going on
    /// with an upload of one's own: the same command again does.
    #[arg(long, value_name = "SESSION", value_parser = parse_session, conflicts_with_all = ["folder", "tags", "metadata", "custom_id", "random_prefix"])]
    resume: Option<String>,
    /// Neither go on with an earlier upload of the same file nor remember this one.
    #[arg(long)]
    no_resume: bool,
    /// How long a server that is away is waited for, such as 90s, 10m or 2h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Send parts without their SHA-256. The hash of the whole file is compared all the same.
    #[arg(long)]
    no_digests: bool,
    /// Print the file records as JSON, one per line, and no progress.
    #[arg(long)]
    json: bool,
}

fn parse_session(text: &str) -> Result<String, String> {
    Uuid::try_parse(text).map(|id| id.to_string()).map_err(|_| "must be the id of a session, a UUID".to_owned())
}

/// Uploads the files, one after the other; what fails does not keep the others from being tried.
pub(crate) fn upload(args: UploadArgs) -> ExitCode {
    remote::block_on(upload_all(&args))
}

/// How the upload of one file ended.
enum Outcome {
    Uploaded(Box<FileRecord>),
    Failed,
    Interrupted,
}

async fn upload_all(args: &UploadArgs) -> Result<ExitCode, Failure> {
    if args.resume.is_some() && args.files.len() != 1 {
        return Err("--resume goes on with one session: give it one file".into());
    }
    let client = args.server.client()?;
    let interrupted = interruption();
    let mut failed = 0;
    for file in &args.files {
        match upload_file(args, &client, file, &interrupted).await {
            Outcome::Uploaded(record) => print_record(&record, args.json)?,
            Outcome::Failed => failed += 1,
            Outcome::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Its room on the server is not needed any more; if that cannot be said now, it expires.
async fn give_up(client: &Client, session: Option<&str>, interrupted: &CancellationToken) {
    if let Some(session) = session {
        tokio::select! {
            _ = client.abort(session) => {}
            () = interrupted.cancelled() => {}
        }
    }
}

async fn upload_file(args: &UploadArgs, client: &Client, file: &Path, interrupted: &CancellationToken) -> Outcome {
    let mut remembered = match args.remember(file) {
        Ok(remembered) => remembered,
        Err(error) => {
            eprintln!("partway: {} was not uploaded: {error}", file.display());
            return Outcome::Failed;
        }
    };
    if let Some(outdated) = remembered.as_ref().and_then(Remembered::outdated_session) {
        eprintln!("{}: changed since it was sent in part; starting anew", file_label(file));
        give_up(client, Some(outdated), interrupted).await;
    }
    loop {
        let uploading = args.of_file(file, remembered.as_ref());
        let is_recalled = remembered.as_ref().is_some_and(Remembered::is_recalled);
        let progress = Progress::new(&file_label(file), args.json);
        let started = Mutex::new(Started { session: None, remembered: remembered.as_mut() });
        let on_event = |event: Event<'_>| {
            if let Event::Session { session_id } = &event {
                started.lock().unwrap_or_else(PoisonError::into_inner).note(session_id);
            }
            progress.show(&event);
        };
        let outcome = tokio::select! {
            outcome = uploading.send(client, &on_event) => Some(outcome),
            () = interrupted.cancelled() => None,
        };
        progress.end();
        let session = started.into_inner().unwrap_or_else(PoisonError::into_inner).session;
        let is_remembered = remembered.is_some();
        match outcome {
            Some(Ok(record)) => {
                if let Some(remembered) = remembered {
                    remembered.forget();
                } else if let (Some(session), Some(directory)) = (&args.resume, state_dir()) {
                    forget_session(&directory, session);
                }
                return Outcome::Uploaded(Box::new(record));
            }
            // What is remembered has ended, perhaps long ago, or was of another file.
            Some(Err(error)) if is_recalled && error.is_session_of_no_use() => {
                eprintln!("{}: {error}; starting anew", file_label(file));
                give_up(client, session.as_deref(), interrupted).await;
                let anew = remembered.as_mut().map(Remembered::begin_anew);
                if let Some(Err(error)) = anew {
                    eprintln!("partway: {error}");
                    return Outcome::Failed;
                }
            }
            Some(Err(error)) => {
                print_failure(file, &error);
                if error.leaves_session() {
                    say_how_to_go_on(args, file, session.as_deref(), is_remembered);
                }
                return Outcome::Failed;
            }
            None => {
                say_how_to_go_on(args, file, session.as_deref(), is_remembered);
                return Outcome::Interrupted;
            }
        }
    }
}

/// What is kept of a session once it is there.
struct Started<'r> {
    session: Option<String>,
    remembered: Option<&'r mut Remembered>,
}

impl Started<'_> {
    fn note(&mut self, session_id: &str) {
        self.session = Some(session_id.to_owned());
        if let Some(remembered) = &mut self.remembered
            && let Err(error) = remembered.set_session(session_id)
        {
            eprintln!("partway: this upload will not be remembered: {error}");
        }
    }
}

impl UploadArgs {
    fn metadata(&self) -> Map<String, Value> {
        self.metadata.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    }

    /// What is known of an earlier upload of the file, if it is to go on; `None` when nothing is to be remembered.
    fn remember(&self, file: &Path) -> Result<Option<Remembered>, ResumeError> {
        // What cannot be uploaded is refused for its own reason.
        if self.resume.is_some() || self.no_resume || !file.is_file() {
            return Ok(None);
        }
        let Some(directory) = state_dir() else { return Ok(None) };
        let destination = Destination {
            server: self.server.url.trim_end_matches('/').to_owned(),
            key_hash: Destination::hash_of_key(&self.server.key),
            name: file_label(file),
            folder: self.folder.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata(),
            custom_id: self.custom_id.clone(),
            random_prefix: self.random_prefix,
        };
        match Remembered::open(&directory, file, destination) {
            Err(error @ ResumeError::State { .. }) => {
                eprintln!("partway: this upload will not be remembered: {error}");
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    fn of_file(&self, file: &Path, remembered: Option<&Remembered>) -> Upload {
        let mut upload = Upload::of(file)
            .tags(self.tags.clone())
            .metadata(self.metadata())
            .random_prefix(self.random_prefix)
            .concurrency(usize::from(self.concurrency))
            .digests(!self.no_digests)
            .retry(RetryPolicy { wait: self.wait, ..RetryPolicy::default() });
        if let Some(folder) = &self.folder {
            upload = upload.folder(folder);
        }
        if let Some(custom_id) = &self.custom_id {
            upload = upload.custom_id(custom_id);
        }
        if let Some(remembered) = remembered {
            upload = upload.idempotency_key(remembered.idempotency_key()).doubtful(remembered.is_doubtful());
        }
        match self.resume.as_deref().or(remembered.and_then(Remembered::session_id)) {
            Some(session_id) => upload.resume(session_id),
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

fn print_failure(file: &Path, error: &Error) {
    match error {
        // These name the file themselves.
        Error::File { .. } | Error::Unfit { .. } => eprintln!("partway: not uploaded: {error}"),
        _ => eprintln!("partway: {} was not uploaded: {error}", file.display()),
    }
}

/// What the user can do about an upload that did not finish.
fn say_how_to_go_on(args: &UploadArgs, file: &Path, session: Option<&str>, is_remembered: bool) {
    let Some(session) = session else { return };
    let url = args.server.url_option();
    let here = if is_remembered { "here by the same command again, or from anywhere: " } else { "" };
    let file = file.to_string_lossy();
    let file = if file.starts_with('-') { quoted(&format!("./{file}")) } else { quoted(&file) };
    eprintln!(
        "The parts that arrived stay on the server. To go on, {here}partway upload --resume {session} {file}{url}"
    );
}
