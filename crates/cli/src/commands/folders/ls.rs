//! `partway folders ls`

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use partway_client::{Folder, FolderQuery, FolderSort};

use super::NAMING;
use crate::remote::ServerArgs;
use crate::table::{Side, print_columns};
use crate::{Failure, human, output};

/// Arguments of `partway folders ls`.
#[derive(Debug, Args)]
#[command(after_help = NAMING)]
pub(crate) struct LsArgs {
    /// The parent folder. Default: the root of the workspace, or with --search the whole workspace.
    folder: Option<String>,
    /// Only folders whose name contains this text, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Order of the list.
    #[arg(long, default_value = FolderSort::default().as_str(), value_parser = sorts())]
    sort: FolderSort,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

fn sorts() -> impl TypedValueParser<Value = FolderSort> {
    PossibleValuesParser::new(FolderSort::ALL.map(FolderSort::as_str)).try_map(|text| text.parse())
}

fn row(folder: Folder) -> [String; 5] {
    let (files, size) = (folder.total_items.to_string(), human::size(folder.total_size));
    [folder.folder_no, files, size, human::time(&folder.created_at), folder.path]
}

/// Lists folders.
pub(crate) async fn ls(args: &LsArgs) -> Result<ExitCode, Failure> {
    let workspace = args.server.workspace()?;
    let parent_folder_no = match &args.folder {
        Some(folder) => workspace.find_folder(folder).await?,
        None => None,
    };
    let mut query = FolderQuery {
        parent_folder_no,
        search: args.search.clone(),
        path: None,
        sort: args.sort,
        page: 1,
        limit: FolderQuery::MAX_LIMIT,
    };
    let mut rows = Vec::new();
    loop {
        let list = workspace.list_folders(&query).await?;
        match args.json {
            true => list.folders.iter().try_for_each(output::json)?,
            false => rows.extend(list.folders.into_iter().map(row)),
        }
        if !list.meta.has_next {
            break;
        }
        query.page += 1;
    }
    if args.json {
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        ("NUMBER", Side::Left),
        ("FILES", Side::Right),
        ("SIZE", Side::Right),
        ("CREATED (UTC)", Side::Left),
        ("PATH", Side::Left),
    ];
    print_columns(columns, &rows)?;
    Ok(ExitCode::SUCCESS)
}
