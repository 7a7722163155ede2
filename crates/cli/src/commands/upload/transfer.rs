//! The upload of one file: recall its record, transfer, report.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use partway_client::{Client, Error, ErrorCode, Event, FileRecord};
use tokio_util::sync::CancellationToken;

use super::passing::Passing;
use super::recall::Recalled;
use super::{UploadArgs, blocking, file_label};
use crate::output;
use crate::progress::Progress;
use crate::remote::{explained, quoted_path};
use crate::resume::Remembered;

/// The outcome of the upload of one file.
pub(super) enum Outcome {
    Uploaded(Box<FileRecord>),
    Failed,
    /// It failed for a reason that holds for every other file, too.
    FailedForAll,
    Interrupted,
}

/// Uploads a file. A remembered session that is of no use any more is replaced by a new one.
pub(super) async fn upload_file(
    args: &UploadArgs,
    client: &Client,
    file: &Path,
    passing: &Passing,
    interrupted: &CancellationToken,
) -> Outcome {
    let mut remembered = match recall(args, file, interrupted).await {
        Ok(remembered) => remembered,
        Err(outcome) => return outcome,
    };
    if let Some(outdated) = remembered.as_ref().and_then(Remembered::outdated_session) {
        output::say(format_args!("{}: changed since a part of it was sent; starting again", file_label(file)));
        give_up(client, Some(outdated), interrupted).await;
    }
    loop {
        let is_recalled = remembered.as_ref().is_some_and(Remembered::is_recalled);
        let Transferred { result, session } = transfer(args, client, file, passing, &mut remembered, interrupted).await;
        match result {
            Some(Ok(record)) => {
                if let Some(remembered) = remembered {
                    remembered.forget();
                }
                return Outcome::Uploaded(Box::new(record));
            }
            // The recorded session has ended, perhaps long ago, or was of another file.
            Some(Err(error)) if is_recalled && error.is_session_of_no_use() => {
                output::say(format_args!("{}: {error}; starting again", file_label(file)));
                give_up(client, session.as_deref(), interrupted).await;
                if let Some(Err(error)) = remembered.as_mut().map(Remembered::restart) {
                    output::say(format_args!("partway: {error}"));
                    return Outcome::Failed;
                }
            }
            Some(Err(error)) => return report(args, file, &error, session.as_deref(), remembered.is_some()),
            None => {
                say_how_to_resume(args, file, session.as_deref(), remembered.is_some());
                return Outcome::Interrupted;
            }
        }
    }
}

/// The record of the file; `Err` when the upload ends here.
async fn recall(
    args: &UploadArgs,
    file: &Path,
    interrupted: &CancellationToken,
) -> Result<Option<Remembered>, Outcome> {
    let recalled = tokio::select! {
        recalled = blocking(args.recall(file)) => recalled,
        () = interrupted.cancelled() => return Err(Outcome::Interrupted),
    };
    match recalled {
        Ok(Recalled::Nothing) => Ok(None),
        Ok(Recalled::Upload(remembered)) => Ok(Some(*remembered)),
        Ok(Recalled::NotPossible(error)) => {
            output::say(format_args!("partway: this upload will not be remembered: {error}"));
            Ok(None)
        }
        Err(error) => {
            output::say(format_args!("partway: {} was not uploaded: {error}", file.display()));
            Err(Outcome::Failed)
        }
    }
}

/// The end of one attempt.
struct Transferred {
    /// `None` when it was interrupted.
    result: Option<Result<FileRecord, Error>>,
    /// The session, once the server has answered its id.
    session: Option<String>,
}

/// Sends the file, or the parts of it that are missing, and completes it.
async fn transfer(
    args: &UploadArgs,
    client: &Client,
    file: &Path,
    passing: &Passing,
    remembered: &mut Option<Remembered>,
    interrupted: &CancellationToken,
) -> Transferred {
    let uploading = args.of_file(file, passing, remembered.as_ref());
    let progress = Progress::new(&file_label(file), args.json);
    let recorder = Mutex::new(Recorder { session: None, remembered: remembered.as_mut(), has_warned: false });
    let on_event = |event: Event<'_>| {
        recorder.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
        passing.note(&event);
        progress.show(&event);
    };
    let result = tokio::select! {
        result = uploading.send(client, &on_event) => Some(result),
        () = interrupted.cancelled() => None,
    };
    progress.end();
    let session = recorder.into_inner().unwrap_or_else(PoisonError::into_inner).session;
    Transferred { result, session }
}

/// Frees the space of a session that is of no use. If that fails, the session expires.
async fn give_up(client: &Client, session: Option<&str>, interrupted: &CancellationToken) {
    if let Some(session) = session {
        tokio::select! {
            _ = client.abort(session) => {}
            () = interrupted.cancelled() => {}
        }
    }
}

/// Records the progress of a session.
struct Recorder<'r> {
    session: Option<String>,
    remembered: Option<&'r mut Remembered>,
    /// Whether a failure to record was reported.
    has_warned: bool,
}

impl Recorder<'_> {
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
            && !std::mem::replace(&mut self.has_warned, true)
        {
            output::say(format_args!("partway: this upload will not be remembered: {error}"));
        }
    }
}

/// Reports a failure, and how to resume.
fn report(args: &UploadArgs, file: &Path, error: &Error, session: Option<&str>, is_remembered: bool) -> Outcome {
    print_failure(file, error);
    if error.leaves_session() {
        say_how_to_resume(args, file, session, is_remembered);
    } else if is_refused_to_key(error) {
        say_how_another_key_resumes(args, file, session);
    }
    let is_for_all = error.is_of_connection() && !error.is_away();
    if is_for_all { Outcome::FailedForAll } else { Outcome::Failed }
}

fn print_failure(file: &Path, error: &Error) {
    match error {
        // These errors name the file themselves.
        Error::File { .. } | Error::Unfit { .. } => output::say(format_args!("partway: not uploaded: {error}")),
        _ => output::say(format_args!("partway: {} was not uploaded: {}", file.display(), explained(error))),
    }
}

/// Whether the session may still be open for another key: the key was revoked and its sessions kept, or it may not replace the
/// file at the path.
fn is_refused_to_key(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::Unauthorized | ErrorCode::FileExists))
}

/// Advice for the owner of the workspace.
fn say_how_another_key_resumes(args: &UploadArgs, file: &Path, session: Option<&str>) {
    let Some(session) = session.or(args.resume.as_deref()) else { return };
    let (file, options) = (quoted_path(file), args.server.options());
    output::say(format_args!(
        "The upload is session {session}. Unless it has ended, a private key of its workspace can resume it: \
         PARTWAY_API_KEY=sk_… partway upload {file} --resume {session}{options}"
    ));
}

/// Advice for the user about an upload that did not finish.
fn say_how_to_resume(args: &UploadArgs, file: &Path, session: Option<&str>, is_remembered: bool) {
    let Some(session) = session else { return };
    let how = if is_remembered { "repeat the same command here, or run this one anywhere: " } else { "run: " };
    let (file, options) = (quoted_path(file), args.server.options());
    output::say(format_args!(
        "The parts that arrived stay on the server. To resume, {how}partway upload --resume {session} {file}{options}"
    ));
}
