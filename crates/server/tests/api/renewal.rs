//! Claims and leases: while their holder lives nobody else gets them, however long it takes.

use std::time::{Duration, Instant};

use partway_server::db::{Durability, leases, sessions};
use partway_testing::{Manners, OddStore};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{Node, TestApp};
use crate::services::{Services, endpoint, garage};

/// Longest time that a wait may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Watches the end of a claim or a lease until it was moved this far by renewals. Before each look, `tries` has somebody else
/// try to take it.
async fn until_renewed(app: &TestApp, end: &str, by_ms: i64, tries: impl AsyncFn()) {
    let look = || app.database.number(end);
    let (began, first) = (Instant::now(), look());
    while look() < first + by_ms {
        assert!(began.elapsed() < PATIENCE, "it was not renewed");
        tries().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_session_stays_claimed_for_as_long_as_the_store_takes_to_complete_it() {
    let store = OddStore::start(&garage().0.endpoint(0), Manners::default());
    let url = store.url.clone();
    let app = TestApp::start_on(Services { s3: true, ..Services::of_this_run() }, |config| {
        config.storage.public_endpoint = config.storage.endpoint.replace(endpoint(&url));
    })
    .await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    store.hold_completions();
    let watch = async {
        app.until("it is claimed", |app| app.count("sessions WHERE claimed_by IS NOT NULL") == 1).await;
        let holder = app.text("SELECT claimed_by FROM sessions");
        let (id, other): (Uuid, _) = (session.id().parse().unwrap(), Uuid::new_v4());
        // Two renewals, eight seconds apart.
        until_renewed(&app, "SELECT claimed_until FROM sessions", 15_000, async || {
            let claim = app.app().db.write(Durability::Process, move |tx| sessions::claim(tx, id, other, 30));
            assert!(matches!(claim.await.unwrap(), sessions::Claim::Busy), "somebody else got it");
        })
        .await;
        assert_eq!(app.text("SELECT claimed_by FROM sessions"), holder);
        store.let_completions_go();
    };
    let (completed, ()) = tokio::join!(session.complete(&app), watch);
    assert_eq!(completed.status(), 201);
    let record: Value = completed.json().await.unwrap();
    assert_eq!(app.get(&app.url_of(&record)).await.text().await.unwrap(), "abc");
    assert_eq!(app.count("sessions WHERE claimed_by IS NOT NULL"), 0, "it stays claimed");
}

/// Watches a lease that the first node has until it was moved this far.
async fn assert_held(app: &TestApp, name: &'static str, by_ms: i64) {
    let holder = app.app().node.to_string();
    let query = format!("SELECT holder FROM leases WHERE name = '{name}'");
    app.until("it has the lease", |app| app.count(&format!("leases WHERE name = '{name}'")) == 1).await;
    assert_eq!(app.text(&query), holder);
    let end = format!("SELECT expires_at FROM leases WHERE name = '{name}'");
    until_renewed(app, &end, by_ms, async || {
        let take = move |tx: &partway_server::db::Tx<'_>| leases::take(tx, name, Uuid::new_v4(), 30);
        assert!(!app.app().db.write(Durability::Process, take).await.unwrap(), "somebody else got it");
        assert_eq!(app.text(&query), holder);
    })
    .await;
}

#[tokio::test]
async fn one_node_cleans_for_as_long_as_it_lives() {
    let app = TestApp::start_on(Services { postgres: true, s3: true }, |_| {}).await;
    app.until("one cleans", |app| app.count("leases WHERE name = 'cleaner'") == 1).await;
    let other: Node = app.another_node().await;
    assert_held(&app, "cleaner", 5000).await;
    other.stop().await;
}

#[tokio::test]
async fn a_server_with_files_of_its_own_keeps_the_database_for_as_long_as_it_lives() {
    let app = TestApp::start_on(Services { postgres: true, s3: false }, |_| {}).await;
    // Two renewals, ten seconds apart.
    assert_held(&app, "single node", 15_000).await;
}
