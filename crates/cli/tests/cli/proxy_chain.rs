//! Two proxies in a row, each of which notes who called it.

use std::process::Command;

use crate::proxies::Proxy;
use crate::server::{Server, curl, free_addresses, fresh, run, text};

/// Two servers of one nginx, the first in front of the second.
const CHAIN: &str = "
    access_log off;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    server {
        listen OUTER;
        location / { proxy_pass http://INNER; }
    }
    server {
        listen INNER;
        location / { proxy_pass http://UPSTREAM; }
    }
";
/// Requests in a row. Two of one client are let through, and one more in each second.
const REQUESTS: usize = 60;

/// Statuses of requests to `base` from `address`, each of which claims to come from another one.
fn statuses(base: &str, address: &str, claims: bool) -> Vec<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--interface", address]);
    for number in 0..REQUESTS {
        if number > 0 {
            curl.arg("--next").args(["--silent", "--interface", address]);
        }
        curl.args(["--output", "/dev/null", "--write-out", "%{http_code}\n"]);
        if claims {
            curl.args(["--header", &format!("X-Forwarded-For: 203.0.113.{number}")]);
        }
        curl.arg(format!("{base}/api/v1/files"));
    }
    text(&run(&mut curl).stdout).lines().map(str::to_owned).collect()
}

fn refused(statuses: &[String]) -> usize {
    assert!(statuses.iter().all(|status| status == "401" || status == "429"), "{statuses:?}");
    statuses.iter().filter(|status| *status == "429").count()
}

#[test]
fn after_two_trusted_proxies_each_client_counts_for_itself_whatever_it_claims() {
    let (_directory, data_dir) = fresh();
    let settings =
        [("PARTWAY_LIMITS_REQUESTS_PER_ADDRESS_PER_SECOND", "1"), ("PARTWAY_HTTP_TRUSTED_PROXIES", "127.0.0.1")];
    let server = Server::start_with(&data_dir, &[], &settings);
    let [outer, inner] = free_addresses();
    let site = CHAIN.replace("OUTER", &outer).replace("INNER", &inner).replace("UPSTREAM", &server.address);
    let _proxies = Proxy::start_nginx(tempfile::tempdir().unwrap(), &outer, &site);
    let through_both = format!("http://{outer}");
    for (client, claims) in [("127.0.0.2", false), ("127.0.0.3", true)] {
        let statuses = statuses(&through_both, client, claims);
        assert_eq!(statuses[0], "401", "it counts for another client: {statuses:?}");
        assert!(refused(&statuses) > 0, "{client} is not limited: {statuses:?}");
    }
    // Nobody trusts this one, so what it says of others is not read.
    let direct = statuses(&server.url, "127.0.0.4", true);
    assert_eq!(direct[0], "401");
    assert!(refused(&direct) > 0, "the header of an untrusted client counts: {direct:?}");
    // And a client of which nobody has heard is served.
    let url = format!("{through_both}/api/v1/files");
    assert_eq!(curl(&["--interface", "127.0.0.5", &url]).0, 401);
}
