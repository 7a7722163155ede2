//! A Garage cluster. Its nodes' directories and ports stay the same from one start to the next.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::slice;
use std::sync::Mutex;
use std::time::Duration;

use crate::watchdog::{Watchdog, free_port, until_started, wait_until};

const REGION: &str = "garage";
/// Requests to a host below it are for the bucket of that name. Nothing resolves it.
const HOST: &str = "store.test";
const KEY_ID: &str = "GK000000000000000000000000";
const SECRET_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A Garage cluster on free ports of 127.0.0.1, every object on every node. Tests that kill nodes want one of their own.
#[derive(Debug)]
pub struct Garage {
    nodes: Vec<Node>,
    buckets: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Node {
    server: Mutex<Watchdog>,
    id: String,
    s3: String,
    rpc: String,
    /// Address of its administration API, which answers in milliseconds where the command line takes 50.
    admin: String,
    /// The cluster's RPC secret and administration token.
    secret: String,
}

impl Garage {
    /// A new cluster with one access key. Any two of three nodes are a quorum.
    pub fn start(nodes: usize) -> Self {
        until_started(|| {
            let secret = (0..4).map(|_| format!("{:016x}", RandomState::new().hash_one(()))).collect::<String>();
            let nodes = (0..nodes).map(|_| Node::start(nodes, &secret)).collect::<Result<Vec<_>, _>>()?;
            let cluster = Self { nodes, buckets: Mutex::default() };
            cluster.set_up();
            Ok(cluster)
        })
    }

    fn set_up(&self) {
        let role = |(zone, node): (usize, &Node)| {
            format!(r#"{{"id":"{}","zone":"z{zone}","capacity":1073741824,"tags":[]}}"#, node.id)
        };
        let roles = self.nodes.iter().enumerate().map(role).collect::<Vec<_>>().join(",");
        let first = &self.nodes[0];
        self.connect();
        first.ask("UpdateClusterLayout", &format!(r#"{{"roles":[{roles}]}}"#));
        first.ask("ApplyClusterLayout", r#"{"version":1}"#);
        self.wait_until_connected();
        let key = format!(r#"{{"accessKeyId":"{KEY_ID}","secretAccessKey":"{SECRET_KEY}","name":"test"}}"#);
        first.ask("ImportKey", &key);
        // Not for use: once it is everywhere, every node answers.
        self.create_bucket();
    }

    /// `http://127.0.0.1:PORT`: where the node answers S3 requests.
    pub fn endpoint(&self, node: usize) -> String {
        format!("http://{}", self.nodes[node].s3)
    }

    /// The host below which each bucket has a host of its own, at the port of the node. A test has to resolve both.
    pub fn host(&self) -> &str {
        HOST
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        REGION
    }

    /// The cluster's one access key.
    pub fn access_key_id(&self) -> &str {
        KEY_ID
    }

    /// The cluster's one access key.
    pub fn secret_access_key(&self) -> &str {
        SECRET_KEY
    }

    /// Makes an empty bucket with a name of its own that the key may read, write and own. Every running node knows it.
    pub fn create_bucket(&self) -> String {
        let mut buckets = self.buckets.lock().unwrap();
        let name = format!("test-{}", buckets.len());
        let allow = r#"{"read":true,"write":true,"owner":true}"#;
        let local = format!(r#"{{"accessKeyId":"{KEY_ID}","alias":"{name}","allow":{allow}}}"#);
        let node = self.running().next().expect("no node runs");
        node.ask("CreateBucket", &format!(r#"{{"localAlias":{local}}}"#));
        self.running().for_each(|node| self.wait_until_known(node, slice::from_ref(&name)));
        buckets.push(name.clone());
        name
    }

    /// The process id of a running node.
    pub fn process_id(&self, node: usize) -> u32 {
        self.nodes[node].server.lock().unwrap().server().expect("the node is not running")
    }

    /// Ends a node with SIGKILL, and waits until it is gone. Another node's request that was waiting for it may hang until
    /// that node next writes to it and learns that it is gone: for up to 10 s, when it exchanges its status.
    pub fn kill(&self, node: usize) {
        self.nodes[node].server.lock().unwrap().stop();
    }

    /// Starts a killed node again, and waits until all that run are connected and this one knows all buckets.
    pub fn start_node(&self, node: usize) {
        let node = &self.nodes[node];
        node.run().unwrap_or_else(|error| panic!("{error}"));
        // By themselves they try every 30 s to connect, and first compare their buckets after 20 s.
        self.connect();
        self.wait_until_connected();
        node.ask("LaunchRepairOperation?node=*", r#"{"repairType":"tables"}"#);
        self.wait_until_known(node, &self.buckets.lock().unwrap());
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.server.lock().unwrap().server().is_some())
    }

    /// Has each running node connect to the others: they use a connection in one direction only.
    fn connect(&self) {
        let address = |node: &Node| format!(r#""{}@{}""#, node.id, node.rpc);
        let all = self.running().map(address).collect::<Vec<_>>().join(",");
        self.running().for_each(|node| drop(node.ask("ConnectClusterNodes", &format!("[{all}]"))));
    }

    fn wait_until_connected(&self) {
        let (all, running) = (self.nodes.len(), self.running().count());
        let health = format!(r#""storageNodes":{all},"storageNodesUp":{running},"#);
        for node in self.running() {
            node.wait_until("connected", || node.ask("GetClusterHealth", "").contains(&health));
        }
    }

    /// A node answers from its own copy of keys and buckets, and two that have a new one are enough to make it. (The
    /// administration asks two, so it does not show what one knows.)
    fn wait_until_known(&self, node: &Node, buckets: &[String]) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--head", "--max-time", "10", "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        curl.args(["--aws-sigv4", &format!("aws:amz:{REGION}:s3"), "--user", &format!("{KEY_ID}:{SECRET_KEY}")]);
        curl.args(buckets.iter().map(|bucket| format!("http://{}/{bucket}", node.s3)));
        node.wait_until("notified of the buckets", || {
            let heads = curl.output().expect("no curl: scripts/test installs what the tests need").stdout;
            String::from_utf8_lossy(&heads).matches("HTTP/1.1 200").count() == buckets.len()
        });
    }
}

impl Node {
    fn start(nodes: usize, secret: &str) -> Result<Self, String> {
        let garage = program();
        // KILL is what tests want to see survived; a node has no other process to take along.
        let command =
            ["env", "RUST_LOG=garage=info", "NO_COLOR=1", garage.to_str().unwrap(), "-c", "garage.toml", "server"];
        let server = Watchdog::new("KILL", &command, None);
        let [s3, rpc, admin] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        // LMDB starts in half of SQLite's time; without syncs, both survive the process's death, not the machine's.
        let config = format!(
            r#"
            metadata_dir = "meta"
            data_dir = "data"
            db_engine = "lmdb"
            replication_factor = {nodes}
            compression_level = "none"
            rpc_bind_addr = "{rpc}"
            rpc_public_addr = "{rpc}"
            rpc_secret = "{secret}"
            [s3_api]
            api_bind_addr = "{s3}"
            s3_region = "{REGION}"
            root_domain = ".{HOST}"
            [admin]
            api_bind_addr = "{admin}"
            admin_token = "{secret}"
            "#
        );
        fs::write(server.directory().join("garage.toml"), config).unwrap();
        let server = Mutex::new(server);
        let mut node = Self { server, id: String::new(), s3, rpc, admin, secret: secret.to_owned() };
        node.run()?;
        let info = node.ask("GetNodeInfo?node=self", "");
        node.id = info.split('"').skip_while(|word| *word != "nodeId").nth(2).expect("a node id").to_owned();
        Ok(node)
    }

    fn run(&self) -> Result<(), String> {
        let is_ready = |_: &_| self.call("GetClusterHealth", "").is_ok() && TcpStream::connect(&self.s3).is_ok();
        self.server.lock().unwrap().start(is_ready)
    }

    fn log_tail(&self) -> String {
        self.server.lock().unwrap().log_tail()
    }

    fn wait_until(&self, state: &str, condition: impl FnMut() -> bool) {
        assert!(wait_until(condition), "a node is not {state}:\n{}", self.log_tail());
    }

    fn ask(&self, call: &str, body: &str) -> String {
        self.call(call, body).unwrap_or_else(|error| panic!("{call}: {error}\n{}", self.log_tail()))
    }

    /// Calls the administration API, by POST if there is a body. Returns the answer's JSON without its blanks.
    fn call(&self, call: &str, body: &str) -> io::Result<String> {
        let (method, length) = (if body.is_empty() { "GET" } else { "POST" }, body.len());
        let mut connection = TcpStream::connect(&self.admin)?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        let head = format!("{method} /v2/{call} HTTP/1.0\r\nAuthorization: Bearer {}\r\n", self.secret);
        write!(connection, "{head}Content-Length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.split_ascii_whitespace().collect()),
            _ => Err(io::Error::other(answer)),
        }
    }
}

fn program() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let program = variable("PARTWAY_TEST_GARAGE").unwrap_or_else(|| {
        let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
        cache.unwrap_or_default().join("partway/bin/garage")
    });
    assert!(program.exists(), "no {}: scripts/test installs what the tests need", program.display());
    program
}
