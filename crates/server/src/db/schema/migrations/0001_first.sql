-- Times are Unix milliseconds, sizes are bytes, ids are UUIDs in text form.

CREATE TABLE workspaces (
    id           TEXT   NOT NULL PRIMARY KEY,
    workspace_no TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);

-- Of a key only its SHA-256 is kept.
CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    workspace_id TEXT   NOT NULL REFERENCES workspaces (id),
    kind         TEXT   NOT NULL CHECK (kind IN ('private', 'public')),
    key_sha256   BLOB   NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    revoked_at   BIGINT
);
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id);

CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE folders (
    id           TEXT   NOT NULL PRIMARY KEY,
    folder_no    TEXT   NOT NULL UNIQUE,
    workspace_id TEXT   NOT NULL REFERENCES workspaces (id),
    parent_id    TEXT   REFERENCES folders (id),
    name         TEXT   NOT NULL,
    path         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (workspace_id, path)
);
CREATE INDEX folders_by_parent ON folders (parent_id);

CREATE TABLE files (
    id            TEXT    NOT NULL PRIMARY KEY,
    file_no       TEXT    NOT NULL UNIQUE,
    workspace_id  TEXT    NOT NULL REFERENCES workspaces (id),
    folder_id     TEXT    REFERENCES folders (id),
    name          TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    blob_id       TEXT    NOT NULL UNIQUE,
    size_bytes    BIGINT  NOT NULL,
    mime_type     TEXT    NOT NULL,
    format        TEXT    NOT NULL,
    width         BIGINT,
    height        BIGINT,
    hash          TEXT,
    tags          TEXT    NOT NULL,
    metadata      TEXT,
    custom_id     TEXT,
    upload_source TEXT    NOT NULL,
    is_duplicate  BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    UNIQUE (workspace_id, path)
);
CREATE INDEX files_by_hash ON files (workspace_id, hash);
CREATE INDEX files_by_folder ON files (folder_id);

-- A session owns its blob until it completes (then the file does) or ends otherwise (then garbage does).
CREATE TABLE sessions (
    id              TEXT    NOT NULL PRIMARY KEY,
    workspace_id    TEXT    NOT NULL REFERENCES workspaces (id),
    api_key_id      TEXT    NOT NULL REFERENCES api_keys (id),
    status          TEXT    NOT NULL CHECK (status IN ('uploading', 'completed', 'aborted', 'expired')),
    file_id         TEXT    NOT NULL UNIQUE,
    blob_id         TEXT    NOT NULL UNIQUE,
    file_name       TEXT    NOT NULL,
    folder          TEXT    NOT NULL,
    size_bytes      BIGINT  NOT NULL,
    part_size_bytes BIGINT  NOT NULL,
    mime_type       TEXT    NOT NULL,
    tags            TEXT    NOT NULL,
    metadata        TEXT,
    custom_id       TEXT,
    created_at      BIGINT  NOT NULL,
    expires_at      BIGINT  NOT NULL,
    -- The boot of the machine in which its recorded parts were received or last verified.
    trusted_boot_id TEXT    NOT NULL,
    -- The answer of complete, kept so that repeating it gives the same one.
    completed_file  TEXT
);
CREATE INDEX sessions_by_expiry ON sessions (status, expires_at);

-- A row exists only while the bytes it describes are in the blob and nobody is overwriting them.
CREATE TABLE parts (
    session_id TEXT   NOT NULL REFERENCES sessions (id),
    part_index BIGINT NOT NULL,
    subtrees   BLOB   NOT NULL,
    PRIMARY KEY (session_id, part_index)
) WITHOUT ROWID;

-- Sessions that have ended and whose parts the cleaner is to forget: completing must not wait for 10,000 deletions.
CREATE TABLE ended_sessions (
    session_id TEXT NOT NULL PRIMARY KEY REFERENCES sessions (id)
) WITHOUT ROWID;

-- Blobs that nothing refers to any more and that the cleaner is to delete.
CREATE TABLE garbage (
    blob_id    TEXT   NOT NULL PRIMARY KEY,
    reason     TEXT   NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
