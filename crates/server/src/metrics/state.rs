//! Gauges that are read from database and disk. `service/state_gauges.rs` refreshes them.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::declaration::{labels, metrics};

labels! {
    /// The owner of bytes: `files`, open `sessions` or `garbage`.
    pub(crate) struct StateLabels { state: &'static str }
}

labels! {
    /// A number of the disk: `free`, `size`, `kept` or `promised`.
    pub(crate) struct DiskLabels { state: &'static str }
}

labels! {
    /// A state of an event: `waiting` or `dead`.
    pub(crate) struct EventLabels { state: &'static str }
}

metrics! {
    #[doc = "Contents, by the database and the disk (looked at every 15 s at most, every second while the database is away)"]
    pub struct StateMetrics {
        #[doc = "1 if the database answered a look-up of this node within a second, otherwise 0."]
        database_up: Gauge = "partway_database_up", "";
        #[doc = "Time of this node's last look at the contents of the database, in Unix seconds; 0 before the first. The numbers of workspaces, sessions, files, garbage and events are from then, the same for every node."]
        looked_at: Gauge = "partway_state_timestamp", "seconds";
        #[doc = "Workspaces."]
        workspaces: Gauge = "partway_workspaces", "";
        #[doc = "Open upload sessions."]
        open_sessions: Gauge = "partway_open_sessions", "";
        #[doc = "Files."]
        files: Gauge = "partway_files", "";
        #[doc = "Blobs that the cleaner has still to delete, or that are being written by direct uploads; counted up to 100000."]
        garbage: Gauge = "partway_garbage_blobs", "";
        #[doc = "Bytes of `files`, of open `sessions` (the full sizes of their files), and of the counted `garbage`."]
        bytes: Family<StateLabels, Gauge> = "partway_storage", "bytes";
        #[doc = "The disk of local storage, as this node sees it: its `size`, its `free` bytes, those that uploads leave free (`kept`, storage.min_free_bytes), and those `promised` to uploads and not yet written. Missing where files go to a bucket, and while the disk does not answer within a second."]
        disk: Family<DiskLabels, Gauge> = "partway_disk", "bytes";
        #[doc = "Events in the outbox: `waiting`, and `dead` ones, which were given up and are kept for a replay; each counted up to 100000."]
        events: Family<EventLabels, Gauge> = "partway_webhook_events", "";
        #[doc = "Time of the oldest `waiting` event, in Unix seconds, among the 100000 that are sent or tried again next; missing while none waits."]
        oldest_event: Family<EventLabels, Gauge> = "partway_webhook_oldest_event_timestamp", "seconds";
    }
}

/// The numbers of one look.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) looked_at: i64,
    pub(crate) workspaces: i64,
    pub(crate) open_sessions: i64,
    pub(crate) files: i64,
    pub(crate) file_bytes: i64,
    pub(crate) session_bytes: i64,
    pub(crate) garbage: i64,
    pub(crate) garbage_bytes: i64,
    pub(crate) waiting_events: i64,
    pub(crate) dead_events: i64,
    pub(crate) oldest_event: Option<i64>,
}

impl StateMetrics {
    /// Shows the numbers of a look at the database.
    pub(crate) fn show(&self, state: &State) {
        self.looked_at.set(state.looked_at);
        self.workspaces.set(state.workspaces);
        self.open_sessions.set(state.open_sessions);
        self.files.set(state.files);
        self.garbage.set(state.garbage);
        for (of, bytes) in
            [("files", state.file_bytes), ("sessions", state.session_bytes), ("garbage", state.garbage_bytes)]
        {
            self.bytes.get_or_create(&StateLabels { state: of }).set(bytes);
        }
        for (of, events) in [("waiting", state.waiting_events), ("dead", state.dead_events)] {
            self.events.get_or_create(&EventLabels { state: of }).set(events);
        }
        let waiting = EventLabels { state: "waiting" };
        match state.oldest_event {
            Some(oldest) => drop(self.oldest_event.get_or_create(&waiting).set(oldest)),
            None => drop(self.oldest_event.remove(&waiting)),
        }
    }

    /// Shows the disk of local storage: size, free, kept and promised bytes.
    pub(crate) fn show_disk(&self, numbers: [(&'static str, u64); 4]) {
        for (state, bytes) in numbers {
            self.disk.get_or_create(&DiskLabels { state }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Shows no disk: an old number would look like a disk that does not change.
    pub(crate) fn hide_disk(&self) {
        self.disk.clear();
    }

    #[cfg(test)]
    pub(crate) fn disk_bytes(&self, state: &'static str) -> Option<i64> {
        self.disk.get(&DiskLabels { state }).map(|gauge| gauge.get())
    }
}
