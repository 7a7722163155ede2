//! `partway files tag`

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use partway_client::UpdateFileRequest;
use serde_json::{Map, Value};

use super::{NAMING, info};
use crate::Failure;
use crate::remote::{ServerArgs, parse_meta};

/// Arguments of `partway files tag`.
#[derive(Debug, Args)]
#[command(
    after_help = NAMING,
    group(ArgGroup::new("changes").args(["add", "remove", "metadata", "unset"]).required(true).multiple(true))
)]
pub(crate) struct TagArgs {
    /// The file.
    file: String,
    /// Tag to add; may be given several times.
    #[arg(long, value_name = "TAG")]
    add: Vec<String>,
    /// Tag to remove; may be given several times.
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
    /// Member of the metadata to set; may be given several times. The others stay.
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = parse_meta)]
    metadata: Vec<(String, String)>,
    /// Member of the metadata to remove; may be given several times.
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Print the file as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Changes tags and metadata, and shows the file after that.
pub(crate) async fn tag(args: &TagArgs) -> Result<ExitCode, Failure> {
    if let Some(name) = args.unset.iter().find(|name| args.metadata.iter().any(|(set, _)| set == *name)) {
        return Err(format!("--meta sets {name:?} and --unset removes it: give one of them").into());
    }
    let workspace = args.server.workspace()?;
    let file = workspace.find_file(&args.file).await?;
    let changed = workspace.update_file(&file.file_no, &args.request()).await?;
    info::show(&changed, args.json)?;
    Ok(ExitCode::SUCCESS)
}

impl TagArgs {
    fn request(&self) -> UpdateFileRequest {
        let given = |tags: &[String]| Some(tags.to_vec()).filter(|tags| !tags.is_empty());
        let set = self.metadata.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        let unset = self.unset.iter().map(|name| (name.clone(), Value::Null));
        let metadata: Map<_, _> = set.chain(unset).collect();
        UpdateFileRequest {
            add_tags: given(&self.add),
            remove_tags: given(&self.remove),
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        }
    }
}
