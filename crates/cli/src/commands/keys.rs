//! `partway keys create|list|revoke|webhook-secret`

use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use partway_server::Config;
use partway_server::db::api_keys::{self, ApiKey, KeyKind};
use partway_server::db::sessions;
use partway_server::service::key;
use serde_json::json;
use uuid::Uuid;

use super::database::{read, write, write_to_free};
use super::webhook_secret::ShownSecret;
use super::workspace::choose;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

const NO_SUCH_KEY: &str = "there is no such key; `partway keys list` shows the ids";
/// How long a revocation waits for the uploads that it ends. A server begins within about a second.
const ENDING_WAIT: Duration = Duration::from_secs(5);
const ENDING_POLL: Duration = Duration::from_millis(100);

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key. It is shown once.
    Create(CreateArgs),
    /// List all keys, without the keys themselves.
    List(OutputArgs),
    /// Revoke a key: it opens nothing from then on, and what it has opened ends.
    Revoke(RevokeArgs),
    /// Show the secret that signs what is sent to URLs that come with uploads of this key.
    WebhookSecret(WebhookSecretArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What the key may do: `private` everything, `public` only upload.
    #[arg(long)]
    kind: Kind,
    /// Number of the workspace; needed when there are several.
    #[arg(long, value_name = "NO")]
    workspace: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The key's id, as `partway keys list` shows it, or the key itself.
    key: String,
    /// Let the uploads that were begun with the key go on: their part URLs stay good, and another key may complete them.
    #[arg(long)]
    keep_sessions: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookSecretArgs {
    /// The key's id, as `partway keys list` shows it, or the key itself.
    key: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Private,
    Public,
}

/// Runs the command on the database, beside the server if one is running.
pub(crate) fn keys(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Create(args) => create(args),
        KeysCommand::List(args) => list(&args),
        KeysCommand::Revoke(args) => revoke(args),
        KeysCommand::WebhookSecret(args) => webhook_secret(args),
    }
}

fn create(args: CreateArgs) -> Result<(), Failure> {
    let config = args.output.store.config()?;
    let kind = match args.kind {
        Kind::Private => KeyKind::Private,
        Kind::Public => KeyKind::Public,
    };
    let wanted = args.workspace;
    let made = write(&config, move |tx| match choose(tx, wanted.as_deref())? {
        Ok(workspace) => key::create_key(tx, &workspace, kind).map(Ok),
        Err(problem) => Ok(Err(problem)),
    })??;
    let key::NewKey { stored, key } = made;
    if args.output.json {
        let id = stored.id.to_string();
        println!(
            "{}",
            json!({"id": id, "key": key, "kind": stored.kind.as_str(), "workspace_no": stored.workspace_no})
        );
    } else {
        println!("{key}");
        eprintln!("This {} key of workspace {} is shown only now.", stored.kind.as_str(), stored.workspace_no);
    }
    Ok(())
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let keys = read(&args.store.config()?, api_keys::list)?;
    if args.json {
        return Ok(keys.iter().try_for_each(print_json)?);
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let revoked = key.revoked_at.map_or_else(String::new, |at| at.to_iso8601());
            [
                key.id.to_string(),
                key.kind.as_str().to_owned(),
                key.workspace_no.clone(),
                key.created_at.to_iso8601(),
                revoked,
            ]
        })
        .collect();
    table::print(["ID", "KIND", "WORKSPACE", "CREATED", "REVOKED"], &rows)?;
    Ok(())
}

fn revoke(args: RevokeArgs) -> Result<(), Failure> {
    let config = args.output.store.config()?;
    let (wanted, keeps_sessions) = (args.key.clone(), args.keep_sessions);
    let revoked = write_to_free(&config, move |tx| key::revoke_key(tx, &wanted, keeps_sessions))?;
    let key = revoked.ok_or(NO_SUCH_KEY)?;
    let open = match key.keeps_sessions {
        true => read(&config, move |tx| sessions::count_of_key(tx, key.id))?,
        false => wait_for_end_of_sessions(&config, key.id)?,
    };
    if args.output.json {
        let mut shown = shown(&key);
        shown["keeps_sessions"] = key.keeps_sessions.into();
        shown["open_sessions"] = open.into();
        return Ok(output::json(&shown)?);
    }
    output::line(format_args!("Revoked {} key {} of workspace {}.", key.kind.as_str(), key.id, key.workspace_no))?;
    match (key.keeps_sessions, open) {
        (false, 0) => eprintln!("None of its uploads is open."),
        (false, open) => eprintln!(
            "Its part URLs are refused already. {open} of its uploads are still open: a running server ends them, or the next \
             one that is started; with a bucket the store's own URLs are good until then."
        ),
        (true, open) => eprintln!("{open} of its uploads are open and go on, with the URLs they have."),
    }
    if args.keep_sessions && !key.keeps_sessions {
        eprintln!("--keep-sessions changes nothing: the key was revoked without it before.");
    }
    Ok(())
}

/// How many sessions of the key are still open after a running server has had the time to end some thousand.
fn wait_for_end_of_sessions(config: &Config, id: Uuid) -> Result<u64, Failure> {
    let until = Instant::now() + ENDING_WAIT;
    loop {
        let open = read(config, move |tx| sessions::count_of_key(tx, id))?;
        if open == 0 || Instant::now() >= until {
            return Ok(open);
        }
        std::thread::sleep(ENDING_POLL);
    }
}

fn webhook_secret(args: WebhookSecretArgs) -> Result<(), Failure> {
    let wanted = args.key;
    let found = write(&args.output.store.config()?, move |tx| match key::find_key(tx, &wanted)? {
        Some(key) => ShownSecret::of(tx, key.id).map(Some),
        None => Ok(None),
    })?;
    found.ok_or(NO_SUCH_KEY)?.print(args.output.json)
}

fn shown(key: &ApiKey) -> serde_json::Value {
    let revoked_at = key.revoked_at.map(partway_server::db::Timestamp::to_iso8601);
    json!({"id": key.id.to_string(), "kind": key.kind.as_str(), "workspace_no": key.workspace_no,
               "created_at": key.created_at.to_iso8601(), "revoked_at": revoked_at})
}

fn print_json(key: &ApiKey) -> std::io::Result<()> {
    output::json(&shown(key))
}
