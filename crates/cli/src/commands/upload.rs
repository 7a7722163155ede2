//! `partway upload`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use partway_client::{Client, Error, Event, FileRecord, Upload};
use serde_json::{Map, Value};

use crate::Failure;
use crate::progress::Progress;

/// How a shell says that a command ended by Ctrl-C: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The files to upload.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Address of the server.
    #[arg(long, env = "PARTWAY_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// API key.
    #[arg(long, env = "PARTWAY_API_KEY", hide_env_values = true)]
    key: String,
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
    /// Print the file records as JSON, one per line, and no progress.
    #[arg(long)]
    json: bool,
}

fn parse_meta(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

/// Uploads the files, one after the other; what fails does not keep the others from being tried.
pub(crate) fn upload(args: UploadArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(upload_all(&args)));
    outcome.unwrap_or_else(|error| {
        eprintln!("partway: {error}");
        ExitCode::FAILURE
    })
}

async fn upload_all(args: &UploadArgs) -> Result<ExitCode, Failure> {
    let client = Client::new(&args.url, &args.key)?;
    let mut failed = 0;
    for file in &args.files {
        let session = Mutex::new(None);
        let progress = Progress::new(&file_label(file), args.json);
        let on_event = |event: Event<'_>| {
            if let Event::Started { session: started, .. } = &event {
                *session.lock().unwrap_or_else(PoisonError::into_inner) = Some(started.session_id.clone());
            }
            progress.show(&event);
        };
        let uploading = args.of_file(file);
        let outcome = tokio::select! {
            outcome = uploading.send(&client, &on_event) => outcome,
            _ = tokio::signal::ctrl_c() => {
                progress.end();
                say_how_to_go_on(file, session.lock().unwrap_or_else(PoisonError::into_inner).as_deref());
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        progress.end();
        match outcome {
            Ok(record) => print_record(&record, args.json)?,
            Err(error) => {
                failed += 1;
                print_failure(file, &error, session.lock().unwrap_or_else(PoisonError::into_inner).as_deref());
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl UploadArgs {
    fn of_file(&self, file: &Path) -> Upload {
        let metadata: Map<String, Value> =
            self.metadata.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        let mut upload = Upload::of(file)
            .tags(self.tags.clone())
            .metadata(metadata)
            .random_prefix(self.random_prefix)
            .concurrency(usize::from(self.concurrency));
        if let Some(folder) = &self.folder {
            upload = upload.folder(folder);
        }
        if let Some(custom_id) = &self.custom_id {
            upload = upload.custom_id(custom_id);
        }
        upload
    }
}

fn file_label(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn print_record(record: &FileRecord, as_json: bool) -> Result<(), Failure> {
    if as_json {
        println!("{}", serde_json::to_string(record)?);
    } else {
        println!("{}", record.url);
    }
    Ok(())
}

fn print_failure(file: &Path, error: &Error, session: Option<&str>) {
    match error {
        // These name the file themselves.
        Error::File { .. } | Error::Unfit { .. } => eprintln!("partway: not uploaded: {error}"),
        _ => eprintln!("partway: {} was not uploaded: {error}", file.display()),
    }
    if error.is_mendable() {
        say_how_to_go_on(file, session);
    }
}

fn say_how_to_go_on(file: &Path, session: Option<&str>) {
    if let Some(session) = session {
        eprintln!(
            "The parts that arrived stay on the server. To go on: partway upload --resume {session} {}",
            file.display()
        );
    }
}
