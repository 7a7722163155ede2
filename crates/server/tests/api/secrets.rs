//! Rotating the server's own secrets while it runs.

use std::time::Duration;

use partway_server::db::secrets::Secret;
use partway_server::db::{Durability, Timestamp};
use partway_server::service::event::EventKind;
use partway_server::service::part_urls::{PartPermission, PartUrlSigner};
use partway_server::service::secret::Rotatable;
use serde_json::json;
use standardwebhooks::Webhook;
use uuid::Uuid;

use crate::app::{Session, TestApp, assert_error};
use crate::peers::{Peer, allow_loopback};
use crate::services::Services;

impl TestApp {
    /// Rotates a secret as the command does while the server runs: in the database alone.
    async fn rotate(&self, secret: Rotatable, grace_seconds: u64) -> Secret {
        let rotated = self.app().db.write(Durability::PowerLoss, move |tx| secret.rotate(tx, grace_seconds));
        rotated.await.unwrap()
    }

    /// A fresh URL of a session's first part, once the server signs with another secret than this.
    async fn url_once_not_signed_with(&self, session: &Session, old: &PartUrlSigner) -> String {
        for _ in 0..3000 {
            let again: serde_json::Value = session.resign(self, &json!({"parts": [0]})).await.json().await.unwrap();
            let url = again["parts"][0]["url"].as_str().unwrap();
            let (_, query) = url.split_once("expires=").unwrap();
            let (expires, signature) = query.split_once("&signature=").unwrap();
            let permission = PartPermission {
                session_id: session.id().parse().unwrap(),
                part_index: 0,
                length_bytes: 3,
                expires_at: expires.parse().unwrap(),
            };
            if old.check(&permission, signature, 0).is_err() {
                return url.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no URL was signed with the new secret in a minute");
    }
}

#[tokio::test]
async fn part_urls_are_signed_with_the_new_secret_within_seconds_and_both_are_good_for_the_grace() {
    let app = TestApp::start_local().await;
    let session = app.upload(3, json!({"ttl_seconds": 3600})).await;
    let old = PartUrlSigner::new(&app.app().secrets.part_urls.value);
    app.rotate(Rotatable::PartUrls, 3600).await;
    let renewed = app.url_once_not_signed_with(&session, &old).await;
    assert_eq!(app.put(session.part_url(0), b"abc").await.status(), 200);
    assert_eq!(app.put(&renewed, b"abc").await.status(), 200);
    // Its time over, the old one is refused, and forgotten.
    app.sql("UPDATE secrets SET previous_until = 1 WHERE name = 'part-urls'");
    app.until("the old value is forgotten", |app| app.count("secrets WHERE previous_value IS NOT NULL") == 0).await;
    let mut refused = app.put(session.part_url(0), b"abc").await;
    for _ in 0..3000 {
        if refused.status() != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        refused = app.put(session.part_url(0), b"abc").await;
    }
    assert_error(refused, 403, "SIGNATURE_INVALID", &[]).await;
    assert_eq!(app.put(&renewed, b"abc").await.status(), 200);
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn a_secret_that_leaked_is_good_for_nothing_within_seconds() {
    let app = TestApp::start_local().await;
    let session = app.upload(3, json!({})).await;
    let rotated = app.rotate(Rotatable::PartUrls, 0).await;
    assert!(rotated.previous.is_none() && rotated.rotated_at.is_some());
    let mut status = 200;
    for _ in 0..3000 {
        status = app.put(session.part_url(0), b"abc").await.status().as_u16();
        if status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 403);
    // A client with the API key gets new URLs and loses nothing.
    let again: serde_json::Value = session.resign(&app, &json!({"parts": [0]})).await.json().await.unwrap();
    assert_eq!(app.put(again["parts"][0]["url"].as_str().unwrap(), b"abc").await.status(), 200);
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn messages_to_webhooks_are_signed_with_both_secrets_during_the_grace() {
    let app = TestApp::start_with(allow_loopback).await;
    webhook_rotation(&app, async |name| drop(app.whole(b"x", &[("file_name", name)]).await)).await;
}

#[tokio::test]
async fn every_node_takes_a_rotated_secret_up() {
    let app = TestApp::start_on(Services { postgres: true, s3: true }, allow_loopback).await;
    let node = app.another_node().await;
    webhook_rotation(&app, async |name| drop(app.whole(b"x", &[("file_name", name)]).await)).await;
    let here = app.app().signer.secret(Uuid::nil());
    for _ in 0..3000 {
        if node.app().signer.secret(Uuid::nil()) == here {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.app().signer.secret(Uuid::nil()), here);
    node.stop().await;
}

async fn webhook_rotation(app: &TestApp, upload: impl AsyncFn(&str)) {
    let peer = Peer::obliging().await;
    let id = app.subscribe(peer.url("/"), &EventKind::ALL).await;
    let old = app.app().signer.secret(id);
    app.rotate(Rotatable::Webhooks, 3600).await;
    app.until("the new secret is in use", |app| app.app().signer.secret(id) != old).await;
    let new = app.app().signer.secret(id);
    assert_eq!(app.app().signer.previous_secret(id, Timestamp::now()).unwrap().secret, old);
    for number in 0..10 {
        upload(&number.to_string()).await;
        app.until("it is delivered", |_| peer.asked().len() > number).await;
        let asked = peer.asked().pop().unwrap();
        let signatures = asked.headers["webhook-signature"].to_str().unwrap().split(' ').count();
        Webhook::new(&old).unwrap().verify(&asked.body, &asked.headers).unwrap();
        // Another node may send, and takes the secret up a moment later.
        if signatures == 2 {
            Webhook::new(&new).unwrap().verify(&asked.body, &asked.headers).unwrap();
            break;
        }
        assert!(number < 9, "no message was signed with both");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    app.sql("UPDATE secrets SET previous_until = 1 WHERE name = 'webhooks'");
    app.until("the old secret is forgotten", |app| {
        app.app().signer.previous_secret(id, Timestamp::now()).is_none()
            && app.count("secrets WHERE previous_value IS NOT NULL") == 0
    })
    .await;
}
