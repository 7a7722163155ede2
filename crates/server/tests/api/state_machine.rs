//! The session's state machine against a plain model: with any requests in any order, and any number of restarts in between,
//! every answer is the model's.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::app::{MIB, Session, TestApp, bytes};
use crate::services::Services;

/// Parts of every file: one of 10 MiB and a short one.
const PARTS: usize = 2;
const SIZE: u64 = 10 * MIB + 100;

/// Two versions of each part.
static VERSIONS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [bytes(1, SIZE), bytes(2, SIZE)]);

fn part_of(version: usize, part: usize) -> &'static [u8] {
    let cut = (10 * MIB) as usize;
    if part == 0 { &VERSIONS[version][..cut] } else { &VERSIONS[version][cut..] }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Uploading,
    Completed,
    Aborted,
    Expired,
}

#[derive(Debug, Clone)]
struct ModelSession {
    name: usize,
    status: Status,
    /// The version of each part that is there.
    parts: [Option<usize>; PARTS],
}

impl ModelSession {
    fn missing(&self) -> Vec<usize> {
        (0..PARTS).filter(|part| self.parts[*part].is_none()).collect()
    }

    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (part, version) in self.parts.iter().enumerate() {
            hasher.update(part_of(version.unwrap(), part));
        }
        format!("blake3:{}", hasher.finalize())
    }

    /// The status of a request that the session's end refuses.
    fn refusal(&self) -> Option<u16> {
        match self.status {
            Status::Uploading => None,
            Status::Completed => Some(409),
            Status::Aborted | Status::Expired => Some(410),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Model {
    sessions: Vec<ModelSession>,
    /// The hash of the file of each name.
    files: BTreeMap<usize, String>,
}

#[derive(Debug, Clone)]
enum Step {
    Start { name: usize },
    Put { session: usize, part: usize, version: usize },
    PutOtherBytesThanAnnounced { session: usize, part: usize },
    Resign { session: usize },
    Complete { session: usize, wrong_hash: bool },
    Abort { session: usize },
    Expire { session: usize },
    Restart,
}

impl Step {
    fn session(&self) -> Option<usize> {
        match self {
            Self::Start { .. } | Self::Restart => None,
            Self::Put { session, .. }
            | Self::PutOtherBytesThanAnnounced { session, .. }
            | Self::Resign { session }
            | Self::Complete { session, .. }
            | Self::Abort { session }
            | Self::Expire { session } => Some(*session),
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let start = (0..3_usize).prop_map(|name| Step::Start { name });
        if state.sessions.is_empty() {
            return start.boxed();
        }
        let sessions = 0..state.sessions.len();
        prop_oneof![
            2 => start,
            8 => (sessions.clone(), 0..PARTS, 0..2_usize)
                .prop_map(|(session, part, version)| Step::Put { session, part, version }),
            // The store decides about a wrong part, where parts go to one.
            if Services::of_this_run().s3 { 0 } else { 2 } => (sessions.clone(), 0..PARTS)
                .prop_map(|(session, part)| Step::PutOtherBytesThanAnnounced { session, part }),
            2 => sessions.clone().prop_map(|session| Step::Resign { session }),
            6 => (sessions.clone(), prop::bool::weighted(0.2))
                .prop_map(|(session, wrong_hash)| Step::Complete { session, wrong_hash }),
            1 => sessions.clone().prop_map(|session| Step::Abort { session }),
            1 => sessions.prop_map(|session| Step::Expire { session }),
            1 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        step.session().is_none_or(|session| session < state.sessions.len())
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match *step {
            Step::Start { name } => {
                state.sessions.push(ModelSession { name, status: Status::Uploading, parts: [None; PARTS] });
            }
            Step::Put { session, part, version } => {
                let session = &mut state.sessions[session];
                if session.status == Status::Uploading {
                    session.parts[part] = Some(version);
                }
            }
            Step::PutOtherBytesThanAnnounced { session, part } => {
                let session = &mut state.sessions[session];
                if session.status == Status::Uploading {
                    session.parts[part] = None;
                }
            }
            Step::Complete { session, wrong_hash } => {
                let session = &mut state.sessions[session];
                if session.status == Status::Uploading && session.missing().is_empty() && !wrong_hash {
                    session.status = Status::Completed;
                    state.files.insert(session.name, session.hash());
                }
            }
            Step::Abort { session } | Step::Expire { session } => {
                let session = &mut state.sessions[session];
                if session.status == Status::Uploading {
                    session.status = if matches!(step, Step::Abort { .. }) { Status::Aborted } else { Status::Expired };
                }
            }
            Step::Resign { .. } | Step::Restart => {}
        }
        state
    }
}

struct Server {
    runtime: Runtime,
    app: TestApp,
    sessions: Vec<Session>,
    /// The record that completing each session gave.
    records: BTreeMap<usize, Value>,
}

impl Server {
    async fn put(&self, session: usize, part: usize, bytes: &[u8], announced: &[u8]) -> Response {
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(announced));
        // The port is another one after each restart.
        let url = match self.app.is_local() {
            true => self.app.url(self.sessions[session].part_path(part)),
            false => self.sessions[session].part_url(part).to_owned(),
        };
        let request = self.app.http.put(url).header("Content-Digest", format!("sha-256=:{digest}:"));
        request.body(bytes.to_vec()).send().await.unwrap()
    }
}

impl StateMachineTest for Server {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let runtime = Runtime::new().unwrap();
        let app = runtime.block_on(TestApp::start());
        Self { runtime, app, sessions: Vec::new(), records: BTreeMap::new() }
    }

    fn apply(mut server: Self, after: &Model, step: Step) -> Self {
        let handle = server.runtime.handle().clone();
        let model = |session: usize| &after.sessions[session];
        match step {
            Step::Start { name } => {
                let more = json!({"file_name": name.to_string()});
                let session = handle.block_on(server.app.upload(SIZE, more));
                server.sessions.push(session);
            }
            Step::Put { session, part, version } => {
                let bytes = part_of(version, part);
                // A store does not know at once that the session has ended, and then breaks off in its own way.
                if server.app.is_local() || model(session).status == Status::Uploading {
                    let status = handle.block_on(server.put(session, part, bytes, bytes)).status();
                    assert_eq!(status, model(session).refusal().unwrap_or(200));
                }
            }
            Step::PutOtherBytesThanAnnounced { session, part } => {
                let status = handle.block_on(server.put(session, part, part_of(0, part), part_of(1, part))).status();
                assert_eq!(status, model(session).refusal().unwrap_or(400));
            }
            Step::Resign { session } => {
                let response = handle.block_on(server.sessions[session].resign(&server.app, &json!({})));
                assert_eq!(response.status(), model(session).refusal().unwrap_or(200));
                if model(session).status == Status::Uploading {
                    let answer: Value = handle.block_on(response.json()).unwrap();
                    let signed: Vec<_> =
                        answer["parts"].as_array().unwrap().iter().map(|part| &part["index"]).collect();
                    assert_eq!(json!(signed), json!(model(session).missing()));
                }
            }
            Step::Complete { session, wrong_hash } => {
                let now = model(session).clone();
                let expected = match now.status {
                    Status::Completed if wrong_hash => 400,
                    Status::Completed => 201,
                    Status::Uploading => 400,
                    Status::Aborted | Status::Expired => 410,
                };
                let status = complete(&mut server, &handle, session, wrong_hash, &now);
                assert_eq!(status, expected);
            }
            Step::Abort { session } => {
                let status = handle.block_on(server.sessions[session].abort(&server.app)).status();
                assert_eq!(status, if model(session).status == Status::Completed { 409 } else { 204 });
            }
            Step::Expire { session } => {
                let id = server.sessions[session].id().to_owned();
                server.app.sql(&format!("UPDATE sessions SET expires_at = 1 WHERE id = '{id}'"));
                handle.block_on(server.app.app().uploads.expire_overdue()).unwrap();
            }
            Step::Restart => handle.block_on(server.app.restart()),
        }
        server
    }

    fn check_invariants(server: &Self, model: &Model) {
        for (session, expected) in server.sessions.iter().zip(&model.sessions) {
            let state = server.runtime.block_on(session.status(&server.app));
            let status = format!("{:?}", expected.status).to_lowercase();
            assert_eq!(state["status"], status);
            let missing = match expected.status {
                Status::Uploading | Status::Completed => expected.missing(),
                Status::Aborted | Status::Expired => (0..PARTS).collect(),
            };
            assert_eq!(state["missing_parts"], json!(missing));
        }
        assert_eq!(server.app.count("files"), model.files.len() as i64);
        for (name, hash) in &model.files {
            if server.app.is_local() {
                assert_eq!(server.app.text(&format!("SELECT hash FROM files WHERE name = '{name}'")), *hash);
            }
        }
    }

    fn teardown(server: Self, model: Model) {
        let Self { runtime, app, .. } = server;
        runtime.block_on(async {
            for name in model.files.keys() {
                let url = app.url(&format!("/{}/{name}", app.workspace_no));
                let served = app.get(&url).await.bytes().await.unwrap();
                assert_eq!(format!("blake3:{}", blake3::hash(&served)), model.files[name]);
            }
            let report = crate::fsck::check(&app, true, false, false).await;
            assert_eq!(report.findings, []);
        });
        // Dropped within the runtime: that checks that every byte is accounted for.
        let _inside = runtime.enter();
        drop(app);
    }
}

fn complete(
    server: &mut Server,
    handle: &tokio::runtime::Handle,
    session: usize,
    wrong_hash: bool,
    expected: &ModelSession,
) -> u16 {
    let mut body = json!({"session_id": server.sessions[session].id()});
    if wrong_hash {
        body["hash"] = json!(format!("blake3:{}", "0".repeat(64)));
    }
    let response = handle.block_on(server.app.post("/api/v1/multipart/complete", &body));
    let status = response.status().as_u16();
    let answer: Value = handle.block_on(response.json()).unwrap();
    if status == 201 {
        assert_eq!(answer["hash"], if server.app.is_local() { json!(expected.hash()) } else { Value::Null });
        let first = server.records.entry(session).or_insert_with(|| answer.clone());
        assert_eq!((&first["id"], &first["file_no"]), (&answer["id"], &answer["file_no"]));
    } else if answer["errorCode"] == "PARTS_MISSING" {
        assert_eq!(answer["missing_parts"], json!(expected.missing()));
    } else if expected.status == Status::Uploading {
        let refused = if server.app.is_local() { "CHECKSUM_MISMATCH" } else { "INVALID_PARAMETER" };
        assert!(wrong_hash && answer["errorCode"] == refused, "{answer}");
    }
    status
}

prop_state_machine! {
    #![proptest_config(Config { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..Config::default() })]
    #[test]
    fn every_order_of_requests_ends_as_the_model_says(sequential 1..30 => Server);
}
