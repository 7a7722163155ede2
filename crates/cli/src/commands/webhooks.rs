//! `partway webhooks add|list|remove|secret|dead|replay`

use clap::{Args, Subcommand, ValueEnum};
use partway_server::Config;
use partway_server::db::webhook_deliveries::WebhookState;
use partway_server::db::webhooks::Webhook;
use partway_server::input::WebhookUrl;
use partway_server::outgoing::{Outgoing, Reachability, origin_of};
use partway_server::service::event::EventKind;
use partway_server::service::webhook::{ListedWebhook, NewWebhook, WebhookList};
use serde_json::json;
use uuid::Uuid;

use super::database::administer;
use super::webhook_secret::print_webhook_secret;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// `partway webhooks`
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Add a webhook: the server sends events of a workspace to its URL. Prints the secret that signs them.
    Add(AddArgs),
    /// List all webhooks, with the number of events that are queued, were given up, or were forgotten because too many were given
    /// up.
    List(OutputArgs),
    /// Remove a webhook and its queued events.
    Remove(RemoveArgs),
    /// Show the secret of a webhook, and after a rotation the previous one. For the `webhook_url` of an upload, use `partway keys
    /// webhook-secret`.
    Secret(SecretArgs),
    /// List the events that were given up after all retries.
    Dead(OutputArgs),
    /// Send events again that were given up: all of them, those of one webhook, or one.
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// URL that receives the events.
    url: String,
    /// An event to send; may be given several times. Default: all.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<Event>,
    /// Number of the workspace; required when there are several.
    #[arg(long, value_name = "NO")]
    workspace: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Event {
    #[value(name = "file.created")]
    FileCreated,
    #[value(name = "file.replaced")]
    FileReplaced,
    #[value(name = "file.deleted")]
    FileDeleted,
    #[value(name = "upload.expired")]
    UploadExpired,
}

impl Event {
    fn kind(self) -> EventKind {
        match self {
            Self::FileCreated => EventKind::FileCreated,
            Self::FileReplaced => EventKind::FileReplaced,
            Self::FileDeleted => EventKind::FileDeleted,
            Self::UploadExpired => EventKind::UploadExpired,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The webhook's id, as `partway webhooks list` shows it.
    id: Uuid,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// The webhook's id. Default: the secret of the workspace, which signed requests to the `webhook_url` of uploads before each
    /// key had a secret.
    id: Option<Uuid>,
    /// Number of the workspace; required when there are several.
    #[arg(long, value_name = "NO", conflicts_with = "id")]
    workspace: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Id of a webhook, of an event, or of one delivery as `partway webhooks dead` shows it. Default: all.
    id: Option<Uuid>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command on the database, next to the server if one is running.
pub(crate) fn webhooks(command: WebhooksCommand) -> Result<(), Failure> {
    match command {
        WebhooksCommand::Add(args) => add(args),
        WebhooksCommand::List(args) => list(&args),
        WebhooksCommand::Remove(args) => remove(&args),
        WebhooksCommand::Secret(args) => secret(args),
        WebhooksCommand::Dead(args) => dead(&args),
        WebhooksCommand::Replay(args) => replay(&args),
    }
}

/// Refuses a URL that the server would never call.
fn examine(config: &Config, url: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let origin = origin_of(url);
    match runtime.block_on(async { Outgoing::new(config)?.examine(url).await.map_err(Failure::from) })? {
        Reachability::Open => Ok(()),
        Reachability::Forbidden => Err(format!(
            "{origin} is not globally reachable, or is in this server's own network, so the server would never call it; add its \
             host or network to outgoing.allowed_hosts, then add the webhook again"
        )
        .into()),
        Reachability::NoSuchName | Reachability::Unknown => {
            output::say(format_args!(
                "partway: warning: the name of {origin} was not found. Events are sent once it resolves to an address that is \
                 globally reachable or that outgoing.allowed_hosts names."
            ));
            Ok(())
        }
    }
}

fn add(args: AddArgs) -> Result<(), Failure> {
    let url = WebhookUrl::parse(&args.url)?;
    let (config, as_json) = (args.output.store.config()?, args.output.json);
    examine(&config, url.as_str())?;
    let kinds: Vec<EventKind> = match args.events.is_empty() {
        true => EventKind::ALL.to_vec(),
        false => args.events.iter().map(|event| event.kind()).collect(),
    };
    let show = |NewWebhook { stored, secret }: &NewWebhook| {
        if !as_json {
            return output::line(secret);
        }
        let Webhook { id, url, events, .. } = stored;
        output::json(&json!({"id": id.to_string(), "url": url, "events": events, "secret": secret}))
    };
    let NewWebhook { stored, .. } =
        administer(&config, async |admin| admin.webhooks.add(args.workspace, url, kinds, show).await)?;
    if !as_json {
        let (id, events) = (stored.id, stored.events.join(", "));
        output::say(format_args!("Webhook {id} receives {events}. The secret above verifies its requests."));
    }
    Ok(())
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let WebhookList { webhooks, of_uploads, forgotten_of_uploads } =
        administer(&args.store.config()?, async |admin| admin.webhooks.list().await)?;
    if args.json {
        return Ok(webhooks.iter().try_for_each(print_json)?);
    }
    let row = |id: String, url: String, events: String, state: WebhookState, forgotten: u64| {
        let error = state.last_error.unwrap_or_else(|| "-".to_owned());
        [id, url, events, state.waiting.to_string(), state.dead.to_string(), forgotten.to_string(), error]
    };
    let mut rows: Vec<_> = webhooks
        .into_iter()
        .map(|ListedWebhook { webhook, state }| {
            row(webhook.id.to_string(), webhook.url, webhook.events.join(","), state, webhook.events_forgotten)
        })
        .collect();
    if of_uploads.waiting + of_uploads.dead + forgotten_of_uploads > 0 {
        rows.push(row("-".into(), "(named by uploads)".into(), "-".into(), of_uploads, forgotten_of_uploads));
    }
    Ok(table::print(["ID", "URL", "EVENTS", "WAITING", "DEAD", "FORGOTTEN", "LAST ERROR"], &rows)?)
}

fn print_json(listed: &ListedWebhook) -> std::io::Result<()> {
    let Webhook { id, workspace_id, url, events, created_at, events_forgotten } = &listed.webhook;
    let WebhookState { waiting, dead, last_error, .. } = &listed.state;
    output::json(&json!({"id": id.to_string(), "workspace_id": workspace_id.to_string(), "url": url, "events": events,
               "created_at": created_at.to_iso8601(), "waiting": waiting, "dead": dead,
               "forgotten": events_forgotten, "last_error": last_error}))
}

fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let id = args.id;
    administer(&args.output.store.config()?, async |admin| admin.webhooks.remove(id).await)?;
    let printed = if args.output.json {
        output::json(&json!({"id": id.to_string(), "removed": true}))
    } else {
        output::line(format_args!("Removed webhook {id}."))
    };
    output::needed(printed, format_args!("webhook {id} was removed, but this could not be shown"))
}

fn secret(args: SecretArgs) -> Result<(), Failure> {
    let (id, workspace) = (args.id, args.workspace);
    let found = administer(&args.output.store.config()?, async |admin| match id {
        Some(id) => admin.webhooks.secret(id).await,
        None => admin.webhooks.secret_of_workspace(workspace).await,
    })?;
    print_webhook_secret(found, args.output.json)
}

fn dead(args: &OutputArgs) -> Result<(), Failure> {
    let dead = administer(&args.store.config()?, async |admin| admin.webhooks.list_dead().await)?;
    if args.json {
        for delivery in dead {
            output::json(&json!({"id": delivery.id.to_string(), "event_id": delivery.event_id.to_string(),
                "event": delivery.event, "url": delivery.url, "created_at": delivery.created_at.to_iso8601(),
                "attempts": delivery.attempts, "last_error": delivery.last_error}))?;
        }
        return Ok(());
    }
    let rows: Vec<_> = dead
        .into_iter()
        .map(|delivery| {
            let error = delivery.last_error.unwrap_or_default();
            [delivery.id.to_string(), delivery.event, delivery.created_at.to_iso8601(), delivery.url, error]
        })
        .collect();
    Ok(table::print(["ID", "EVENT", "CREATED", "URL", "LAST ERROR"], &rows)?)
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let id = args.id;
    let replayed = administer(&args.output.store.config()?, async |admin| admin.webhooks.replay(id).await)?;
    let printed = if args.output.json {
        output::json(&json!({"replayed": replayed}))
    } else {
        output::line(format_args!("{replayed} events are sent again by the running server."))
    };
    output::needed(printed, format_args!("{replayed} events are sent again, but this could not be shown"))
}
