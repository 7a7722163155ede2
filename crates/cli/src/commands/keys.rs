//! `partway keys create|list|revoke|webhook-secret`

use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use partway_server::Config;
use partway_server::db::api_keys::{self, ApiKey, KeyKind, Permissions};
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
    /// Public keys: uploads may replace files that were made with another key.
    #[arg(long)]
    may_replace: bool,
    /// Public keys: uploads may name a `webhook_url`.
    #[arg(long)]
    may_name_webhooks: bool,
    /// Public keys: every upload gets a random prefix, so that no name is ever taken.
    #[arg(long)]
    random_prefix: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl CreateArgs {
    /// Permissions of the key beyond its kind; a private key may do everything.
    fn permissions(&self) -> Result<Permissions, String> {
        let Self { may_replace, may_name_webhooks, random_prefix, .. } = *self;
        let flags = [
            ("--may-replace", may_replace),
            ("--may-name-webhooks", may_name_webhooks),
            ("--random-prefix", random_prefix),
        ];
        match (self.kind, flags.iter().find(|(_, given)| *given)) {
            (Kind::Private, Some((flag, _))) => Err(format!(
                "{flag} is given for a private key; allowed: with --kind public (a private key may do everything)"
            )),
            _ => Ok(Permissions { may_replace, may_name_webhooks, random_prefix }),
        }
    }
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
    let permissions = args.permissions()?;
    let config = args.output.store.config()?;
    let (kind, wanted) = (args.kind, args.workspace);
    let drawn = write(&config, move |tx| match choose(tx, wanted.as_deref())? {
        Ok(workspace) => {
            let kind = match kind {
                Kind::Private => KeyKind::Private,
                Kind::Public => KeyKind::Public,
            };
            Ok(Ok(key::draw_key(tx, &workspace, kind, permissions)?))
        }
        Err(problem) => Ok(Err(problem)),
    })??;
    // First it is shown, then stored: there is never a key that nobody has seen.
    let key::NewKey { stored, key } = &drawn;
    let printed = if args.output.json {
        let mut shown = json!({"id": stored.id.to_string(), "key": key, "kind": stored.kind.as_str(),
                               "workspace_no": stored.workspace_no});
        show_permissions(&mut shown, stored);
        output::json(&shown)
    } else {
        output::line(key)
    };
    output::needed(printed, "no key was made, because it could not be shown")?;
    let (kind, number) = (stored.kind.as_str(), stored.workspace_no.clone());
    write(&config, move |tx| key::store_key(tx, &drawn)).map_err(|error| {
        format!(
            "the key that was shown opens nothing, because it could not be stored: {}",
            partway_server::error_chain(&*error)
        )
    })?;
    if !args.output.json {
        output::say(format_args!("This {kind} key of workspace {number} is shown only now."));
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
                permissions_of(key),
            ]
        })
        .collect();
    table::print(["ID", "KIND", "WORKSPACE", "CREATED", "REVOKED", "PERMISSIONS"], &rows)?;
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
    let unsaid = format!("key {} was revoked, but this could not be shown", key.id);
    if args.output.json {
        let mut shown = shown(&key);
        shown["keeps_sessions"] = key.keeps_sessions.into();
        shown["open_sessions"] = open.into();
        return output::needed(output::json(&shown), unsaid);
    }
    let printed =
        output::line(format_args!("Revoked {} key {} of workspace {}.", key.kind.as_str(), key.id, key.workspace_no));
    output::needed(printed, unsaid)?;
    match (key.keeps_sessions, open) {
        (false, 0) => output::say("None of its uploads is open."),
        (false, open) => output::say(format_args!(
            "Its part URLs are refused already. {open} of its uploads are still open: a running server ends them, or the next \
             one that is started; with a bucket the store's own URLs are good until then."
        )),
        (true, open) => output::say(format_args!("Open uploads that go on with their URLs: {open}.")),
    }
    if args.keep_sessions && !key.keeps_sessions {
        output::say("--keep-sessions changes nothing: the key was revoked without it before.");
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
    let mut shown = json!({"id": key.id.to_string(), "kind": key.kind.as_str(), "workspace_no": key.workspace_no,
               "created_at": key.created_at.to_iso8601(), "revoked_at": revoked_at});
    show_permissions(&mut shown, key);
    shown
}

fn print_json(key: &ApiKey) -> std::io::Result<()> {
    output::json(&shown(key))
}

/// Adds what a public key may do beyond its uploads.
fn show_permissions(shown: &mut serde_json::Value, key: &ApiKey) {
    if key.kind == KeyKind::Public {
        let Permissions { may_replace, may_name_webhooks, random_prefix } = key.permissions;
        shown["may_replace"] = may_replace.into();
        shown["may_name_webhooks"] = may_name_webhooks.into();
        shown["random_prefix"] = random_prefix.into();
    }
}

/// The same as the flags that gave them, without the hyphens in front.
fn permissions_of(key: &ApiKey) -> String {
    let Permissions { may_replace, may_name_webhooks, random_prefix } = key.permissions;
    let all =
        [("may-replace", may_replace), ("may-name-webhooks", may_name_webhooks), ("random-prefix", random_prefix)];
    let given: Vec<_> = all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    given.join(",")
}
