//! Every message that a bad request gets, one line each, in one file.

mod uploads;
mod workspace;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::assert_text;
use super::names::{Names, uuids};
use crate::app::TestApp;

/// Characters of a mistake that are shown.
const MISTAKE_CHARS: usize = 60;

/// The rows so far, under the headings of their endpoints.
struct Table<'a> {
    app: &'a TestApp,
    text: String,
    names: Names,
}

impl<'a> Table<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, text: String::new(), names: Names::new(app) }
    }

    fn into_text(self) -> String {
        self.names.put_into(&self.text)
    }

    fn heading(&mut self, endpoint: &str) {
        self.text.push_str(&format!("\n{endpoint}\n"));
    }

    /// A row: the mistake in few words, and the answer to it.
    async fn row(&mut self, mistake: &str, request: RequestBuilder) {
        self.answered(mistake, request.send().await.unwrap()).await;
    }

    async fn answered(&mut self, mistake: &str, response: Response) {
        for id in uuids(mistake) {
            self.names.name(&id, "id");
        }
        let mut mistake = self.names.put_into(mistake);
        if let Some((end, _)) = mistake.char_indices().nth(MISTAKE_CHARS) {
            mistake.replace_range(end.., "…");
        }
        let status = response.status().as_u16();
        let mut more = String::new();
        for name in ["allow", "content-range", "retry-after", "www-authenticate", "x-should-retry"] {
            if let Some(value) = response.headers().get(name) {
                more.push_str(&format!(" [{name}: {}]", value.to_str().unwrap()));
            }
        }
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{mistake}: {error}: {text}"));
        let message = body["message"].as_str().unwrap_or_else(|| panic!("{mistake} is answered {status} {text}"));
        for member in ["missing_parts", "retryAfterSeconds"].iter().filter(|member| body.get(**member).is_some()) {
            more.push_str(&format!(" {member}: {}", body[*member]));
        }
        for id in uuids(message) {
            self.names.name(&id, "id");
        }
        let code = body["errorCode"].as_str().unwrap();
        let message = without_age(message);
        self.text
            .push_str(&format!("  {mistake:<width$} {status} {code}: {message}{more}\n", width = MISTAKE_CHARS + 1));
    }

    /// A row for an answer as it came from the connection.
    async fn raw(&mut self, mistake: &str, answer: &str) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{mistake}: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap();
        let response = http::Response::builder().status(status).body(body.to_owned()).unwrap();
        self.answered(mistake, response.into()).await;
    }

    /// A row for each JSON body.
    async fn bodies(&mut self, method: Method, path: &str, bodies: impl IntoIterator<Item = Value>) {
        for body in bodies {
            self.row(&body.to_string(), self.app.request(method.clone(), path).json(&body)).await;
        }
    }

    /// A row for each query.
    async fn queries(&mut self, path: &str, queries: &[&str]) {
        for query in queries {
            self.row(&format!("?{query}"), self.app.request(Method::GET, &format!("{path}?{query}"))).await;
        }
    }
}

/// The message without the age of an expired URL.
fn without_age(message: &str) -> String {
    match message.split_once(", which was ") {
        Some((before, after)) if message.contains("`expires`") => {
            format!("{before}, which was [age]{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        _ => message.to_owned(),
    }
}

/// Every section on a server of its own, so that the sections do not depend on each other.
#[tokio::test]
async fn every_message_of_a_refusal_is_the_reviewed_one() {
    let mut text = String::new();
    for section in [
        uploads::start().await,
        uploads::sessions().await,
        uploads::parts().await,
        uploads::direct_uploads().await,
        uploads::remote_uploads().await,
        workspace::files().await,
        workspace::folders().await,
        workspace::keys_and_routes().await,
        workspace::limits().await,
    ] {
        text.push_str(&section);
    }
    assert_text("errors", &text);
}
