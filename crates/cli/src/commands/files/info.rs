//! `partway files info`

use std::process::ExitCode;

use clap::Args;
use partway_client::FileRow;
use serde_json::Value;

use super::NAMING;
use crate::remote::ServerArgs;
use crate::{Failure, human, output};

/// Arguments of `partway files info`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct InfoArgs {
    /// The file.
    file: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows a file.
pub(crate) async fn info(args: &InfoArgs) -> Result<ExitCode, Failure> {
    let file = args.server.workspace()?.find_file(&args.file).await?;
    show(&file, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints all properties of a file.
pub(super) fn show(file: &FileRow, as_json: bool) -> std::io::Result<()> {
    if as_json {
        return output::json(file);
    }
    facts(file).into_iter().try_for_each(|(name, value)| output::line(format!("{name:10} {}", human::plain(&value))))
}

fn facts(file: &FileRow) -> Vec<(&'static str, String)> {
    let declared = match &file.declared_type {
        Some(declared) if *declared != file.mime_type => format!(" (declared as {declared})"),
        _ => String::new(),
    };
    let mut facts = vec![
        ("path", file.path.clone()),
        ("number", file.file_no.clone()),
        ("url", file.url.clone()),
        ("size", format!("{} ({} bytes)", human::size(file.size), file.size)),
        ("type", format!("{}{declared}", file.mime_type)),
    ];
    if let (Some(width), Some(height)) = (file.width, file.height) {
        facts.push(("dimensions", format!("{width} x {height}")));
    }
    if !file.version_url.is_empty() {
        facts.push(("version", file.version_url.clone()));
    }
    facts.extend(file.hash.clone().map(|hash| ("hash", hash)));
    facts.extend(file.custom_id.clone().map(|id| ("custom id", id)));
    if !file.tags.is_empty() {
        facts.push(("tags", file.tags.join(", ")));
    }
    for (name, value) in file.metadata.iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        facts.push(("metadata", format!("{name} = {value}")));
    }
    facts.extend(file.folder_no.clone().map(|number| ("folder no", number)));
    facts.push(("source", file.source.clone()));
    facts.push(("created", format!("{} UTC", human::time(&file.created_at))));
    facts.push(("updated", format!("{} UTC", human::time(&file.updated_at))));
    facts.push(("id", file.id.clone()));
    facts
}
