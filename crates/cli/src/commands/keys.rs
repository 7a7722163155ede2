//! `partway keys create|list|revoke`

use clap::{Args, Subcommand, ValueEnum};
use partway_server::db::api_keys::{self, ApiKey, KeyKind};
use partway_server::service::key;
use serde_json::json;

use super::database::{read, write, write_to_free};
use super::workspace::choose;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key. It is shown once.
    Create(CreateArgs),
    /// List all keys, without the keys themselves.
    List(OutputArgs),
    /// Revoke a key; it opens nothing from then on.
    Revoke(RevokeArgs),
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
    let wanted = args.key.clone();
    let revoked = write_to_free(&config, move |tx| key::revoke_key(tx, &wanted))?;
    let key = revoked.ok_or("there is no such key; `partway keys list` shows the ids")?;
    if args.output.json {
        print_json(&key)?;
    } else {
        println!("Revoked {} key {} of workspace {}.", key.kind.as_str(), key.id, key.workspace_no);
    }
    Ok(())
}

fn print_json(key: &ApiKey) -> std::io::Result<()> {
    let revoked_at = key.revoked_at.map(partway_server::db::Timestamp::to_iso8601);
    output::json(&json!({"id": key.id.to_string(), "kind": key.kind.as_str(), "workspace_no": key.workspace_no,
               "created_at": key.created_at.to_iso8601(), "revoked_at": revoked_at}))
}
