//! Names for text that differs from run to run.

use serde_json::Value;

use crate::app::TestApp;

/// Members with a public number.
const NUMBERS: [&str; 4] = ["workspace_no", "file_no", "folder_no", "parent_folder_no"];
/// Members with a time in Unix seconds.
const SECONDS: [&str; 1] = ["expire_at"];
/// Parameters of presigned URLs with times, keys and signatures.
const PARAMETERS: [&str; 7] =
    ["expires", "signature", "X-Amz-Expires", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature", "uploadId"];

/// The names that were given so far.
pub(super) struct Names {
    /// Text and its name.
    known: Vec<(String, String)>,
}

impl Names {
    pub(super) fn new(app: &TestApp) -> Self {
        let mut known = vec![
            (app.url(""), "[server]".to_owned()),
            (app.private_key.clone(), "[private key]".to_owned()),
            (app.public_key.clone(), "[public key]".to_owned()),
            (app.workspace_no.clone(), "[workspace_no]".to_owned()),
        ];
        if let Some(bucket) = app.config().storage.s3() {
            let endpoint = bucket.public_endpoint.as_str().trim_end_matches('/').to_owned();
            known.push((format!("{endpoint}/{}/{}", bucket.bucket, bucket.prefix), "[bucket]/".to_owned()));
        }
        Self { known }
    }

    /// Gives this text a name of its own.
    pub(super) fn known_as(&mut self, text: &str, name: &str) {
        self.known.push((text.to_owned(), name.to_owned()));
    }

    /// Names this text, unless it has a name.
    pub(super) fn name(&mut self, text: &str, kind: &str) {
        if !self.known.iter().any(|(known, _)| known == text) {
            let number = self.known.iter().filter(|(_, name)| name.starts_with(&format!("[{kind} "))).count() + 1;
            self.known.push((text.to_owned(), format!("[{kind} {number}]")));
        }
    }

    /// Names the ids and numbers of a body.
    pub(super) fn learn(&mut self, body: &Value) {
        match body {
            Value::Object(members) => {
                for (member, value) in members {
                    if let (true, Some(number)) = (NUMBERS.contains(&member.as_str()), value.as_str()) {
                        self.name(number, member.trim_start_matches("parent_"));
                    }
                    if let ("version_url", Some((_, version))) =
                        (member.as_str(), value.as_str().and_then(|url| url.split_once("?v=")))
                    {
                        self.name(version, "version");
                    }
                    self.learn(value);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value)),
            Value::String(text) => {
                for id in uuids(text) {
                    self.name(&id, "id");
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The same, and the body with names for times.
    pub(super) fn learn_and_hide(&mut self, body: &Value) -> Value {
        self.learn(body);
        hide(body, "")
    }

    /// The text with its names.
    pub(super) fn put_into(&self, text: &str) -> String {
        let named = self.known.iter().fold(text.to_owned(), |text, (known, name)| text.replace(known, name));
        PARAMETERS.iter().fold(named, |text, parameter| hide_parameter(&text, parameter))
    }
}

fn hide(value: &Value, member: &str) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(member, value)| (member.clone(), hide(value, member))).collect::<Value>()
        }
        Value::Array(values) => values.iter().map(|value| hide(value, member)).collect(),
        Value::String(_) if member.ends_with("_at") || member == "timestamp" => "[time]".into(),
        Value::String(_) if member == "requestId" => "[request id]".into(),
        Value::Number(_) if SECONDS.contains(&member) => "[seconds]".into(),
        other => other.clone(),
    }
}

fn hide_parameter(text: &str, parameter: &str) -> String {
    let sign = format!("{parameter}=");
    let mut pieces = text.split(&sign);
    let mut hidden = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(['&', '"', ' ', '\n', '`']).unwrap_or(piece.len());
        hidden.push_str(&format!("{sign}[…]{}", &piece[end..]));
    }
    hidden
}

/// All UUIDs in a text.
pub(super) fn uuids(text: &str) -> Vec<String> {
    let is_id = |piece: &&str| piece.len() == 36 && uuid::Uuid::try_parse(piece).is_ok();
    let pieces = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    pieces.filter(is_id).map(str::to_owned).collect()
}
