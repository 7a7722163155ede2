#!/usr/bin/env bash
# On a FUSE mount with `direct_io`, SQLite answers `wal` to the pragma that asks for it, and the next statement is an I/O error.
#
# Seen with SQLite 3.40.1 (CPython 3.11.7's sqlite3), bindfs 1.14.7 (Debian 12, package bindfs 1.14.7-1), Linux 6.18 on 2026-11-29:
#   on the directory itself:               PRAGMA journal_mode=wal -> wal; CREATE TABLE works
#   through a mount with -o direct_io:     PRAGMA journal_mode=wal -> wal; CREATE TABLE -> SQLITE_IOERR_SHMMAP, "disk I/O error"
#   the same mount, journal_mode=delete:   CREATE TABLE works
# The kernel refuses shared writable mappings of files that are opened with direct_io, and the index of a write-ahead log is one.
# SQLite falls back to another mode only where the file system has no shared memory at all, which it asks for by methods and not by trying.
# The mode is also kept in the file: each program that opens the file through the mount later has the same error. A program that
# wants to know has to write something after the pragma. `PRAGMA locking_mode=EXCLUSIVE` before the first use avoids the mapping.
#
# Needs python3, root or the rights to mount FUSE, and apt-get for bindfs unless it is installed; leaves nothing mounted. Exits with 1
# if it behaves otherwise.
set -euo pipefail

command -v bindfs >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends bindfs=1.14.7-1 fuse3 >&2; }
work=$(mktemp -d)
cleanup() {
  fusermount -u "$work/mounted" 2>/dev/null || fusermount3 -u "$work/mounted" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/real" "$work/mounted"
bindfs -o direct_io "$work/real" "$work/mounted"

python3 - "$work" <<'PYTHON'
import sqlite3
import sys


def attempt(path, mode, exclusive=False):
    database = sqlite3.connect(path)
    if exclusive:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
    answer = database.execute(f"PRAGMA journal_mode={mode}").fetchone()[0]
    try:
        database.execute("CREATE TABLE files (name TEXT)")
        database.commit()
        return answer, "works"
    except sqlite3.OperationalError as error:
        return answer, error.sqlite_errorname


real, mounted = sys.argv[1] + "/real", sys.argv[1] + "/mounted"
found = {
    "the directory itself, wal": attempt(f"{real}/1.db", "wal"),
    "the mount, wal": attempt(f"{mounted}/2.db", "wal"),
    "the mount, delete": attempt(f"{mounted}/3.db", "delete"),
    "the mount, wal, exclusive": attempt(f"{mounted}/4.db", "wal", exclusive=True),
}
for case, (answer, outcome) in found.items():
    print(f"{case}: journal_mode {answer}, CREATE TABLE {outcome}")
expected = [("wal", "works"), ("wal", "SQLITE_IOERR_SHMMAP"), ("delete", "works"), ("wal", "works")]
sys.exit(list(found.values()) != expected)
PYTHON
