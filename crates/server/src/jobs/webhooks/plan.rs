//! The choice of the events to send next.
//!
//! Invariant: no workspace has more than its share of the slots, and within that share no address has all of them, so a receiver
//! that does not answer never delays the receivers of others. Workspaces take turns, and so do the URLs of each.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::InFlightEvent;
use super::receiver::Receiver;
use crate::db::webhook_deliveries::{self, Delivery, DueUrls};
use crate::db::{DbError, Tx};
use crate::outgoing::Outgoing;

/// Events in flight at a time.
pub(super) const MAX_CONCURRENT_SENDS: usize = 64;
/// Those of one workspace. A workspace gets no more than are free, either: a slot is left for one more workspace while fewer than
/// [`MAX_CONCURRENT_SENDS`] of them wait for receivers.
const MAX_SENDS_PER_WORKSPACE: usize = MAX_CONCURRENT_SENDS / 4;
/// Those of one workspace to one address: an address that does not answer leaves slots for others.
const MAX_SENDS_PER_ADDRESS: usize = MAX_SENDS_PER_WORKSPACE / 4 * 3;
/// Those of one workspace to one port of an address: a port that does not answer leaves slots for the others.
const MAX_SENDS_PER_PORT: usize = MAX_SENDS_PER_WORKSPACE / 2;
/// URLs of one workspace that are examined before the next workspace has its turn.
const MAX_URLS_PER_TURN: usize = 256;

/// The position in the round-robin over workspaces and their URLs.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    /// The workspace that had the last turn.
    workspace_id: Uuid,
    /// The URL examined last, of each workspace with URLs left.
    urls: HashMap<Uuid, String>,
    /// Whether a workspace has unexamined URLs, and may send more.
    pub(super) is_cut_short: bool,
}

/// The free slots, by workspace, address and port.
pub(super) struct Plan {
    outgoing: Outgoing,
    free: usize,
    of_workspace: HashMap<Uuid, usize>,
    to_address: HashMap<(Uuid, String), usize>,
    to_port: HashMap<(Uuid, Receiver), usize>,
}

impl Plan {
    /// The slots that these events leave.
    pub(super) fn new(outgoing: Outgoing, in_flight: &HashMap<Uuid, InFlightEvent>) -> Self {
        let free = MAX_CONCURRENT_SENDS.saturating_sub(in_flight.len());
        let mut plan =
            Self { outgoing, free, of_workspace: HashMap::new(), to_address: HashMap::new(), to_port: HashMap::new() };
        for InFlightEvent { workspace_id, url } in in_flight.values() {
            plan.count(*workspace_id, Receiver::of(&plan.outgoing, url));
        }
        plan
    }

    fn count(&mut self, workspace_id: Uuid, receiver: Receiver) {
        *self.of_workspace.entry(workspace_id).or_default() += 1;
        *self.to_address.entry((workspace_id, receiver.address.clone())).or_default() += 1;
        *self.to_port.entry((workspace_id, receiver)).or_default() += 1;
    }

    /// Whether the workspace may have one more in flight.
    fn has_share(&self, workspace_id: Uuid) -> bool {
        let has = self.of_workspace.get(&workspace_id).copied().unwrap_or_default();
        has < MAX_SENDS_PER_WORKSPACE.min(self.free)
    }

    fn is_busy(&self, workspace_id: Uuid, receiver: &Receiver) -> bool {
        let to_address = self.to_address.get(&(workspace_id, receiver.address.clone()));
        let to_port = self.to_port.get(&(workspace_id, receiver.clone()));
        to_address.is_some_and(|sent| *sent >= MAX_SENDS_PER_ADDRESS)
            || to_port.is_some_and(|sent| *sent >= MAX_SENDS_PER_PORT)
    }

    /// Picks due events that are not `skipped`: some for each workspace, round-robin, starting after the last one. Also answers
    /// the new position.
    pub(super) fn list_due(
        mut self,
        tx: &Tx<'_>,
        mut cursor: Cursor,
        skipped: &HashSet<Uuid>,
    ) -> Result<(Vec<Delivery>, Cursor), DbError> {
        let mut workspaces = webhook_deliveries::list_due_workspaces(tx)?;
        workspaces.sort_unstable();
        cursor.is_cut_short = false;
        cursor.urls.retain(|workspace_id, _| workspaces.binary_search(workspace_id).is_ok());
        let next = workspaces.partition_point(|workspace_id| *workspace_id <= cursor.workspace_id);
        workspaces.rotate_left(next);
        let mut due = Vec::new();
        for workspace_id in workspaces {
            if self.free == 0 {
                break;
            }
            if self.has_share(workspace_id) {
                self.add_due_of(tx, workspace_id, &mut cursor, skipped, &mut due)?;
                cursor.workspace_id = workspace_id;
            }
        }
        Ok((due, cursor))
    }

    /// Picks events of one workspace: some for each of its URLs, round-robin, starting after the last one.
    fn add_due_of(
        &mut self,
        tx: &Tx<'_>,
        workspace_id: Uuid,
        cursor: &mut Cursor,
        skipped: &HashSet<Uuid>,
        due: &mut Vec<Delivery>,
    ) -> Result<(), DbError> {
        let mut urls = DueUrls::after(workspace_id, cursor.urls.remove(&workspace_id).unwrap_or_default());
        for _ in 0..MAX_URLS_PER_TURN {
            let Some(url) = urls.next(tx)? else { return Ok(()) };
            let receiver = Receiver::of(&self.outgoing, &url);
            if self.is_busy(workspace_id, &receiver) {
                urls.skip_origin();
                continue;
            }
            self.add_due_for(tx, workspace_id, &url, &receiver, skipped, due)?;
            if !self.has_share(workspace_id) {
                cursor.urls.insert(workspace_id, urls.into_last());
                return Ok(());
            }
        }
        cursor.urls.insert(workspace_id, urls.into_last());
        cursor.is_cut_short = true;
        Ok(())
    }

    /// Picks events of one URL.
    fn add_due_for(
        &mut self,
        tx: &Tx<'_>,
        workspace_id: Uuid,
        url: &str,
        receiver: &Receiver,
        skipped: &HashSet<Uuid>,
        due: &mut Vec<Delivery>,
    ) -> Result<(), DbError> {
        // Skipped events do not hide the others.
        let limit = u32::try_from(MAX_SENDS_PER_PORT + skipped.len()).unwrap_or(u32::MAX);
        for delivery in webhook_deliveries::list_due(tx, workspace_id, url, limit)? {
            let may_start = self.has_share(workspace_id) && !self.is_busy(workspace_id, receiver);
            if may_start && !skipped.contains(&delivery.id) {
                self.count(workspace_id, receiver.clone());
                self.free -= 1;
                due.push(delivery);
            }
        }
        Ok(())
    }
}
