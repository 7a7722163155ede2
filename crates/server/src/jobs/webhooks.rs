//! Tells webhooks what happened: takes events from the outbox and sends them.
//!
//! Invariant: an event leaves the outbox only when its receiver has answered 2xx, so it is told at least once; the same
//! event has the same `webhook-id` every time. Of what happens to one file each receiver is told in order: the next event
//! waits until the one before it is told or given up. No workspace has more than its share of the slots, and in that share no
//! address has all of them: whoever does not answer keeps nobody else's receivers waiting.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Lease;
use crate::config::WebhookSettings;
use crate::db::deliveries::{self, Delivery};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, prefix_upper_bound};
use crate::failpoint;
use crate::outgoing::{ForbiddenUrl, Outgoing, is_blocked, origin_of};
use crate::service::webhook_signer::WebhookSigner;
use crate::turn::turn;

/// Looked for at least this often: events of other nodes do not ring here.
const INTERVAL: Duration = Duration::from_secs(2);
/// When something is due and cannot be sent.
const BLOCKED_WAIT: Duration = Duration::from_millis(500);
/// After a failure of the database.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const LONGEST_PAUSE_SECONDS: u64 = 6 * 60 * 60;
/// Events that are being sent at once.
const AT_ONCE: usize = 64;
/// Those of them that one workspace has at most. It has no more than are free, either: there is a slot for one more workspace
/// as long as fewer than [`AT_ONCE`] of them wait for receivers.
const AT_ONCE_OF_WORKSPACE: usize = AT_ONCE / 4;
/// Those of a workspace that go to one address, and those that go to one port of it: neither a port that does not answer keeps
/// the address's other ports waiting, nor an address other addresses.
const AT_ONCE_TO_ADDRESS: usize = AT_ONCE_OF_WORKSPACE / 4 * 3;
const AT_ONCE_TO_PORT: usize = AT_ONCE_OF_WORKSPACE / 2;
/// URLs of one workspace that are looked at before the next one has its turn.
const MAX_LOOKS: usize = 256;
/// Why nothing is sent to a host.
const NOT_REACHABLE: &str = "its host has no address that is globally reachable and outside of the server's own network; \
                             outgoing.allowed_hosts does not name it";
/// Much of a reason that is worth keeping.
const MAX_ERROR_CHARS: usize = 300;

/// Tells the webhooks of one server's workspaces.
pub struct WebhookDispatcher {
    /// Says whether it is this node that tells: order needs one that sends.
    pub lease: Lease,
    /// The outbox.
    pub db: Db,
    /// Sends.
    pub outgoing: Outgoing,
    /// Signs.
    pub signer: WebhookSigner,
    /// Rings when there may be something to tell.
    pub bell: Arc<Notify>,
    /// How patiently.
    pub settings: WebhookSettings,
}

/// What is being sent.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<(Uuid, HeldBack)>,
    deliveries: HashMap<Uuid, UnderWay>,
    /// Events of which it could not be noted what became of them, and until when they are not sent again.
    held_back: HashMap<Uuid, Instant>,
    turns: Turns,
}

/// For how long an event is not sent again, although the database says that it is due.
type HeldBack = Option<Duration>;

/// One event that is being sent: whose it is, and where it goes.
#[derive(Debug, Clone)]
struct UnderWay {
    workspace_id: Uuid,
    url: String,
}

/// The workspace and the URLs that were looked at last: all get their turn, however many there are.
#[derive(Debug, Clone, Default)]
struct Turns {
    workspace_id: Uuid,
    /// The URL looked at last, of each workspace that was not looked through.
    urls: HashMap<Uuid, String>,
    /// Whether a workspace has URLs left that were not looked at, and a share to send more.
    is_cut_short: bool,
}

impl Sending {
    fn ended(&mut self, sent: Result<(Uuid, HeldBack), tokio::task::JoinError>) {
        match sent {
            Ok((id, held_back)) => {
                self.deliveries.remove(&id);
                if let Some(pause) = held_back {
                    self.held_back.insert(id, Instant::now() + pause);
                }
            }
            // Nothing panics outside of a turn. Which one it was is not known; all that are due are looked at again.
            Err(error) => {
                tracing::error!(%error, "telling a webhook ended badly");
                *self = Self::default();
            }
        }
    }
}

/// The receiver behind a URL: the address to which its host led when it was last looked up (the host itself where none was
/// found), and the port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Receiver {
    address: String,
    port: u16,
}

impl Receiver {
    fn of(outgoing: &Outgoing, url: &str) -> Self {
        let parsed = url::Url::parse(url).ok();
        let host = parsed.as_ref().and_then(url::Url::host);
        let address = host.map_or_else(
            || url.to_owned(),
            |host| outgoing.last_address(&host).map_or_else(|| host.to_string(), |address| address.to_string()),
        );
        Self { address, port: parsed.and_then(|url| url.port_or_known_default()).unwrap_or_default() }
    }
}

/// Behind all URLs with this one's scheme, host and port, in the order of their texts.
fn behind_receiver(url: &str) -> String {
    let slash = url.find("://").and_then(|at| Some(at + 3 + url[at + 3..].find('/')?));
    slash.map_or_else(|| url.to_owned(), |slash| prefix_upper_bound(&url[..=slash]))
}

impl WebhookDispatcher {
    /// Runs until `stop`. What is being sent then is sent again by whoever comes next.
    pub async fn run(self, stop: CancellationToken) {
        let messenger = Arc::new(self);
        let mut sending = Sending::default();
        loop {
            let pause = match turn("job.webhooks", messenger.send_due(&mut sending)).await {
                Some(Ok(pause)) => pause,
                Some(Err(error)) => {
                    tracing::error!(error = %crate::error_chain::error_chain(&error), "webhooks cannot be told; trying again soon");
                    PAUSE
                }
                None => PAUSE,
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
        let plan = Plan::new(self.outgoing.clone(), &sending.deliveries);
        let now = Instant::now();
        sending.held_back.retain(|_, until| *until > now);
        let skipped: HashSet<Uuid> = sending.deliveries.keys().chain(sending.held_back.keys()).copied().collect();
        let turns = sending.turns.clone();
        let (due, turns) = self.db.read(move |tx| plan.list_due(tx, turns, &skipped)).await?;
        let is_cut_short = turns.is_cut_short;
        sending.turns = turns;
        let has_started = !due.is_empty();
        for delivery in due {
            let (workspace_id, url) = (delivery.workspace_id, delivery.url.clone());
            sending.deliveries.insert(delivery.id, UnderWay { workspace_id, url });
            let messenger = Arc::clone(self);
            sending.tasks.spawn(async move {
                let id = delivery.id;
                let held_back = match turn("job.webhook", messenger.deliver(delivery.clone())).await {
                    Some(held_back) => held_back,
                    // Put off like one that was refused: otherwise it would be due at once, and perhaps panic again.
                    None => {
                        let put_off = messenger.put_off(delivery, "the server failed while it told it");
                        turn("job.webhook_note", put_off).await.unwrap_or(Some(PAUSE))
                    }
                };
                (id, held_back)
            });
        }
        if has_started && sending.deliveries.len() < AT_ONCE {
            // There may be more: those of the URLs behind the last one.
            return Ok(Duration::ZERO);
        }
        if is_cut_short {
            return Ok(BLOCKED_WAIT);
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
    async fn deliver(&self, delivery: Delivery) -> HeldBack {
        let id = delivery.id;
        if self.outgoing.learn_address(&delivery.url).await {
            // It is still due, and is listed again as one for that address, which may be busy.
            return None;
        }
        failpoint::hit("webhook.before_send");
        let noted = match self.send(&delivery).await {
            Ok(()) => {
                failpoint::hit("webhook.after_send");
                self.db.write_to_free(Durability::Process, move |tx| deliveries::delete(tx, id)).await
            }
            Err(problem) => return self.put_off(delivery, &problem).await,
        };
        noted_or_later(id, noted, pause_seconds(&self.settings, delivery.attempts + 1))
    }

    /// Notes that an event was not told, and when it is tried again.
    async fn put_off(&self, delivery: Delivery, problem: &str) -> HeldBack {
        let (id, pause) = (delivery.id, pause_seconds(&self.settings, delivery.attempts + 1));
        let (receiver, event) = (origin_of(&delivery.url), &delivery.event);
        tracing::warn!(delivery_id = %id, receiver, event, problem, again_in_seconds = pause, "a webhook was not told");
        let problem: String = problem.chars().take(MAX_ERROR_CHARS).collect();
        let put_off = move |tx: &Tx<'_>| deliveries::put_off(tx, &delivery, &problem, pause);
        // Without the note it would be sent again and again: on a full disk, too, it is made.
        noted_or_later(id, self.db.write_to_free(Durability::Process, put_off).await, pause)
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
            .header("webhook-signature", signature)
            .body(delivery.payload.clone());
        let sent = tokio::time::timeout(self.settings.timeout.0, request.send());
        match sent.await {
            Err(_) => Err(format!("no answer within {} s", self.settings.timeout.0.as_secs())),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("it answers {}", response.status())),
            Ok(Err(error)) if is_blocked(&error) => Err(NOT_REACHABLE.to_owned()),
            Ok(Err(error)) => Err(crate::error_chain::error_chain(&error.without_url())),
        }
    }
}

/// Where it could not be noted what became of an event it is still due, and is held back for as long as it would have been put
/// off.
fn noted_or_later(id: Uuid, noted: Result<(), DbError>, pause_seconds: Option<u64>) -> HeldBack {
    failpoint::hit("webhook.after_note");
    let error = noted.err()?;
    let pause_seconds = pause_seconds.unwrap_or(LONGEST_PAUSE_SECONDS);
    let error = crate::error_chain::error_chain(&error);
    tracing::error!(delivery_id = %id, %error, again_in_seconds = pause_seconds, "what became of an event is not noted: it is sent again");
    Some(Duration::from_secs(pause_seconds))
}

/// Deliveries that may be sent while others are in flight.
struct Plan {
    outgoing: Outgoing,
    free: usize,
    of_workspace: HashMap<Uuid, usize>,
    to_address: HashMap<(Uuid, String), usize>,
    to_port: HashMap<(Uuid, Receiver), usize>,
}

impl Plan {
    fn new(outgoing: Outgoing, under_way: &HashMap<Uuid, UnderWay>) -> Self {
        let free = AT_ONCE.saturating_sub(under_way.len());
        let mut plan =
            Self { outgoing, free, of_workspace: HashMap::new(), to_address: HashMap::new(), to_port: HashMap::new() };
        for UnderWay { workspace_id, url } in under_way.values() {
            plan.count(*workspace_id, Receiver::of(&plan.outgoing, url));
        }
        plan
    }

    fn count(&mut self, workspace_id: Uuid, receiver: Receiver) {
        *self.of_workspace.entry(workspace_id).or_default() += 1;
        *self.to_address.entry((workspace_id, receiver.address.clone())).or_default() += 1;
        *self.to_port.entry((workspace_id, receiver)).or_default() += 1;
    }

    /// Whether the workspace may have one more under way.
    fn has_share(&self, workspace_id: Uuid) -> bool {
        let has = self.of_workspace.get(&workspace_id).copied().unwrap_or_default();
        has < AT_ONCE_OF_WORKSPACE.min(self.free)
    }

    fn is_busy(&self, workspace_id: Uuid, receiver: &Receiver) -> bool {
        let to_address = self.to_address.get(&(workspace_id, receiver.address.clone()));
        let to_port = self.to_port.get(&(workspace_id, receiver.clone()));
        to_address.is_some_and(|sent| *sent >= AT_ONCE_TO_ADDRESS)
            || to_port.is_some_and(|sent| *sent >= AT_ONCE_TO_PORT)
    }

    /// Deliveries that are due and not `skipped`: some for each workspace from behind the last
    /// one on and around to it. Also says whose turn it was last.
    fn list_due(
        mut self,
        tx: &Tx<'_>,
        mut turns: Turns,
        skipped: &HashSet<Uuid>,
    ) -> Result<(Vec<Delivery>, Turns), DbError> {
        let mut workspaces = deliveries::list_due_workspaces(tx)?;
        workspaces.sort_unstable();
        turns.is_cut_short = false;
        turns.urls.retain(|workspace_id, _| workspaces.binary_search(workspace_id).is_ok());
        let behind_last = workspaces.partition_point(|workspace_id| *workspace_id <= turns.workspace_id);
        workspaces.rotate_left(behind_last);
        let mut due = Vec::new();
        for workspace_id in workspaces {
            if self.free == 0 {
                break;
            }
            if self.has_share(workspace_id) {
                self.add_due_of(tx, workspace_id, &mut turns, skipped, &mut due)?;
                turns.workspace_id = workspace_id;
            }
        }
        Ok((due, turns))
    }

    /// The same of one workspace: some for each of its URLs from behind the last one on and around to it.
    fn add_due_of(
        &mut self,
        tx: &Tx<'_>,
        workspace_id: Uuid,
        turns: &mut Turns,
        skipped: &HashSet<Uuid>,
        due: &mut Vec<Delivery>,
    ) -> Result<(), DbError> {
        let first = turns.urls.remove(&workspace_id).unwrap_or_default();
        let (mut last, mut has_wrapped) = (first.clone(), first.is_empty());
        for _ in 0..MAX_LOOKS {
            let url = match deliveries::next_due_url(tx, workspace_id, &last)? {
                Some(url) if has_wrapped && !first.is_empty() && url > first => return Ok(()),
                Some(url) => url,
                None if has_wrapped => return Ok(()),
                None => {
                    (last, has_wrapped) = (String::new(), true);
                    continue;
                }
            };
            let receiver = Receiver::of(&self.outgoing, &url);
            if self.is_busy(workspace_id, &receiver) {
                // However many URLs it has: they stand beside each other.
                last = behind_receiver(&url);
                continue;
            }
            // Those that are skipped do not keep the others from being found.
            let most = u32::try_from(AT_ONCE_TO_PORT + skipped.len()).unwrap_or(u32::MAX);
            for delivery in deliveries::list_due(tx, workspace_id, &url, most)? {
                let may_start = self.has_share(workspace_id) && !self.is_busy(workspace_id, &receiver);
                if may_start && !skipped.contains(&delivery.id) {
                    self.count(workspace_id, receiver.clone());
                    self.free -= 1;
                    due.push(delivery);
                }
            }
            last = url;
            if !self.has_share(workspace_id) {
                turns.urls.insert(workspace_id, last);
                return Ok(());
            }
        }
        turns.urls.insert(workspace_id, last);
        turns.is_cut_short = true;
        Ok(())
    }
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
