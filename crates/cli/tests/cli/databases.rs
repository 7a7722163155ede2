//! PostgreSQL as `partway serve` and `partway doctor` find it: said plainly, once, and without a password.

use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use partway_testing::{PgBouncer, Postgres};
use serde_json::Value;

use crate::server::{Server, curl, fresh, partway, post, text};

/// In every form in which it stands in a URL.
const PASSWORD: &str = "hunter2secret";

fn postgres() -> &'static Postgres {
    static POSTGRES: OnceLock<Postgres> = OnceLock::new();
    POSTGRES.get_or_init(Postgres::start)
}

fn environment(url: &str) -> [(&'static str, String); 3] {
    [
        ("PARTWAY_DATABASE_URL", url.to_owned()),
        ("PARTWAY_STORAGE_SINGLE_NODE", "true".to_owned()),
        // Everything, that of libraries too.
        ("PARTWAY_LOG_FILTER", "trace".to_owned()),
    ]
}

/// A start that fails by itself.
fn start(url: &str, data_dir: &Path) -> Output {
    let mut command = partway();
    command.envs(environment(url)).args(["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(data_dir).output().unwrap()
}

/// A running server.
fn serve(url: &str, data_dir: &Path) -> Server {
    let environment = environment(url);
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start_with(data_dir, &[], &environment)
}

/// The doctor's findings about the database.
fn doctor(url: &str) -> Vec<Value> {
    let (_directory, data_dir) = fresh();
    let output = partway().envs(environment(url)).args(["doctor", "--json", "--data-dir"]).arg(&data_dir).output();
    let output = output.unwrap();
    let said = text(&output.stdout);
    assert!(!said.contains(PASSWORD) && !text(&output.stderr).contains(PASSWORD), "{said}");
    let checks = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let checks: Vec<_> = checks.filter(|check| check["check"] == "database").collect();
    let is_ill = checks.iter().any(|check| check["state"] == "problem");
    assert_eq!(output.status.success(), !is_ill, "{said}{}", text(&output.stderr));
    checks
}

/// The doctor has found this, of this state, and says what to change where it is a problem.
fn assert_found(url: &str, state: &str, parts: &[&str]) {
    let checks = doctor(url);
    let is_it = |check: &Value| {
        let detail = check["detail"].as_str().unwrap();
        check["state"] == state && parts.iter().all(|part| detail.contains(part))
    };
    let found = checks.iter().find(|check| is_it(check)).unwrap_or_else(|| panic!("{state} {parts:?}: {checks:?}"));
    assert_eq!(found["change"].is_string(), state == "problem", "{found}");
}

/// A new role; the URL with it in the place of the superuser.
fn with_role(url: &str, settings: &str) -> (String, String) {
    let role = format!("role_{}", uuid::Uuid::new_v4().simple());
    postgres().sql(&format!("CREATE ROLE {role} LOGIN"));
    if !settings.is_empty() {
        postgres().sql(&format!("ALTER ROLE {role} {settings}"));
    }
    let url = url.replace("partway@", &format!("{role}@"));
    (role, url)
}

fn owned_by(url: &str, role: &str) {
    let (_, name) = url.rsplit_once('/').unwrap();
    postgres().sql(&format!("ALTER DATABASE {name} OWNER TO {role}"));
}

#[test]
fn the_doctor_tells_roles_that_may_not_enough() {
    let url = postgres().create_database();
    let (role, owner) = with_role(&url, "");
    assert_found(&owner, "problem", &["may not create tables in the schema public"]);
    owned_by(&url, &role);
    assert_found(&owner, "ok", &["the first start brings its schema"]);
    let (_directory, data_dir) = fresh();
    drop(serve(&owner, &data_dir));
    assert_found(&owner, "ok", &["answers, 1 workspace"]);

    let (guest, guests) = with_role(&url, "");
    assert_found(&guests, "problem", &["may not read and write all tables", "api_keys", "sessions"]);
    postgres().sql_in(&url, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {guest}"));
    assert_found(&guests, "problem", &["may not create tables in the schema public"]);
    postgres().sql_in(&url, &format!("GRANT CREATE ON SCHEMA public TO {guest}"));
    assert_found(&guests, "warning", &["tables belong to another role", "files"]);
    postgres().sql_in(&url, &format!("REVOKE DELETE ON garbage FROM {guest}"));
    assert_found(&guests, "problem", &["may not read and write all tables: garbage"]);

    postgres().sql(&format!("ALTER ROLE {role} SET default_transaction_read_only = on"));
    assert_found(&owner, "problem", &["read-only", "default_transaction_read_only"]);
    postgres().sql(&format!("ALTER ROLE {role} RESET ALL"));
    postgres().sql(&format!("ALTER ROLE {role} SET search_path = nowhere"));
    assert_found(&owner, "problem", &["search_path names no schema"]);
    postgres().sql(&format!("ALTER ROLE {role} RESET ALL"));
    postgres().sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 3"));
    assert_found(&owner, "warning", &["only 3 of database.max_connections could be made", "too many connections"]);
    postgres().sql(&format!("ALTER ROLE {role} CONNECTION LIMIT -1 NOLOGIN"));
    assert_found(&owner, "problem", &["refuses the connection", "not permitted to log in"]);
}

#[test]
fn the_doctor_tells_databases_that_are_none_for_it() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("other_{}", encoding.to_lowercase());
        postgres().sql(&format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"));
        assert_found(&postgres().url(&name), "problem", &[encoding, "allowed: UTF8"]);
    }
    assert_found(&postgres().url("nowhere"), "problem", &["refuses the connection", "nowhere"]);
    let url = postgres().create_database();
    let (_, name) = url.rsplit_once('/').unwrap();
    let standby = Postgres::start_standby_of(postgres());
    assert_found(&standby.url("postgres"), "problem", &["standby"]);
    for (mode, is_refused) in [("transaction", true), ("statement", true), ("session", false)] {
        let pool = PgBouncer::start(postgres(), mode, 20);
        if is_refused {
            assert_found(&pool.url(&url), "problem", &["PgBouncer", "pool_mode = session"]);
        } else {
            let (_directory, data_dir) = fresh();
            drop(serve(&url, &data_dir));
            assert_found(&pool.url(&url), "ok", &["answers, 1 workspace", name]);
        }
    }
}

/// Has the server ask the role `app` for the password. Everybody else is let in.
fn ask_for_password(server: &Postgres, url: &str) -> String {
    let (_, name) = url.rsplit_once('/').unwrap();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"));
    server.sql(&format!("ALTER DATABASE {name} OWNER TO app"));
    server.sql(
        "COPY (VALUES ('host all app 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust')) \
         TO PROGRAM 'cat > pg_hba.conf'",
    );
    server.sql("SELECT pg_reload_conf()");
    url.replace("partway@", &format!("app:{PASSWORD}@"))
}

#[test]
fn no_start_that_fails_says_a_password() {
    let server = Postgres::start();
    let url = server.create_database();
    let right = ask_for_password(&server, &url);
    let (_, address) = right.split_once('@').unwrap();
    let (host, name) = address.split_once('/').unwrap();
    let wrong = format!("postgres://app:wrong{PASSWORD}@{address}");
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.pem");
    for (url, said) in [
        (wrong.clone(), "password authentication failed"),
        (wrong.replace("hunter", "%68unter%40%2F"), "password authentication failed"),
        (format!("postgres://app:{PASSWORD}@{host}/nowhere"), "nowhere"),
        (format!("postgres://nobody:{PASSWORD}@127.0.0.1:1/{name}"), "cannot be reached"),
        (format!("postgres://nobody:{PASSWORD}@host.invalid/{name}"), "host.invalid"),
        (format!("{right}?ssl_mode=require"), "ssl_mode"),
        (format!("{right}?sslmode=sometimes"), "sslmode"),
        (format!("{right}?connect_timeout={PASSWORD}"), "connect_timeout"),
        (format!("{right}?{PASSWORD}=1"), "parameter"),
        (format!("{right}?sslmode=verify-full"), "TLS"),
        (format!("{right}?sslmode=verify-full&sslrootcert={}", missing.display()), "missing.pem"),
        (format!("postgres://app:{PASSWORD}@x@{address}"), "%40"),
        (format!("postgres://app:#{PASSWORD}@{address}"), "%23"),
        (format!("postgres://app:x?{PASSWORD}@{address}"), "%3F"),
        (format!("postgres://app:x/{PASSWORD}@{address}"), ""),
        (format!("app:{PASSWORD}@{address}"), "database.url"),
    ] {
        // A parameter's name that might be one is shown.
        let is_name = url.contains(&format!("?{PASSWORD}=1"));
        let data_dir = directory.path().join("data");
        let output = start(&url, &data_dir);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "{url}: {stdout}");
        assert!(stderr.contains(said), "{url}: {stderr}");
        if !is_name {
            assert!(!stderr.contains(PASSWORD) && !stdout.contains(PASSWORD), "{stdout}{stderr}");
        }
        assert!(!stderr.contains("hunter@/2secret") && !stderr.contains("%68unter"), "{stderr}");
    }
}

#[test]
fn a_password_that_is_changed_while_the_server_runs_is_said_once_and_not_shown() {
    let server = Postgres::start();
    let superuser = server.create_database();
    let url = ask_for_password(&server, &superuser);
    let (_directory, data_dir) = fresh();
    let partway = serve(&url, &data_dir);
    let key = partway.private_key();
    let wait_for = |wanted: u16| {
        let began = Instant::now();
        loop {
            let (status, _) = post(&partway, &key, "start", r#"{"file_name":"f","size":1,"format":"bin"}"#);
            let (ready, _) = curl(&[&format!("{}/readyz", partway.url)]);
            if (status, ready) == (wanted, if wanted == 201 { 200 } else { 503 }) {
                return;
            }
            assert!(matches!(status, 201 | 503), "{status}");
            assert!(began.elapsed() < Duration::from_secs(60), "{status} {ready}: {}", partway.log());
        }
    };
    let lines = |said: &str| partway.log().lines().filter(|line| line.contains(said)).count();
    wait_for(201);
    server.sql("ALTER ROLE app PASSWORD 'other'");
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    wait_for(503);
    for _ in 0..20 {
        post(&partway, &key, "start", r#"{"file_name":"f","size":1,"format":"bin"}"#);
    }
    server.sql(&format!("ALTER ROLE app PASSWORD '{PASSWORD}'"));
    wait_for(201);
    let log = partway.log();
    let refusals: Vec<_> = log
        .lines()
        .filter(|line| {
            line.contains("cannot connect to the database") && line.contains("password authentication failed")
        })
        .collect();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(lines("connected to the database again"), 1);
    assert_eq!(lines(PASSWORD), 0);

    server.sql_in(&superuser, "REVOKE INSERT ON sessions FROM app");
    wait_for(503);
    for _ in 0..5 {
        post(&partway, &key, "start", r#"{"file_name":"f","size":1,"format":"bin"}"#);
    }
    server.sql_in(&superuser, "GRANT INSERT ON sessions TO app");
    wait_for(201);
    assert_eq!(lines("refuses statements"), 2, "once as the statement found it, once as the check did");
}

#[test]
fn of_two_servers_with_disks_of_their_own_on_one_database_the_second_is_refused() {
    let url = postgres().create_database();
    let ((_first, ours), (_second, theirs)) = (fresh(), fresh());
    let mut server = serve(&url, &ours);
    let is_refused = || {
        let output = start(&url, &theirs);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("another server with storage.single_node = true"), "{said}");
    };
    is_refused();
    server.kill();
    // Its lease outlives it, and is not in its own way.
    is_refused();
    let mut server = serve(&url, &ours);
    server.signal("TERM");
    assert!(server.wait().success());
    // Nothing is left of one that stopped in the orderly way. This is no first start, which shows keys.
    std::fs::write(theirs.with_extension("seen"), "").unwrap();
    drop(serve(&url, &theirs));
}
