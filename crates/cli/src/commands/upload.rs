//! `partway upload`

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use partway_client::{Client, Error, ErrorCode, Event, FileRecord, RetryPolicy, Upload};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::progress::Progress;
use crate::remote::{self, INTERRUPTED, ServerArgs, explained, interruption, parse_meta, quoted_path};
use crate::resume::{Destination, Remembered, ResumeError, state_dir};
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
    /// Another name in the workspace; for one file.
    #[arg(long)]
    name: Option<String>,
    /// Put eight random characters in front of the name.
    #[arg(long)]
    random_prefix: bool,
    /// Parts sent at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// Go on with this session, whoever started it: only the parts that are missing are sent. Not needed for going on
    /// with an upload of one's own: the same command again does.
    #[arg(long, value_name = "SESSION", value_parser = parse_session, conflicts_with_all = ["folder", "name", "tags", "metadata", "custom_id", "random_prefix"])]
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

/// How a command ends whose arguments cannot be as they are: nothing was done. As clap says it, too.
const UNFIT_ARGUMENTS: u8 = 2;

/// Uploads the files, one after the other; what fails does not keep the others from being tried.
pub(crate) fn upload(args: UploadArgs) -> ExitCode {
    remote::block_on(upload_all(&args))
}

/// How the upload of one file ended.
enum Outcome {
    Uploaded(Box<FileRecord>),
    Failed,
    /// For a reason that would be the same for every other file.
    FailedForAll,
    Interrupted,
}

async fn upload_all(args: &UploadArgs) -> Result<ExitCode, Failure> {
    if args.resume.is_some() && args.files.len() != 1 {
        return Err("--resume goes on with one session: give it one file".into());
    }
    let interrupted = interruption();
    let files = args.files.clone();
    let distinct = blocking(move || distinct(files));
    let distinct = tokio::select! {
        distinct = distinct => distinct,
        () = interrupted.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if args.name.is_some() && distinct.len() != 1 {
        return Err("--name is the name of one file: give it one".into());
    }
    if !args.random_prefix
        && let Some((first, second)) = same_name(&distinct)
    {
        output::say(clash(first, second, args.folder.as_deref()));
        return Ok(ExitCode::from(UNFIT_ARGUMENTS));
    }
    let client = args.server.client()?;
    let mut failed = 0;
    for (file, left) in distinct.iter().zip((0..distinct.len()).rev()) {
        match upload_file(args, &client, file, &interrupted).await {
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

/// The files, each once: patterns of a shell may name one twice. A link with another name is another file. Blocks.
fn distinct(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let is_new = |file: &PathBuf| match file.canonicalize() {
        Ok(path) => seen.insert((path, file.file_name().map(ToOwned::to_owned))),
        Err(_) => true,
    };
    files.into_iter().filter(is_new).collect()
}

/// Two files that would have one path in the workspace, where names are kept in Unicode's form C.
fn same_name(files: &[PathBuf]) -> Option<(&Path, &Path)> {
    let mut seen: HashMap<String, &Path> = HashMap::new();
    files.iter().find_map(|file| {
        let name = file.file_name()?.to_str()?.nfc().collect();
        seen.insert(name, file).map(|first| (first, file.as_path()))
    })
}

/// Two arguments are not versions of one file, so neither may replace the other.
fn clash(first: &Path, second: &Path, folder: Option<&str>) -> String {
    let name = file_label(second).nfc().collect::<String>();
    let folder = folder.unwrap_or_default().trim_matches('/');
    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    let form = if first.file_name() == second.file_name() { "" } else { " (the same name in two forms of Unicode)" };
    format!(
        "partway: nothing was uploaded: {} and {} would both be {path} in the workspace{form}, and the second would \
         replace the first. Upload them by two commands, with another --folder or --name for one of them, or all with \
         --random-prefix.",
        quoted_path(first),
        quoted_path(second)
    )
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
    let recall = args.recall(file);
    let recalled = tokio::select! {
        recalled = blocking(recall) => recalled,
        () = interrupted.cancelled() => return Outcome::Interrupted,
    };
    let mut remembered = match recalled {
        Ok(Recalled::Nothing) => None,
        Ok(Recalled::Upload(remembered)) => Some(*remembered),
        Ok(Recalled::NotPossible(error)) => {
            output::say(format_args!("partway: this upload will not be remembered: {error}"));
            None
        }
        Err(error) => {
            output::say(format_args!("partway: {} was not uploaded: {error}", file.display()));
            return Outcome::Failed;
        }
    };
    if let Some(outdated) = remembered.as_ref().and_then(Remembered::outdated_session) {
        output::say(format_args!("{}: changed since it was sent in part; starting anew", file_label(file)));
        give_up(client, Some(outdated), interrupted).await;
    }
    loop {
        let uploading = args.of_file(file, remembered.as_ref());
        let is_recalled = remembered.as_ref().is_some_and(Remembered::is_recalled);
        let progress = Progress::new(&file_label(file), args.json);
        let started = Mutex::new(Started { session: None, remembered: remembered.as_mut(), is_said: false });
        let on_event = |event: Event<'_>| {
            started.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
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
                }
                return Outcome::Uploaded(Box::new(record));
            }
            // What is remembered has ended, perhaps long ago, or was of another file.
            Some(Err(error)) if is_recalled && error.is_session_of_no_use() => {
                output::say(format_args!("{}: {error}; starting anew", file_label(file)));
                give_up(client, session.as_deref(), interrupted).await;
                let anew = remembered.as_mut().map(Remembered::restart);
                if let Some(Err(error)) = anew {
                    output::say(format_args!("partway: {error}"));
                    return Outcome::Failed;
                }
            }
            Some(Err(error)) => {
                print_failure(file, &error);
                if error.leaves_session() {
                    say_how_to_go_on(args, file, session.as_deref(), is_remembered);
                } else if is_refused_to_key(&error) {
                    say_how_another_key_goes_on(args, file, session.as_deref());
                }
                let is_for_all = error.is_of_connection() && !error.is_away();
                return if is_for_all { Outcome::FailedForAll } else { Outcome::Failed };
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
    /// Whether it was said that something cannot be remembered.
    is_said: bool,
}

impl Started<'_> {
    fn note(&mut self, event: &Event<'_>) {
        if let Event::Session { session_id } = event {
            self.session = Some((*session_id).to_owned());
        }
        let Some(remembered) = &mut self.remembered else { return };
        let noted = match event {
            Event::Session { session_id } => remembered.set_session(session_id),
            Event::Compared { same, .. } => remembered.keep_parts(same),
            Event::PartSent { index, part } => remembered.record_part(*index, part),
            _ => Ok(()),
        };
        if let Err(error) = noted
            && !std::mem::replace(&mut self.is_said, true)
        {
            output::say(format_args!("partway: this upload will not be remembered: {error}"));
        }
    }
}

/// Notes of an earlier upload of a file.
enum Recalled {
    /// Nothing is to be remembered.
    Nothing,
    /// This, or it is remembered from now on.
    Upload(Box<Remembered>),
    /// Nothing can be remembered, which keeps nobody from uploading.
    NotPossible(ResumeError),
}

impl UploadArgs {
    fn metadata(&self) -> Map<String, Value> {
        self.metadata.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    }

    /// The name in the workspace, as far as it is said here.
    fn name_of(&self, file: &Path) -> String {
        self.name.clone().unwrap_or_else(|| file_label(file))
    }

    /// Finds what is known of an earlier upload of the file. Blocks.
    fn recall(&self, file: &Path) -> impl FnOnce() -> Result<Recalled, ResumeError> + Send + 'static {
        let (file, resume, no_resume) = (file.to_owned(), self.resume.clone(), self.no_resume);
        let destination = Destination {
            server: self.server.url.trim_end_matches('/').to_owned(),
            key_hash: Destination::hash_of_key(&self.server.key),
            name: self.name_of(&file),
            folder: self.folder.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata(),
            custom_id: self.custom_id.clone(),
            random_prefix: self.random_prefix,
        };
        move || {
            let Some(directory) = state_dir() else { return Ok(Recalled::Nothing) };
            if let Some(session) = resume {
                let remembered = match Remembered::of_session(&directory, &session) {
                    Err(error @ ResumeError::State { .. }) => return Ok(Recalled::NotPossible(error)),
                    remembered => remembered?.map(Box::new),
                };
                return Ok(remembered.map_or(Recalled::Nothing, Recalled::Upload));
            }
            // A path that cannot be uploaded is refused for its own reason, and an empty file has nothing to go on with.
            let has_parts = fs::metadata(&file).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
            if no_resume || !has_parts {
                return Ok(Recalled::Nothing);
            }
            match Remembered::open(&directory, &file, destination) {
                Ok(remembered) => Ok(Recalled::Upload(Box::new(remembered))),
                Err(error @ ResumeError::State { .. }) => Ok(Recalled::NotPossible(error)),
                Err(error) => Err(error),
            }
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
        Error::File { .. } | Error::Unfit { .. } => output::say(format_args!("partway: not uploaded: {error}")),
        _ => output::say(format_args!("partway: {} was not uploaded: {}", file.display(), explained(error))),
    }
}

/// Runs something that blocks where it does not keep Ctrl-C from being noticed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(output) => output,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Whether the session may be open, and be of use to another key: the key was revoked with its sessions kept, or may not
/// replace the file at the path.
fn is_refused_to_key(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::Unauthorized | ErrorCode::FileExists))
}

/// Advice for the owner of the workspace.
fn say_how_another_key_goes_on(args: &UploadArgs, file: &Path, session: Option<&str>) {
    let Some(session) = session.or(args.resume.as_deref()) else { return };
    let (file, options) = (quoted_path(file), args.server.options());
    output::say(format_args!(
        "The upload is session {session}. Unless it has ended, a private key of its workspace goes on with it: \
         PARTWAY_API_KEY=sk_… partway upload {file} --resume {session}{options}"
    ));
}

/// What the user can do about an upload that did not finish.
fn say_how_to_go_on(args: &UploadArgs, file: &Path, session: Option<&str>, is_remembered: bool) {
    let Some(session) = session else { return };
    let here = if is_remembered { "here by the same command again, or from anywhere: " } else { "" };
    let (file, options) = (quoted_path(file), args.server.options());
    output::say(format_args!(
        "The parts that arrived stay on the server. To go on, {here}partway upload --resume {session} {file}{options}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_arguments_that_would_be_one_file_are_found_and_named() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(same_name(&paths(&["a/x", "b/y", "x.txt", "X"])), None);
        let clashing = paths(&["a/IMG 1.JPG", "c", "b/IMG 1.JPG"]);
        let (first, second) = same_name(&clashing).unwrap();
        let text = clash(first, second, Some("/cam/"));
        assert!(text.contains("'a/IMG 1.JPG' and 'b/IMG 1.JPG' would both be cam/IMG 1.JPG in the"), "{text}");
        let twins = paths(&["caf\u{e9}.txt", "cafe\u{301}.txt"]);
        let (first, second) = same_name(&twins).unwrap();
        assert!(
            clash(first, second, None).contains("would both be caf\u{e9}.txt in the workspace (the same name in two")
        );
    }
}
