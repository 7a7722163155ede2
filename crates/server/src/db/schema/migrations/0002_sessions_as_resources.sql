-- What the client says the whole file's hash is; NULL when it said nothing.
ALTER TABLE sessions ADD COLUMN declared_hash TEXT;
CREATE INDEX sessions_by_creation ON sessions (workspace_id, created_at, id);
CREATE INDEX sessions_by_status ON sessions (workspace_id, status, created_at, id);

-- What a workspace holds. Changed in the transaction that adds or takes away a file or an open session.
ALTER TABLE workspaces ADD COLUMN files_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN files_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN sessions_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN sessions_bytes BIGINT NOT NULL DEFAULT 0;
-- Most bytes of files and open sessions together; NULL: what the settings say.
ALTER TABLE workspaces ADD COLUMN storage_limit_bytes BIGINT;
UPDATE workspaces SET
    files_count = (SELECT count(*) FROM files f WHERE f.workspace_id = workspaces.id),
    files_bytes = (SELECT coalesce(sum(f.size_bytes), 0) FROM files f WHERE f.workspace_id = workspaces.id),
    sessions_count = (SELECT count(*) FROM sessions s WHERE s.workspace_id = workspaces.id AND s.status = 'uploading'),
    sessions_bytes = (SELECT coalesce(sum(s.size_bytes), 0) FROM sessions s WHERE s.workspace_id = workspaces.id AND s.status = 'uploading');

-- Whose the bytes were; NULL when nobody knows.
ALTER TABLE garbage ADD COLUMN workspace_id TEXT;

-- Keys that clients gave to requests that start a session, so that a repeated request answers the same session.
CREATE TABLE idempotency_keys (
    api_key_id      TEXT   NOT NULL REFERENCES api_keys (id),
    idempotency_key TEXT   NOT NULL,
    request_sha256  BLOB   NOT NULL,
    session_id      TEXT   NOT NULL REFERENCES sessions (id),
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (api_key_id, idempotency_key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- What this installation knows of itself; see trust.rs.
CREATE TABLE installation (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
