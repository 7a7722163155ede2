//! `partway webhooks add|list|remove|secret|dead|replay`

use clap::{Args, Subcommand, ValueEnum};
use partway_server::Config;
use partway_server::db::deliveries::{self, WebhookState};
use partway_server::db::webhooks::{self, Webhook};
use partway_server::input::WebhookUrl;
use partway_server::outgoing::{Outgoing, Reachability, origin_of};
use partway_server::service::event::EventKind;
use partway_server::service::webhook::{self, Signer};
use serde_json::json;
use uuid::Uuid;

use super::database::{read, write, write_to_free};
use super::webhook_secret::ShownSecret;
use super::workspace::choose;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// What can be done with webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Have events of a workspace sent to a URL. Prints the secret that signs them.
    Add(AddArgs),
    /// List all webhooks: how many events wait for each and why they do, were given up, and were forgotten because too many of these
    /// were kept.
    List(OutputArgs),
    /// Remove a webhook, and what it was still to be sent.
    Remove(RemoveArgs),
    /// Show the secret of a webhook; after a rotation, with the one before it. `partway keys webhook-secret` shows those of URLs
    /// that come with uploads.
    Secret(SecretArgs),
    /// List the events that were given up.
    Dead(OutputArgs),
    /// Send events again that were given up: all, those of one webhook, or one.
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Where to send them.
    url: String,
    /// An event; may be given several times. All, if none is.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<Event>,
    /// Number of the workspace; needed when there are several.
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
    /// The webhook's id. Without it: the workspace's secret, which signed what went to URLs that came with uploads before those
    /// had a secret for each key.
    id: Option<Uuid>,
    /// Number of the workspace; needed when there are several.
    #[arg(long, value_name = "NO", conflicts_with = "id")]
    workspace: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Id of a webhook, of an event, or of one delivery, as `partway webhooks dead` shows it. All, if none is given.
    id: Option<Uuid>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command on the database, beside the server if one is running.
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

/// Whether the server will call the URL.
fn examine(config: &Config, url: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let origin = origin_of(url);
    match runtime.block_on(async { Outgoing::new(config)?.examine(url).await.map_err(Failure::from) })? {
        Reachability::Open => Ok(()),
        Reachability::Forbidden => Err(format!(
            "{origin} is not globally reachable, or of this server's own network: the server would never call it; name its \
             host or network in outgoing.allowed_hosts, then add it again"
        )
        .into()),
        Reachability::NoSuchName | Reachability::Unknown => {
            output::say(format_args!(
                "partway: warning: {origin} is not found by its name. It is called once the name leads to an address that is \
                 globally reachable, or that outgoing.allowed_hosts names."
            ));
            Ok(())
        }
    }
}

fn add(args: AddArgs) -> Result<(), Failure> {
    let url = WebhookUrl::parse(&args.url)?.into_inner();
    let config = args.output.store.config()?;
    examine(&config, &url)?;
    let kinds: Vec<EventKind> = match args.events.is_empty() {
        true => EventKind::ALL.to_vec(),
        false => args.events.iter().map(|event| event.kind()).collect(),
    };
    let wanted = args.workspace;
    let drawn = write(&config, move |tx| match choose(tx, wanted.as_deref())? {
        Ok(workspace) => {
            let webhook = webhook::draw(workspace.id, url, &kinds);
            let secret = Signer::open(tx)?.secret(webhook.id);
            Ok(Ok((webhook, secret)))
        }
        Err(problem) => Ok(Err(problem)),
    })??;
    let (webhook, secret) = drawn;
    // First the secret is shown, then the webhook is stored: none is told anything that nobody can verify.
    let printed = if args.output.json {
        let Webhook { id, url, events, .. } = &webhook;
        output::json(&json!({"id": id.to_string(), "url": url, "events": events, "secret": secret}))
    } else {
        output::line(secret)
    };
    output::needed(printed, "no webhook was added, because its secret could not be shown")?;
    let added =
        format!("Webhook {} gets {}; the secret verifies what it is sent.", webhook.id, webhook.events.join(", "));
    write(&config, move |tx| webhooks::insert(tx, &webhook)).map_err(|error| {
        let error = partway_server::error_chain(&*error);
        format!("the secret that was shown is good for nothing, because the webhook could not be stored: {error}")
    })?;
    if !args.output.json {
        output::say(added);
    }
    Ok(())
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let (webhooks, states, forgotten_of_uploads) = read(&args.store.config()?, |tx| {
        Ok((webhooks::list_all(tx)?, deliveries::states_by_webhook(tx)?, deliveries::forgotten_of_uploads(tx)?))
    })?;
    let state_of =
        |id| states.iter().find(|state| state.webhook_id == id).cloned().unwrap_or_else(|| WebhookState::quiet(id));
    if args.json {
        for Webhook { id, workspace_id, url, events, created_at, events_forgotten } in &webhooks {
            let WebhookState { waiting, dead, last_error, .. } = state_of(Some(*id));
            output::json(
                &json!({"id": id.to_string(), "workspace_id": workspace_id.to_string(), "url": url, "events": events,
                       "created_at": created_at.to_iso8601(), "waiting": waiting, "dead": dead,
                       "forgotten": events_forgotten, "last_error": last_error}),
            )?;
        }
        return Ok(());
    }
    let row = |id: String, url: String, events: String, state: WebhookState, forgotten: u64| {
        let error = state.last_error.unwrap_or_else(|| "-".to_owned());
        [id, url, events, state.waiting.to_string(), state.dead.to_string(), forgotten.to_string(), error]
    };
    let mut rows: Vec<_> = webhooks
        .iter()
        .map(|webhook| {
            let state = state_of(Some(webhook.id));
            let (id, events) = (webhook.id.to_string(), webhook.events.join(","));
            row(id, webhook.url.clone(), events, state, webhook.events_forgotten)
        })
        .collect();
    let of_uploads = state_of(None);
    if of_uploads.waiting + of_uploads.dead + forgotten_of_uploads > 0 {
        rows.push(row("-".into(), "(named by uploads)".into(), "-".into(), of_uploads, forgotten_of_uploads));
    }
    Ok(table::print(["ID", "URL", "EVENTS", "WAITING", "DEAD", "FORGOTTEN", "LAST ERROR"], &rows)?)
}

fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let id = args.id;
    if !write_to_free(&args.output.store.config()?, move |tx| webhooks::delete(tx, id))? {
        return Err(unknown(id));
    }
    let printed = if args.output.json {
        output::json(&json!({"id": id.to_string(), "removed": true}))
    } else {
        output::line(format_args!("Removed webhook {id}."))
    };
    output::needed(printed, format_args!("webhook {id} was removed, but this could not be shown"))
}

fn unknown(id: Uuid) -> Failure {
    format!("there is no webhook {id}; `partway webhooks list` shows the ids").into()
}

fn secret(args: SecretArgs) -> Result<(), Failure> {
    let (id, wanted) = (args.id, args.workspace);
    let found = write(&args.output.store.config()?, move |tx| {
        let of = match id {
            Some(id) => webhooks::find(tx, id)?.map(|webhook| webhook.id).ok_or_else(|| unknown(id).to_string()),
            None => choose(tx, wanted.as_deref())?.map(|workspace| workspace.id),
        };
        match of {
            Ok(of) => ShownSecret::of(tx, of).map(Ok),
            Err(problem) => Ok(Err(problem)),
        }
    })??;
    found.print(args.output.json)
}

fn dead(args: &OutputArgs) -> Result<(), Failure> {
    let dead = read(&args.store.config()?, deliveries::list_dead)?;
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
    Ok(table::print(["ID", "EVENT", "HAPPENED", "URL", "LAST ERROR"], &rows)?)
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let id = args.id;
    let replayed = write(&args.output.store.config()?, move |tx| deliveries::replay(tx, id))?;
    let printed = if args.output.json {
        output::json(&json!({"replayed": replayed}))
    } else {
        output::line(format_args!("{replayed} events are sent again by the running server."))
    };
    output::needed(printed, format_args!("{replayed} events are sent again, but this could not be shown"))
}
