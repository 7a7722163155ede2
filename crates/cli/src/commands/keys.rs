//! `partway keys create|list|revoke|webhook-secret`

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use partway_server::db::api_keys::{ApiKey, KeyKind, Permissions};
use partway_server::service::admin::AdminError;
use partway_server::service::key::NewKey;
use serde_json::json;

use super::database::administer;
use super::webhook_secret::print_webhook_secret;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// Upper bound of the wait for the uploads that a revocation ends. A running server starts within about a second, and ends some
/// thousand of them in this time.
const SESSIONS_END_WAIT: Duration = Duration::from_secs(5);

/// `partway keys`
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key. It is shown once.
    Create(CreateArgs),
    /// List all keys, without the keys themselves.
    List(OutputArgs),
    /// Revoke a key: it is refused from then on, and its uploads end.
    Revoke(RevokeArgs),
    /// Show the secret that signs requests to the `webhook_url` of this key's uploads.
    WebhookSecret(WebhookSecretArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Kind of the key: `private` may do everything in its workspace, `public` may only upload.
    #[arg(long)]
    kind: Kind,
    /// Number of the workspace; required when there are several.
    #[arg(long, value_name = "NO")]
    workspace: Option<String>,
    /// Let uploads of a public key replace files that were uploaded with another key.
    #[arg(long)]
    may_replace: bool,
    /// Let uploads of a public key name a `webhook_url`.
    #[arg(long)]
    may_name_webhooks: bool,
    /// Put a random prefix in front of the name of every upload of a public key, so that no name is ever taken.
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
    /// Let uploads that were started with the key continue: their part URLs stay valid, and another key may complete them.
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

impl From<Kind> for KeyKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Private => Self::Private,
            Kind::Public => Self::Public,
        }
    }
}

/// Runs the command on the database, next to the server if one is running.
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
    let (kind, workspace, as_json) = (KeyKind::from(args.kind), args.workspace, args.output.json);
    let show = |new: &NewKey| if as_json { output::json(&with_key(new)) } else { output::line(&new.key) };
    let NewKey { stored, .. } =
        administer(&config, async |admin| admin.keys.create(workspace, kind, permissions, show).await)?;
    if !as_json {
        let (kind, number) = (kind.as_str(), stored.workspace_no);
        output::say(format_args!("This {kind} key of workspace {number} is shown only now."));
    }
    Ok(())
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let keys = administer(&args.store.config()?, async |admin| admin.keys.list().await)?;
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
    let (wanted, keeps_sessions) = (args.key, args.keep_sessions);
    let (key, open) = administer(&args.output.store.config()?, async |admin| {
        let key = admin.keys.revoke(wanted, keeps_sessions).await?;
        let patience = if key.keeps_sessions { Duration::ZERO } else { SESSIONS_END_WAIT };
        let open = admin.keys.open_sessions(key.id, patience).await?;
        Ok::<_, AdminError>((key, open))
    })?;
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
        (false, 0) => output::say("It has no open uploads."),
        (false, open) => output::say(format_args!(
            "Its part URLs are refused already. {open} of its uploads are still open: a running server ends them, or the next \
             one that is started. With a bucket, the store accepts its own presigned URLs until then."
        )),
        (true, open) => output::say(format_args!("Open uploads that continue with their URLs: {open}.")),
    }
    if keeps_sessions && !key.keeps_sessions {
        output::say("--keep-sessions changes nothing: the key was revoked without it before.");
    }
    Ok(())
}

fn webhook_secret(args: WebhookSecretArgs) -> Result<(), Failure> {
    let wanted = args.key;
    let found = administer(&args.output.store.config()?, async |admin| admin.keys.webhook_secret(wanted).await)?;
    print_webhook_secret(found, args.output.json)
}

/// A new key as JSON.
fn with_key(new: &NewKey) -> serde_json::Value {
    let NewKey { stored, key } = new;
    let mut shown = json!({"id": stored.id.to_string(), "key": key, "kind": stored.kind.as_str(),
                           "workspace_no": stored.workspace_no});
    show_permissions(&mut shown, stored);
    shown
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

/// Adds the permissions of a public key.
fn show_permissions(shown: &mut serde_json::Value, key: &ApiKey) {
    if key.kind == KeyKind::Public {
        let Permissions { may_replace, may_name_webhooks, random_prefix } = key.permissions;
        shown["may_replace"] = may_replace.into();
        shown["may_name_webhooks"] = may_name_webhooks.into();
        shown["random_prefix"] = random_prefix.into();
    }
}

/// The permissions, named like the flags that gave them.
fn permissions_of(key: &ApiKey) -> String {
    let Permissions { may_replace, may_name_webhooks, random_prefix } = key.permissions;
    let all =
        [("may-replace", may_replace), ("may-name-webhooks", may_name_webhooks), ("random-prefix", random_prefix)];
    let given: Vec<_> = all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    given.join(",")
}
