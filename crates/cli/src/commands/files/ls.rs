//! `partway files ls`

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use partway_client::{FileQuery, FileRow, FileSort, PageMeta};

use crate::remote::ServerArgs;
use crate::table::{Side, print_columns};
use crate::{Failure, human, output};

/// Arguments of `partway files ls`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --all, files that are created or deleted during the listing may be missed or listed twice."
)]
pub(crate) struct LsArgs {
    /// The folder, by path or number; `/` is the root of the workspace. Default: all files of the workspace.
    folder: Option<String>,
    /// Only files whose name contains this text, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only files with this tag; may be given several times, for files with all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only files with this id of your own system.
    #[arg(long, value_name = "ID")]
    custom_id: Option<String>,
    /// Order of the list.
    #[arg(long, default_value = FileSort::default().as_str(), value_parser = sorts())]
    sort: FileSort,
    /// Number of the page, from 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// Files per page.
    #[arg(long, value_name = "N", default_value_t = FileQuery::MAX_LIMIT, value_parser = clap::value_parser!(u32).range(1..=i64::from(FileQuery::MAX_LIMIT)))]
    limit: u32,
    /// List all pages.
    #[arg(long, conflicts_with_all = ["page", "limit"])]
    all: bool,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

fn sorts() -> impl TypedValueParser<Value = FileSort> {
    PossibleValuesParser::new(FileSort::ALL.map(FileSort::as_str)).try_map(|text| text.parse())
}

/// Lists files.
pub(crate) async fn ls(args: &LsArgs) -> Result<ExitCode, Failure> {
    let workspace = args.server.workspace()?;
    let folder_no = match &args.folder {
        Some(folder) => Some(workspace.find_folder(folder).await?.unwrap_or_else(|| FileQuery::ROOT.to_owned())),
        None => None,
    };
    let mut query = FileQuery {
        folder_no,
        search: args.search.clone(),
        path: None,
        file_path: None,
        tags: args.tags.clone(),
        custom_id: args.custom_id.clone(),
        sort: args.sort,
        page: args.page,
        limit: args.limit,
    };
    let mut files = Vec::new();
    loop {
        let list = workspace.list_files(&query).await?;
        match args.json {
            true => list.files.iter().try_for_each(output::json)?,
            false => files.extend(list.files),
        }
        if args.all && list.meta.has_next {
            query.page += 1;
            continue;
        }
        if !args.json {
            print(&files)?;
            if !args.all {
                say_what_is_left(files.len(), &list.meta);
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
}

fn print(files: &[FileRow]) -> std::io::Result<()> {
    let rows: Vec<_> = files
        .iter()
        .map(|file| {
            let (size, created) = (human::size(file.size), human::time(&file.created_at));
            [file.file_no.clone(), size, created, file.mime_type.clone(), file.path.clone()]
        })
        .collect();
    let columns = [
        ("NUMBER", Side::Left),
        ("SIZE", Side::Right),
        ("CREATED (UTC)", Side::Left),
        ("TYPE", Side::Left),
        ("PATH", Side::Left),
    ];
    print_columns(columns, &rows)
}

fn say_what_is_left(shown: usize, meta: &PageMeta) {
    if shown == 0 && meta.has_prev {
        output::say(format_args!("Page {} is after the last one; there are {} files.", meta.page, meta.total));
    } else if meta.has_next || meta.has_prev {
        let first = u64::from(meta.page - 1) * u64::from(meta.limit) + 1;
        let next =
            if meta.has_next { format!("; --page {} shows more, --all all", meta.page + 1) } else { String::new() };
        output::say(format_args!("Files {first} to {} of {}{next}.", first + shown as u64 - 1, meta.total));
    }
}
