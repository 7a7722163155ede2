//! The data directory: its filesystem, its free space, and its permissions.

use std::path::Path;

use partway_server::Config;
use partway_server::config::print_bytes;
use partway_server::db::{TrialError, try_database};
use partway_server::file_modes::{Exposure, exposure};
use partway_server::storage::{LocalStore, filesystem};

use super::{Doctor, Health, ill};

/// Whether SQLite works in the data directory. Creates a temporary database there.
pub(super) async fn examine_database_files(doctor: &mut Doctor, config: &Config) {
    let data_dir = config.storage.data_dir.clone();
    if config.database.url.is_some() || !data_dir.is_dir() {
        return;
    }
    let tried = tokio::task::spawn_blocking(move || try_database(&data_dir)).await;
    let health = match tried {
        Ok(Ok(())) => {
            Health::Well("SQLite's write-ahead log and its shared memory work in the data directory".to_owned())
        }
        Ok(Err(error @ TrialError::Io { .. })) => ill(&error, "who may write into data_dir, or make room"),
        Ok(Err(error @ TrialError::Full { .. })) => ill(&error, "make room"),
        Ok(Err(error)) => ill(
            &error,
            "data_dir: a directory of a local filesystem (ext4, XFS, Btrfs, ZFS), or a mount without direct_io; or database.url",
        ),
        Err(error) => ill(&error, "report this as a bug of Partway"),
    };
    doctor.report("database files", health);
}

/// Whether other users of the machine have access to the data directory; `None` if they do not.
pub(super) fn examine_permissions(config: &Config) -> Option<Health> {
    let path = config.storage.data_dir.display();
    match exposure(&config.storage.data_dir).ok()? {
        Exposure::None => None,
        Exposure::Readable => Some(Health::Doubtful(format!(
            "other users of this machine may list {path}; the server closes its files to them when it starts. chmod 700 closes the directory"
        ))),
        Exposure::Writable => Some(Health::Ill {
            problem: format!("other users of this machine may create and replace files in {path}"),
            change: "chmod 700 on the data directory",
        }),
    }
}

pub(super) fn examine_disk(config: &Config) -> Health {
    let data_dir = &config.storage.data_dir;
    if !data_dir.is_dir() {
        return Health::Well(format!("the first start creates {}", data_dir.display()));
    }
    match LocalStore::existing(data_dir).disk().map(|disk| disk.free_bytes) {
        Ok(free) if free <= config.storage.min_free_bytes => Health::Ill {
            problem: format!(
                "{free} bytes are free and storage.min_free_bytes is {}: nothing can be uploaded",
                print_bytes(config.storage.min_free_bytes)
            ),
            change: "make room, or storage.min_free_bytes",
        },
        Ok(free) => Health::Well(format!("{}, {free} bytes free", data_dir.display())),
        Err(error) => ill(&error, "data_dir"),
    }
}

/// Limits of the filesystem. Creates a temporary file.
pub(super) fn examine_filesystem(doctor: &mut Doctor, config: &Config) {
    let data_dir = &config.storage.data_dir;
    if !data_dir.is_dir() {
        return;
    }
    doctor.report(
        "filesystem",
        match filesystem::doubt(data_dir) {
            Ok(None) => Health::Well("has locks, syncs and a journal, judging by its type".to_owned()),
            Ok(Some(doubt)) => Health::Doubtful(doubt),
            Err(error) => ill(&error, "data_dir"),
        },
    );
    doctor.report("locks", examine_locks(data_dir));
    doctor.report(
        "reservation",
        match filesystem::can_reserve(data_dir) {
            Ok(true) if config.storage.reserve => Health::Well("space is reserved when an upload starts".to_owned()),
            Ok(true) => Health::Well("storage.reserve is off: files are sparse".to_owned()),
            Ok(false) => Health::Doubtful(
                "the filesystem cannot reserve space: files are sparse, and the disk may become full in the middle of an upload"
                    .to_owned(),
            ),
            Err(error) => ill(&error, "who may write into data_dir"),
        },
    );
}

fn examine_locks(data_dir: &Path) -> Health {
    match filesystem::has_locks(data_dir) {
        Ok(true) => Health::Well("a lock of a file is seen by a second descriptor".to_owned()),
        Ok(false) => Health::Ill {
            problem: "a locked file may be locked again: two servers could use the directory and damage it".to_owned(),
            change: "data_dir: a directory of a local filesystem (ext4, XFS, Btrfs, ZFS)",
        },
        Err(error) => ill(
            &error,
            "data_dir: a directory whose filesystem has locks (flock), and where this user may create files",
        ),
    }
}
