//! The bodies that webhooks receive.

use partway_server::service::event::EventKind;
use reqwest::Method;
use serde_json::{Value, json};

use super::{assert_text, names::Names, pretty};
use crate::app::TestApp;
use crate::peers::{Peer, allow_loopback};

#[tokio::test]
async fn webhooks_receive_the_reviewed_bodies() {
    let app = TestApp::start_with(allow_loopback).await;
    let peer = Peer::obliging().await;
    app.subscribe(peer.url("/"), &EventKind::ALL).await;
    app.whole(b"1", &[("file_name", "f.txt"), ("folder", "d"), ("custom_id", "mine")]).await;
    let second = app.whole(b"22", &[("file_name", "f.txt"), ("folder", "d"), ("tags", "a,b")]).await;
    let path = format!("/api/v1/files/{}", second["file_no"].as_str().unwrap());
    assert_eq!(app.call(Method::DELETE, &path, Value::Null).await.status(), 204);
    app.upload(3, json!({"file_name": "g.bin", "ttl_seconds": 1, "custom_id": "mine"})).await;
    app.until("all are delivered", |_| peer.asked().len() == 4).await;
    let (mut text, mut names) = (String::new(), Names::new(&app));
    for asked in peer.asked() {
        let body = names.learn_and_hide(&serde_json::from_slice(&asked.body).unwrap());
        text.push_str(&format!("{}\n\n", pretty(&body)));
    }
    assert_text("events", &names.put_into(&text));
}
