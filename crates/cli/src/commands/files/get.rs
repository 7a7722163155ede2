//! `partway files get`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use partway_client::{Client, Download, Downloaded, Error, FileRow, Workspace};
use unicode_normalization::UnicodeNormalization;
use url::Url;

use super::{NAMING, link};
use crate::optional_key::OptionalKey;
use crate::progress::Progress;
use crate::remote::{INTERRUPTED, interruption};
use crate::transfer_args::TransferArgs;
use crate::{Failure, human, output};

/// Upper bound of restarts for a file that changes during its download.
const MAX_RESTARTS: u32 = 5;
/// Why the bytes of a file with a record may have no hash to be compared with.
const NO_HASH: &str = "the server has no BLAKE3 of the file";

/// Arguments of `partway files get`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct GetArgs {
    /// The file, or its URL, which needs no key. By the URL of a version (`version_url`), that version or none.
    file: String,
    /// Target: a file, a directory, or `-` for standard output, which gets one part after the other. Default: the name of the file, in the current directory.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    transfer: TransferArgs,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: OptionalKey,
}

/// Downloads a file and prints its path. Until the file is complete and its hash was compared, its bytes are in
/// `NAME.partway-part`, and the same command resumes with them.
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
    // If the target or another process is in the way, repeating the command does not help.
    let in_the_way = |error: &Failure| {
        matches!(error.downcast_ref(), Some(Error::Target { .. } | Error::File { .. } | Error::Output(_)))
    };
    if outcome.as_ref().is_err_and(|error| !in_the_way(error)) {
        say_what_is_left(target.as_deref());
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

impl GetArgs {
    /// Downloads, and sets `target` once it is known.
    async fn get(&self, target: &mut Option<PathBuf>) -> Result<(), Failure> {
        if let Some(url) = link::parse(&self.file) {
            return self.get_link(&url, target).await;
        }
        let server = self.server.with_key()?;
        let client = server.client()?;
        let workspace = server.workspace_with(self.transfer.options().retry)?;
        let file = workspace.find_file(&self.file).await?;
        if self.is_to_stdout() {
            let downloaded = to_stdout(&client, &self.download(&file), &file.name).await?;
            say_if_unverified(&file.name, downloaded, NO_HASH);
            return Ok(());
        }
        let path = target.insert(target_path(self.output.as_deref(), &file.name, &self.file)?);
        self.get_to(&client, &workspace, file, path).await?;
        output::line(path.display())?;
        Ok(())
    }

    /// Downloads from a URL. A file that is replaced during the download starts again; a version that is no longer there fails.
    async fn get_link(&self, url: &Url, target: &mut Option<PathBuf>) -> Result<(), Failure> {
        const NO_RECORD: &str = "a URL names none";
        let client = self.server.without_key().client_without_key(url)?;
        let name = link::file_name(url);
        let download = Download::of(url.as_str()).overwrite(self.force).options(self.transfer.options());
        if self.is_to_stdout() {
            let outcome = to_stdout(&client, &download, &name).await;
            say_if_unverified(&name, outcome.map_err(|error| link::failure(url, error))?, NO_RECORD);
            return Ok(());
        }
        // A URL is mostly pasted, so its name is not one that the user wrote.
        let path = target.insert(target_path(self.output.as_deref(), &name, "")?);
        let mut restarts = 0;
        let downloaded = loop {
            match to_file(&client, &download, path, &name).await {
                Err(Error::Changed { .. }) if restarts < MAX_RESTARTS => restarts += 1,
                outcome => break outcome.map_err(|error| link::failure(url, error))?,
            }
            output::say(format_args!("{name}: changed on the server; starting again"));
        };
        say_if_unverified(&name, downloaded, NO_RECORD);
        output::line(path.display())?;
        Ok(())
    }

    /// Downloads the file to `path`. If it is replaced during the download, starts again with the new one.
    async fn get_to(
        &self,
        client: &Client,
        workspace: &Workspace,
        mut file: FileRow,
        path: &Path,
    ) -> Result<(), Failure> {
        let mut restarts = 0;
        loop {
            let error = match to_file(client, &self.download(&file), path, &file.name).await {
                Ok(downloaded) => {
                    say_if_unverified(&file.name, downloaded, NO_HASH);
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
                return Err(format!("{error}; no bytes were kept, and the same command starts again").into());
            }
            output::say(format_args!("{}: changed on the server; starting again", file.name));
            file = now;
            restarts += 1;
        }
    }

    fn is_to_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    fn download(&self, file: &FileRow) -> Download {
        Download::of_file(file).overwrite(self.force).options(self.transfer.options())
    }
}

/// Downloads to `path`, with progress.
async fn to_file(client: &Client, download: &Download, path: &Path, name: &str) -> Result<Downloaded, Error> {
    let progress = Progress::new(name, false);
    let outcome = download.to_file(client, path, &|event| progress.show_download(&event)).await;
    progress.end();
    outcome
}

/// Downloads to standard output, with progress.
async fn to_stdout(client: &Client, download: &Download, name: &str) -> Result<Downloaded, Error> {
    let progress = Progress::new(name, false);
    let outcome = download.to_writer(client, std::io::stdout(), &|event| progress.show_download(&event)).await;
    progress.end();
    outcome
}

/// The path of the target. A name from the server never leads out of the directory. It is not a hidden name, and none that a
/// terminal or a command would misread, unless the user wrote that name: in `asked`, or as the output.
fn target_path(output: Option<&Path>, name: &str, asked: &str) -> Result<PathBuf, Failure> {
    let directory = match output {
        Some(output) if !output.is_dir() && !output.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            return Ok(output.to_owned());
        }
        other => other.unwrap_or(Path::new("")),
    };
    let refuse = |why: &str| Err(format!("the file's name {name:?} {why}; --output PATH gives it another").into());
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return refuse("cannot be the name of a file here");
    }
    let is_asked = asked.rsplit('/').next().is_some_and(|last| last.nfc().eq(name.nfc()));
    if !is_asked && name.starts_with('.') {
        return refuse("would hide it here");
    }
    if !is_asked && name.starts_with('-') {
        return refuse("looks like an option");
    }
    if !is_asked && name.chars().any(human::is_obeyed) {
        return refuse("has control characters");
    }
    Ok(directory.join(name))
}

fn say_if_unverified(name: &str, downloaded: Downloaded, why: &str) {
    if !downloaded.is_verified {
        let size = downloaded.size_bytes;
        output::say(format_args!("{name}: {size} bytes, not compared with a hash: {why}"));
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
    fn a_file_goes_to_its_target_and_never_out_of_a_directory() {
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
