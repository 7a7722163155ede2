//! The wire as text: requests and answers of every endpoint, each error message, and the events, in the `.snap` files next to
//! this one. CONTRIBUTING.md says how a change of them is reviewed and accepted.
//!
//! Text that differs from run to run has a name in brackets. The same id has the same name everywhere in a file.

mod endpoints;
mod errors;
mod events;
mod names;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::app::TestApp;
use names::Names;

/// Headers of an answer that clients act on.
const SHOWN_HEADERS: [&str; 13] = [
    "content-type",
    "content-range",
    "location",
    "etag",
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-security-policy",
    "x-content-type-options",
    "allow",
    "www-authenticate",
    "retry-after",
    "x-should-retry",
];

/// Compares `text` with the file of this name. A difference fails, and so does a missing file.
fn assert_text(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

/// Requests and answers so far.
struct Wire<'a> {
    app: &'a TestApp,
    text: String,
    names: Names,
}

impl<'a> Wire<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, text: String::new(), names: Names::new(app) }
    }

    /// Compares all of them with the file of this name.
    fn assert_is(self, name: &str) {
        assert_text(name, &self.names.put_into(&self.text));
    }

    /// A request to the API, with a JSON body unless it is null.
    async fn call(&mut self, method: Method, path: &str, body: Value) -> Value {
        let request = self.app.request(method, path);
        self.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// Sends the request and writes it down with its answer, whose body is returned if it is JSON.
    async fn send(&mut self, request: RequestBuilder) -> Value {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let path = request.url().as_str().trim_start_matches(&self.app.url("")).to_owned();
        self.say(&format!("> {} {path}", request.method()));
        match request.headers().get("content-type").map(|value| value.to_str().unwrap().split(';').next().unwrap()) {
            Some("application/json") => {
                let body: Value = serde_json::from_slice(request.body().unwrap().as_bytes().unwrap()).unwrap();
                self.names.learn(&body);
                self.say(&pretty(&body));
            }
            Some(other) => self.say(&format!("content-type: {other}")),
            None => {}
        }
        self.answer(client.execute(request).await.unwrap()).await
    }

    async fn answer(&mut self, response: Response) -> Value {
        self.say(&format!("\n< {}", response.status()));
        for name in SHOWN_HEADERS {
            for value in response.headers().get_all(name) {
                self.say(&format!("{name}: {}", value.to_str().unwrap()));
            }
        }
        let text = response.text().await.unwrap();
        let body = serde_json::from_str::<Value>(&text).ok();
        match &body {
            Some(json) => {
                let json = self.names.learn_and_hide(json);
                self.say(&pretty(&json));
            }
            None if !text.is_empty() => self.say(&text),
            None => {}
        }
        self.text.push('\n');
        body.unwrap_or_default()
    }

    fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap()
}
