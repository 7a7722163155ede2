//! Tells webhooks what happened: takes events from the outbox and sends them.
//!
//! Invariant: an event leaves the outbox only when its receiver has answered 2xx, so it is told at least once; the same
//! event has the same `webhook-id` every time. Of what happens to one file each receiver is told in order: the next event
//! waits until the one before it is told or given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Lease;
use crate::config::WebhookSettings;
use crate::db::deliveries::{self, Delivery};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, behind};
use crate::failpoint;
use crate::outgoing::{ForbiddenUrl, Outgoing, is_blocked, origin_of};
use crate::service::webhook::Signer;

/// Looked for at least this often: events of other nodes do not ring here.
const INTERVAL: Duration = Duration::from_secs(2);
/// When something is due and cannot be sent.
const BLOCKED_WAIT: Duration = Duration::from_millis(500);
/// After a failure of the database.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const LONGEST_PAUSE_SECONDS: u64 = 6 * 60 * 60;
/// Events that are being sent at once, and those of them to one host: a slow receiver does not keep the others waiting.
const AT_ONCE: usize = 64;
const AT_ONCE_TO_ONE: usize = 8;
/// Why nothing is sent to a host.
const NOT_REACHABLE: &str = "its host has no address that is globally reachable and outside of the server's own network; \
                             outgoing.allowed_hosts does not name it";
/// Much of a reason that is worth keeping.
const MAX_ERROR_CHARS: usize = 300;

/// Tells the webhooks of one server's workspaces.
pub struct Messenger {
    /// Says whether it is this node that tells: order needs one that sends.
    pub lease: Lease,
    /// The outbox.
    pub db: Db,
    /// Sends.
    pub outgoing: Outgoing,
    /// Signs.
    pub signer: Signer,
    /// Rings when there may be something to tell.
    pub bell: Arc<Notify>,
    /// How patiently.
    pub settings: WebhookSettings,
}

/// What is being sent.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<Uuid>,
    /// Each with its receiver.
    deliveries: HashMap<Uuid, String>,
    /// The URL looked at last: all get their turn, however many there are.
    last_url: String,
}

impl Sending {
    fn ended(&mut self, sent: Result<Uuid, tokio::task::JoinError>) {
        match sent {
            Ok(id) => drop(self.deliveries.remove(&id)),
            // Which one it was is not known; all that are due are looked at again.
            Err(error) => {
                tracing::error!(%error, "telling a webhook ended badly");
                *self = Self::default();
            }
        }
    }
}

/// Who is behind a URL: its host and port.
fn receiver(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    host.unwrap_or_else(|| url.to_owned())
}

/// Behind all URLs with this one's scheme, host and port, in the order of their texts.
fn behind_receiver(url: &str) -> String {
    let slash = url.find("://").and_then(|at| Some(at + 3 + url[at + 3..].find('/')?));
    slash.map_or_else(|| url.to_owned(), |slash| behind(&url[..=slash]))
}

impl Messenger {
    /// Runs until `stop`. What is being sent then is sent again by whoever comes next.
    pub async fn run(self, stop: CancellationToken) {
        let messenger = Arc::new(self);
        let mut sending = Sending::default();
        loop {
            let pause = match messenger.send_due(&mut sending).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = %crate::error::chain(&error), "webhooks cannot be told; trying again soon");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = messenger.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(sent) = sending.tasks.join_next() => sending.ended(sent),
            }
            while let Some(sent) = sending.tasks.try_join_next() {
                sending.ended(sent);
            }
        }
        messenger.lease.give_up().await;
    }

    /// Starts sending what is due. Says how long to wait for what is due next.
    async fn send_due(self: &Arc<Self>, sending: &mut Sending) -> Result<Duration, DbError> {
        let Some(next) = self.db.read(deliveries::next_due).await? else { return Ok(INTERVAL) };
        if !self.lease.take().await? {
            return Ok(INTERVAL);
        }
        let (last_url, under_way) = (sending.last_url.clone(), sending.deliveries.clone());
        let (due, last_url) = self.db.read(move |tx| list_due(tx, last_url, &under_way)).await?;
        sending.last_url = last_url;
        let has_started = !due.is_empty();
        for delivery in due {
            sending.deliveries.insert(delivery.id, receiver(&delivery.url));
            let messenger = Arc::clone(self);
            sending.tasks.spawn(async move {
                let id = delivery.id;
                messenger.deliver(delivery).await;
                id
            });
        }
        if has_started && sending.deliveries.len() < AT_ONCE {
            // There may be more: those of the URLs behind the last one.
            return Ok(Duration::ZERO);
        }
        if !sending.deliveries.is_empty() {
            // What is on its way is due, too, and wakes by itself when it has arrived.
            return Ok(INTERVAL);
        }
        let left_ms = next.unix_milliseconds().saturating_sub(Timestamp::now().unix_milliseconds());
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or_default());
        // Something that is due and yet was not sent waits for what is before it.
        Ok(if left.is_zero() { BLOCKED_WAIT } else { left.min(INTERVAL) })
    }

    /// Sends one event, and notes what became of it.
    async fn deliver(&self, delivery: Delivery) {
        let id = delivery.id;
        failpoint::pass("webhook.before_send");
        let noted = match self.send(&delivery).await {
            Ok(()) => {
                failpoint::pass("webhook.after_send");
                self.db.write_to_free(Durability::Process, move |tx| deliveries::delete(tx, id)).await
            }
            Err(problem) => {
                let pause = pause_seconds(&self.settings, delivery.attempts + 1);
                let (receiver, event) = (origin_of(&delivery.url), &delivery.event);
                tracing::warn!(delivery_id = %id, receiver, event, problem, again_in_seconds = pause, "a webhook was not told");
                let problem: String = problem.chars().take(MAX_ERROR_CHARS).collect();
                self.db.write(Durability::Process, move |tx| deliveries::put_off(tx, &delivery, &problem, pause)).await
            }
        };
        failpoint::pass("webhook.after_note");
        if let Err(error) = noted {
            tracing::error!(delivery_id = %id, error = %crate::error::chain(&error), "what became of an event is not noted: it is sent again");
            // Not at once: for as long as this is under way it is not.
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), String> {
        let url = self.outgoing.check(&delivery.url).await.map_err(|error| match error {
            ForbiddenUrl::Host => NOT_REACHABLE.to_owned(),
            error => format!("the URL is {error}"),
        })?;
        let (message_id, timestamp) = (delivery.event_id.to_string(), Timestamp::now().unix_seconds());
        let signature = self.signer.sign(delivery.signer_id(), &message_id, timestamp, &delivery.payload);
        let request = self
            .outgoing
            .request(Method::POST, url)
            .header("content-type", "application/json")
            .header("webhook-id", message_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature.map_err(|error| error.to_string())?)
            .body(delivery.payload.clone());
        let sent = tokio::time::timeout(self.settings.timeout.0, request.send());
        match sent.await {
            Err(_) => Err(format!("no answer within {} s", self.settings.timeout.0.as_secs())),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("it answers {}", response.status())),
            Ok(Err(error)) if is_blocked(&error) => Err(NOT_REACHABLE.to_owned()),
            Ok(Err(error)) => Err(crate::error::chain(&error.without_url())),
        }
    }
}

/// What is due and can be sent beside what is `under_way`, which is due, too: some for each URL from behind `last_url` on and
/// around to it. Also says which URL was the last.
fn list_due(
    tx: &Tx<'_>,
    last_url: String,
    under_way: &HashMap<Uuid, String>,
) -> Result<(Vec<Delivery>, String), DbError> {
    let mut sent_to: HashMap<String, usize> = HashMap::new();
    for receiver in under_way.values() {
        *sent_to.entry(receiver.clone()).or_default() += 1;
    }
    let mut due = Vec::new();
    let (mut last, mut has_wrapped) = (last_url.clone(), last_url.is_empty());
    while due.len() + under_way.len() < AT_ONCE {
        match deliveries::next_due_url(tx, &last)? {
            Some(url) if has_wrapped && !last_url.is_empty() && url > last_url => break,
            Some(url) => {
                let sent = sent_to.entry(receiver(&url)).or_default();
                if *sent >= AT_ONCE_TO_ONE {
                    // However many URLs it has: they stand beside each other.
                    last = behind_receiver(&url);
                    continue;
                }
                for delivery in deliveries::list_due(tx, &url, AT_ONCE_TO_ONE as u32)? {
                    if *sent < AT_ONCE_TO_ONE && !under_way.contains_key(&delivery.id) {
                        *sent += 1;
                        due.push(delivery);
                    }
                }
                last = url;
            }
            None if has_wrapped => break,
            None => (last, has_wrapped) = (String::new(), true),
        }
    }
    Ok((due, last))
}

/// How long to wait after so many attempts in vain; `None` when it is enough.
fn pause_seconds(settings: &WebhookSettings, attempts: u32) -> Option<u64> {
    let pause = |attempt: u32| {
        let longest = LONGEST_PAUSE_SECONDS.max(settings.first_pause.0.as_secs());
        settings.first_pause.0.as_secs().saturating_mul(3_u64.saturating_pow(attempt - 1)).min(longest)
    };
    let tried_seconds: u64 = (1..=attempts).map(pause).sum();
    // Receivers that come back are not all told at once.
    let jittered = || (pause(attempts) as f64 * rand::random_range(0.9..1.1)).round() as u64;
    (tried_seconds <= settings.retry.0.as_secs()).then(jittered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_again_for_a_day() {
        let settings = WebhookSettings::default();
        let pauses: Vec<u64> = (1..).map_while(|attempts| pause_seconds(&settings, attempts)).collect();
        let all: u64 = pauses.iter().sum();
        assert!((60_000..=95_000).contains(&all), "{pauses:?}");
        assert!(pauses[0] <= 6 && pauses[1] <= 17 && pauses.len() >= 10, "{pauses:?}");
    }
}
