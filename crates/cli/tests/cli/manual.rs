//! `partway completions` and `partway man`

use std::process::Command;

use crate::server::{partway, run, text};
use crate::workspace::names;

/// Every command that help names, as the words after `partway`.
pub(crate) fn commands() -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = vec![Vec::new()];
    let mut next = 0;
    while next < found.len() {
        let help = text(&run(partway().args(&found[next]).arg("--help")).stdout);
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().lines();
        let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
        for name in names.filter(|name| *name != "help") {
            let command = found[next].iter().cloned().chain([name.to_owned()]).collect();
            found.push(command);
        }
        next += 1;
    }
    found
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man/man1");
    run(partway().arg("man").arg("--output").arg(&pages));
    let commands = commands();
    assert!(commands.contains(&vec!["files".into(), "get".into()]), "{commands:?}");
    let mut expected: Vec<String> = commands
        .iter()
        .map(|words| format!("{}.1", [&["partway".to_owned()], &words[..]].concat().join("-")))
        .collect();
    expected.sort();
    assert_eq!(names(&pages), expected);
    for name in expected {
        let page = std::fs::read_to_string(pages.join(&name)).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let own = run(partway().arg("man").env("PARTWAY_API_KEY", "sk_secret"));
    assert_eq!(text(&own.stdout), std::fs::read_to_string(pages.join("partway.1")).unwrap());
}

#[test]
fn every_command_is_completed_in_every_shell() {
    let commands = commands();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(partway().args(["completions", shell]).env("PARTWAY_API_KEY", "sk_secret"));
        let script = text(&script.stdout);
        for name in commands.iter().filter_map(|words| words.last()) {
            assert!(script.contains(name.as_str()), "{shell} does not complete {name}");
        }
        assert!(!script.contains("sk_secret"));
    }
    let script = text(&run(partway().args(["completions", "bash"])).stdout);
    run(Command::new("bash").args(["-n", "-c", &script]));
}
