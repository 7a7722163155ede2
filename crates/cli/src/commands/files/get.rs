//! `partway files get`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use partway_client::{Client, Download, Downloaded, Error, FileRow, RetryPolicy, Workspace};
use unicode_normalization::UnicodeNormalization;

use super::NAMING;
use crate::progress::Progress;
use crate::remote::{INTERRUPTED, ServerArgs, interruption};
use crate::{Failure, human, output};

/// How often a file that changes while it comes is begun anew.
const MAX_RESTARTS: u32 = 5;

/// What `partway files get` takes.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct GetArgs {
    /// The file.
    file: String,
    /// Where to put it: a file, a directory, or `-` for standard output. Without it: under its own name here.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Ranges fetched at once. Standard output gets one after the other.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// Overwrite a file that is there already.
    #[arg(long)]
    force: bool,
    /// How long a server that is away is waited for, such as 90s, 10m or 2h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    wait: Duration,
    #[command(flatten)]
    server: ServerArgs,
}

/// Downloads a file. Prints where it is. Until it is whole and compared with its hash, its bytes are in `NAME.partway-part`,
/// and the same command goes on with them.
pub(crate) async fn get(args: &GetArgs) -> Result<ExitCode, Failure> {
    let interrupted = interruption();
    let mut target = None;
    let outcome = tokio::select! {
        outcome = args.get(&mut target) => outcome,
        () = interrupted.cancelled() => {
            say_what_is_left(target.as_deref());
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    // Where the target or another process stands in the way, the same command does not go on.
    let in_the_way = |error: &Failure| {
        matches!(error.downcast_ref(), Some(Error::Target { .. } | Error::File { .. } | Error::Output(_)))
    };
    if outcome.as_ref().is_err_and(|error| !in_the_way(error)) {
        say_what_is_left(target.as_deref());
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

impl GetArgs {
    /// Sets `target` once it is known.
    async fn get(&self, target: &mut Option<PathBuf>) -> Result<(), Failure> {
        let retry = RetryPolicy { wait: self.wait, ..RetryPolicy::default() };
        let client = self.server.client()?;
        let workspace = self.server.patient_workspace(retry)?;
        let file = workspace.find_file(&self.file).await?;
        if self.output.as_deref() == Some(Path::new("-")) {
            let progress = Progress::new(&file.name, false);
            let download = self.download(&file, retry);
            let outcome = download.to_writer(&client, std::io::stdout(), &|event| progress.show_download(&event)).await;
            progress.end();
            say_if_unverified(&file, outcome?);
            return Ok(());
        }
        let path = target.insert(target_path(self.output.as_deref(), &file.name, &self.file)?);
        self.get_to(&client, &workspace, file, retry, path).await?;
        output::line(path.display())?;
        Ok(())
    }

    /// Downloads the file, and the one that takes its place meanwhile.
    async fn get_to(
        &self,
        client: &Client,
        workspace: &Workspace,
        mut file: FileRow,
        retry: RetryPolicy,
        path: &Path,
    ) -> Result<(), Failure> {
        let mut restarts = 0;
        loop {
            let progress = Progress::new(&file.name, false);
            let download = self.download(&file, retry);
            let outcome = download.to_file(client, path, &|event| progress.show_download(&event)).await;
            progress.end();
            let error = match outcome {
                Ok(downloaded) => {
                    say_if_unverified(&file, downloaded);
                    return Ok(());
                }
                Err(error) => error,
            };
            let is_wrong = matches!(error, Error::WrongBytes { .. });
            if restarts == MAX_RESTARTS || !(is_wrong || matches!(error, Error::Changed { .. })) {
                return Err(error.into());
            }
            let now = workspace.find_file(&self.file).await?;
            if is_wrong && (&now.id, &now.hash) == (&file.id, &file.hash) {
                return Err(format!("{error}; nothing of it was kept, the same command starts anew").into());
            }
            output::say(format_args!("{}: changed on the server; starting anew", file.name));
            file = now;
            restarts += 1;
        }
    }

    fn download(&self, file: &FileRow, retry: RetryPolicy) -> Download {
        Download::of_file(file).concurrency(usize::from(self.concurrency)).overwrite(self.force).retry(retry)
    }
}

/// Where the file goes. A name that the server chose never leads to a place outside of the directory, and none that a listing hides
/// or that a terminal or a command would take for something else, unless the user has written that name: in `asked`, or as
/// the output.
fn target_path(output: Option<&Path>, name: &str, asked: &str) -> Result<PathBuf, Failure> {
    let directory = match output {
        Some(output) if !output.is_dir() && !output.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            return Ok(output.to_owned());
        }
        other => other.unwrap_or(Path::new("")),
    };
    let refuse = |why: &str| Err(format!("the file's name {name:?} {why}; --output PATH gives it another").into());
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return refuse("is none for a file here");
    }
    let is_asked = asked.rsplit('/').next().is_some_and(|last| last.nfc().eq(name.nfc()));
    if !is_asked && name.starts_with('.') {
        return refuse("would hide it here");
    }
    if !is_asked && name.starts_with('-') {
        return refuse("looks like an option");
    }
    if !is_asked && name.chars().any(human::is_obeyed) {
        return refuse("has characters that a terminal obeys");
    }
    Ok(directory.join(name))
}

fn say_if_unverified(file: &FileRow, downloaded: Downloaded) {
    if !downloaded.is_verified {
        let size = downloaded.size_bytes;
        let name = &file.name;
        output::say(format_args!("{name}: {size} bytes, compared with no hash: the server knows no BLAKE3 of it"));
    }
}

fn say_what_is_left(target: Option<&Path>) {
    if let Some(target) = target.filter(|target| Download::has_begun(target)) {
        let part = Download::part_path(target);
        output::say(format_args!("The bytes that arrived are in {}; the same command continues.", part.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_where_it_is_told_and_never_out_of_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let target = |output: Option<&Path>, name: &str| {
            target_path(output, name, "0123456789").map_err(|error| error.to_string())
        };
        assert_eq!(target(None, "ä b"), Ok(PathBuf::from("ä b")));
        assert_eq!(target(Some(path), "f"), Ok(path.join("f")));
        assert_eq!(target(Some(Path::new("new/")), "f"), Ok(PathBuf::from("new/f")));
        assert_eq!(target(Some(&path.join("g")), "f"), Ok(path.join("g")));
        for name in [".bashrc", "-rf", "a\u{1b}[2J", "a\u{202e}gpj.exe"] {
            assert!(target(Some(path), name).unwrap_err().contains("--output"), "{name:?}");
            assert_eq!(target_path(Some(path), name, &format!("x/{name}")).unwrap(), path.join(name));
        }
        // The name as it was typed on a Mac.
        assert!(target_path(None, ".caf\u{e9}", ".cafe\u{301}").is_ok());
        for name in ["", ".", "..", "../f", "/etc/passwd", "a\\b", "a\0"] {
            assert!(target(None, name).unwrap_err().contains("--output"), "{name}");
            assert_eq!(target(Some(Path::new("g")), name), Ok(PathBuf::from("g")));
        }
    }
}
