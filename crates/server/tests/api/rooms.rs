//! The rooms of the server's source, and which of them may import which. docs/ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the ground up. A room imports only rooms before it, so that no two rooms import each other.
const ROOMS: [&str; 32] = [
    "error_chain",
    "opaque_debug",
    "failpoint",
    "hmac_keys",
    "file_modes",
    "model",
    "metrics",
    "openapi",
    "turn",
    "db",
    "process",
    "storage",
    "input",
    "config",
    "media",
    "outgoing",
    "pace",
    "rate_limits",
    "http",
    "service",
    "error",
    "serving",
    "jobs",
    "app",
    "extract",
    "middleware",
    "routes",
    "router",
    "api_document",
    "docs",
    "fuzzing",
    "lib",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The first word of each `crate::…` in the code, without comments and unit tests.
fn imported(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut names = BTreeSet::new();
    for line in lines {
        for rest in line.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            names.insert(name);
        }
    }
    names
}

#[test]
fn rooms_import_only_what_is_below_them() {
    let floors: BTreeMap<_, _> = ROOMS.iter().enumerate().map(|(floor, room)| (*room, floor)).collect();
    let mut found = Vec::new();
    files(&source(), &mut found);
    assert!(found.len() > 150, "{} files", found.len());
    let (mut unknown, mut upward) = (BTreeSet::new(), BTreeSet::new());
    for path in found {
        let relative = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let room = relative.split(['/', '.']).next().unwrap();
        let Some(floor) = floors.get(room) else {
            unknown.insert(room.to_owned());
            continue;
        };
        for name in imported(&std::fs::read_to_string(&path).unwrap()) {
            if floors.get(name.as_str()).is_some_and(|imported| imported > floor) {
                upward.insert(format!("{relative} imports {name}"));
            }
        }
    }
    assert_eq!((unknown, upward), (BTreeSet::new(), BTreeSet::new()));
}
