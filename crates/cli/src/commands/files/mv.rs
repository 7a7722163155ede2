//! `partway files mv`

use std::process::ExitCode;

use clap::Args;
use partway_client::RenameFileRequest;

use super::NAMING;
use crate::remote::ServerArgs;
use crate::{Failure, human, output};

/// Arguments of `partway files mv`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct MvArgs {
    /// The file.
    file: String,
    /// The new name, which keeps the folder; the new path; or a folder with a slash at the end, which keeps the name. `/` is the
    /// root of the workspace. Missing folders are created. The file keeps its extension.
    #[arg(value_parser = parse_destination)]
    new: Destination,
    /// Print the file as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// The destination of a file. A part that is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Destination {
    folder: Option<String>,
    name: Option<String>,
}

fn parse_destination(text: &str) -> Result<Destination, String> {
    let (folder, name) = match text.rsplit_once('/') {
        Some((folder, name)) => (Some(folder.to_owned()), name),
        None => (None, text),
    };
    match (&folder, name) {
        (None, "") => Err("must be a name or a path".to_owned()),
        _ => Ok(Destination { folder, name: Some(name.to_owned()).filter(|name| !name.is_empty()) }),
    }
}

/// Renames or moves a file. Prints its path.
pub(crate) async fn mv(args: &MvArgs) -> Result<ExitCode, Failure> {
    let workspace = args.server.workspace()?;
    let file = workspace.find_file(&args.file).await?;
    let Destination { folder, name } = args.new.clone();
    let moved = workspace.rename_file(&file.file_no, &RenameFileRequest { name, folder }).await?;
    match args.json {
        true => output::json(&moved)?,
        false => output::line(human::plain(&moved.path))?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_name_a_path_or_a_folder() {
        for (text, folder, name) in [
            ("b.mp4", None, Some("b.mp4")),
            ("x/y/b.mp4", Some("x/y"), Some("b.mp4")),
            ("/b.mp4", Some(""), Some("b.mp4")),
            ("x/y/", Some("x/y"), None),
            ("/", Some(""), None),
        ] {
            let expected = Destination { folder: folder.map(str::to_owned), name: name.map(str::to_owned) };
            assert_eq!(parse_destination(text), Ok(expected), "{text}");
        }
        assert!(parse_destination("").is_err());
    }
}
