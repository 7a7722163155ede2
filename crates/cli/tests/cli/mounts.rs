//! One data directory through two mounts, whose locks do not reach each other: bindfs, as many FUSE filesystems.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::server::{Server, fresh, partway, run, text};

/// A second way to a directory, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn of(directory: &Path) -> Self {
        let at = directory.with_extension("mount");
        std::fs::create_dir_all(&at).unwrap();
        run(Command::new("bindfs").arg(directory).arg(&at));
        Self(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount").arg("-uz").arg(&self.0).status();
    }
}

#[test]
fn a_second_server_through_another_mount_is_refused() {
    let (_directory, data_dir) = fresh();
    let _server = Server::start(&data_dir, &[]);
    let mount = Mount::of(&data_dir);
    let second = partway().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&mount.0).output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", text(&second.stdout));
    let message = text(&second.stderr);
    assert!(message.contains("of this machine is using the data directory"), "{message}");
    assert!(message.contains("through another mount"), "{message}");
}

#[test]
fn a_server_that_was_killed_holds_nobody_up_on_any_mount() {
    let (_directory, data_dir) = fresh();
    let mut server = Server::start(&data_dir, &[]);
    let mount = Mount::of(&data_dir);
    server.kill();
    let began = Instant::now();
    let _second = Server::start(&mount.0, &[]);
    assert!(began.elapsed() < Duration::from_secs(5), "the record of a dead process was watched");
}

#[test]
fn a_server_that_stood_still_ends_when_another_one_took_its_directory() {
    let (_directory, data_dir) = fresh();
    let mut server = Server::start(&data_dir, &[]);
    let mount = Mount::of(&data_dir);
    server.signal("STOP");
    // Watches the record in vain, and takes the directory.
    let _second = Server::start(&mount.0, &[]);
    server.signal("CONT");
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().contains("another server has taken the data directory"), "{}", server.log());
}

#[test]
fn repairing_through_another_mount_is_refused_while_a_server_runs_and_looking_is_not() {
    let (_directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let mount = Mount::of(&data_dir);
    let fsck = |more: &[&str]| partway().arg("fsck").args(more).arg("--data-dir").arg(&mount.0).output().unwrap();
    let refused = fsck(&["--repair"]);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(8), "{}{message}", text(&refused.stdout));
    assert!(message.contains("of this machine is using the data directory"), "{message}");
    assert!(message.contains("through another mount") && message.contains("stop it"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(fsck(&["--deep"]).status.code(), Some(0));
    drop(server);
    assert_eq!(fsck(&["--repair"]).status.code(), Some(0));
}
