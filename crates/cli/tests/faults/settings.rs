//! Settings of a server under test, and what its storage must have when all is over.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use partway_testing::Garage;
use serde_json::{Value, json};

use crate::server::{Server, partway, text};

/// Settings as a process's environment has them.
#[derive(Clone)]
pub(crate) struct Settings(Vec<(String, String)>);

impl Settings {
    /// A bucket of `garage`, reached by the server at `endpoint` and by clients at node 0.
    pub(crate) fn bucket(garage: &Garage, bucket: &str, endpoint: &str) -> Self {
        let public_endpoint = garage.endpoint(0);
        Self::of(&[
            ("STORAGE_KIND", "s3"),
            ("STORAGE_ENDPOINT", endpoint),
            ("STORAGE_PUBLIC_ENDPOINT", &public_endpoint),
            ("STORAGE_REGION", garage.region()),
            ("STORAGE_BUCKET", bucket),
            ("STORAGE_PREFIX", "partway/"),
            ("STORAGE_ACCESS_KEY_ID", garage.access_key_id()),
            ("STORAGE_SECRET_ACCESS_KEY", garage.secret_access_key()),
            ("STORAGE_SWEEP_SECONDS", "1"),
            ("STORAGE_URL_SECONDS", "6"),
        ])
    }

    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (format!("PARTWAY_{name}"), (*value).to_owned())).collect())
    }

    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn start(&self, data_dir: &Path, address: &str) -> Server {
        let environment: Vec<_> = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Server::start_with(data_dir, &["--listen", address], &environment)
    }

    pub(crate) fn command(&self, data_dir: &Path, arguments: &[&str]) -> Command {
        let mut command = partway();
        command.envs(self.0.iter().map(|(name, value)| (name, value))).args(arguments).arg("--data-dir").arg(data_dir);
        command
    }

    /// Runs a deep check: the exit code, and the findings.
    pub(crate) fn fsck(&self, data_dir: &Path, more: &[&str]) -> (i32, Value) {
        let output = self.command(data_dir, &[&["fsck", "--deep", "--json"], more].concat()).output().unwrap();
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code().unwrap(), report.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr))))
    }

    /// Waits until nothing without an owner is left: no garbage, no unknown object, no dead upload.
    pub(crate) fn assert_nothing_left(&self, data_dir: &Path, garage: &Garage, bucket: &str, open_uploads: usize) {
        let began = Instant::now();
        loop {
            let (_, report) = self.fsck(data_dir, &[]);
            let uploads = uploads(garage, bucket);
            if report["findings"] == json!([]) && report["garbage"] == 0 && uploads == open_uploads {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(90), "{report}, {uploads} uploads are open");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// How many multipart uploads are open in the bucket.
fn uploads(garage: &Garage, bucket: &str) -> usize {
    use partway_server::storage::{S3Settings, S3Store};
    let endpoint: url::Url = garage.endpoint(0).parse().unwrap();
    let settings = S3Settings {
        public_endpoint: endpoint.clone(),
        endpoint,
        region: garage.region().to_owned(),
        bucket: bucket.to_owned(),
        prefix: "partway/".to_owned(),
        path_style: true,
        access_key_id: garage.access_key_id().to_owned(),
        secret_access_key: garage.secret_access_key().to_owned(),
    };
    let store = S3Store::new(&settings).unwrap();
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(store.list_uploads(None)).unwrap().len()
        });
        listing.join().unwrap()
    })
}
