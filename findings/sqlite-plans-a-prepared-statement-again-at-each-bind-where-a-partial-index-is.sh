#!/usr/bin/env bash
# A partial index that compares a column with a value makes SQLite prepare every `column = ?` again at each new binding, whether or not
# it uses the index. A statement that is prepared once and kept is parsed and planned on every use.
#
# Seen with SQLite 3.40.1 (Debian 12, package libsqlite3-0 3.40.1-2+deb12u2) on 2026-11-29. A statement prepared with
# SQLITE_PREPARE_PERSISTENT, 1,000 times bound and stepped; SQLITE_STMTSTATUS_REPREPARE afterwards:
#   SELECT token FROM keys WHERE kind = ?, index on (token) WHERE kind = 'a':     1,000
#   the same with SQLITE_DBCONFIG_ENABLE_QPSG ("query planner stability guarantee"):   0
#   the same without the partial index:                                                 0
#   with an index on (token) WHERE kind IS NOT NULL instead:                            0
# The planner looks at the value that is bound to see whether the partial index holds the rows, and so the plan is good for that value only.
# Nothing says so: EXPLAIN QUERY PLAN is the same, results are the same; a use took 13 us instead of 6 with QPSG and 2 without the index.
# `column LIKE ?` is planned again in the same way. To keep plans: QPSG for the connection, or a partial index whose condition
# compares with nothing.
#
# Needs python3 and Debian's libsqlite3-0. Exits with 1 if it behaves otherwise.
set -euo pipefail

ldconfig -p | grep -q 'libsqlite3\.so\.0 ' || { apt-get update -qq && apt-get install -y -qq libsqlite3-0 >&2; }
python3 - <<'PYTHON'
import ctypes
import sys
import time

sqlite = ctypes.CDLL("libsqlite3.so.0")
pointer, text = ctypes.c_void_p, ctypes.c_char_p
sqlite.sqlite3_open.argtypes = [text, ctypes.POINTER(pointer)]
sqlite.sqlite3_exec.argtypes = [pointer, text, pointer, pointer, pointer]
sqlite.sqlite3_prepare_v3.argtypes = [pointer, text, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(pointer), pointer]
sqlite.sqlite3_bind_text.argtypes = [pointer, ctypes.c_int, text, ctypes.c_int, pointer]
sqlite.sqlite3_step.argtypes = sqlite.sqlite3_reset.argtypes = [pointer]
sqlite.sqlite3_stmt_status.argtypes = [pointer, ctypes.c_int, ctypes.c_int]
sqlite.sqlite3_libversion.restype = text
PERSISTENT, TRANSIENT, ROW, REPREPARE, ENABLE_QPSG = 1, pointer(-1), 100, 5, 1007


def reprepares(index, keeps_plans=False):
    """How often 1,000 uses of one prepared statement prepared it again, and the microseconds of a use."""
    database, statement = pointer(), pointer()
    sqlite.sqlite3_open(b":memory:", ctypes.byref(database))
    if keeps_plans:
        sqlite.sqlite3_db_config(database, ENABLE_QPSG, 1, None)
    setup = b"CREATE TABLE keys (token TEXT, kind TEXT);" + index
    assert sqlite.sqlite3_exec(database, setup, None, None, None) == 0
    query = b"SELECT token FROM keys WHERE kind = ?"
    assert sqlite.sqlite3_prepare_v3(database, query, -1, PERSISTENT, ctypes.byref(statement), None) == 0
    began = time.perf_counter()
    for number in range(1000):
        sqlite.sqlite3_bind_text(statement, 1, b"kind %d" % number, -1, TRANSIENT)
        while sqlite.sqlite3_step(statement) == ROW:
            pass
        sqlite.sqlite3_reset(statement)
    return sqlite.sqlite3_stmt_status(statement, REPREPARE, 0), (time.perf_counter() - began) * 1000


partial = b"CREATE INDEX some ON keys (token) WHERE kind = 'a';"
found = {
    "a partial index that compares": reprepares(partial),
    "the same, with QPSG": reprepares(partial, keeps_plans=True),
    "no index": reprepares(b""),
    "a partial index on IS NOT NULL": reprepares(b"CREATE INDEX some ON keys (token) WHERE kind IS NOT NULL;"),
}
print("SQLite", sqlite.sqlite3_libversion().decode())
for case, (count, microseconds) in found.items():
    print(f"{case}: prepared again {count} times, {microseconds:.1f} us a use")
sys.exit([count for count, _ in found.values()] != [1000, 0, 0, 0])
PYTHON
