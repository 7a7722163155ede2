-- Files say which folder they are in, and only folders have paths: renaming or deleting a folder changes folders alone,
-- however many files are below it. Each workspace has a root folder with its own id, whose path is empty.
-- What is directly in the folder. Changed in the transaction that adds or takes away a file.
ALTER TABLE folders ADD COLUMN files_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE folders ADD COLUMN files_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE folders ADD COLUMN name_folded TEXT NOT NULL DEFAULT '';
-- A folder that was deleted with its files: nobody sees them any more, and the cleaner takes them away. Its path is `//`
-- and its id then, which no folder has.
ALTER TABLE folders ADD COLUMN deleted_at BIGINT;
CREATE INDEX folders_deleted ON folders (workspace_id, id) WHERE deleted_at IS NOT NULL;
INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at)
    SELECT id, '/' || workspace_no, id, NULL, '', '', created_at, created_at FROM workspaces;
UPDATE folders SET parent_id = workspace_id WHERE parent_id IS NULL AND path <> '';

CREATE TABLE files_of_folders (
    id            TEXT    NOT NULL PRIMARY KEY,
    file_no       TEXT    NOT NULL UNIQUE,
    workspace_id  TEXT    NOT NULL REFERENCES workspaces (id),
    folder_id     TEXT    NOT NULL REFERENCES folders (id),
    name          TEXT    NOT NULL,
    -- For searching and sorting without regard to case.
    name_folded   TEXT    NOT NULL DEFAULT '',
    blob_id       TEXT    NOT NULL UNIQUE,
    size_bytes    BIGINT  NOT NULL,
    -- What the bytes are, and what the uploader said they are.
    mime_type     TEXT    NOT NULL,
    declared_type TEXT,
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
    storage       TEXT    NOT NULL,
    entity_tag    TEXT,
    -- The first of the files that replaced each other under this name: what happens to them is told in order.
    origin_id     TEXT    NOT NULL,
    UNIQUE (folder_id, name)
);
INSERT INTO files_of_folders (id, file_no, workspace_id, folder_id, name, blob_id, size_bytes, mime_type, format, width, height,
        hash, tags, metadata, custom_id, upload_source, is_duplicate, created_at, updated_at, storage, entity_tag, origin_id)
    SELECT id, file_no, workspace_id, coalesce(folder_id, workspace_id), name, blob_id, size_bytes, mime_type, format, width, height,
        hash, tags, metadata, custom_id, upload_source, is_duplicate, created_at, updated_at, storage, entity_tag, id FROM files;
DROP TABLE files;
ALTER TABLE files_of_folders RENAME TO files;
CREATE INDEX files_by_hash ON files (workspace_id, hash);
CREATE INDEX files_by_storage ON files (storage, id);
CREATE INDEX files_by_custom_id ON files (workspace_id, custom_id);
-- One for each order of a list, of the workspace and of one folder.
CREATE INDEX files_by_creation ON files (workspace_id, created_at, id);
CREATE INDEX files_by_name ON files (workspace_id, name_folded, id);
CREATE INDEX files_by_size ON files (workspace_id, size_bytes, id);
CREATE INDEX files_by_change ON files (workspace_id, updated_at, id);
CREATE INDEX files_in_folder_by_creation ON files (folder_id, created_at, id);
CREATE INDEX files_in_folder_by_name ON files (folder_id, name_folded, id);
CREATE INDEX files_in_folder_by_size ON files (folder_id, size_bytes, id);
CREATE INDEX files_in_folder_by_change ON files (folder_id, updated_at, id);
UPDATE folders SET
    files_count = (SELECT count(*) FROM files f WHERE f.folder_id = folders.id),
    files_bytes = (SELECT coalesce(sum(f.size_bytes), 0) FROM files f WHERE f.folder_id = folders.id);

-- The tags of files once more, to be found by: in the order of creation, with all that files are filtered and sorted by, so
-- that a list by tag looks at no other row. Changed in the transaction that changes the file. There is no index by file: a
-- file's row says under which tags it is here.
CREATE TABLE file_tags (
    workspace_id TEXT   NOT NULL,
    tag          TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    file_id      TEXT   NOT NULL,
    folder_id    TEXT   NOT NULL,
    name_folded  TEXT   NOT NULL,
    size_bytes   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, tag, created_at, file_id)
) WITHOUT ROWID;

ALTER TABLE sessions ADD COLUMN webhook_url TEXT;

-- Limits of one workspace; NULL: what the settings say.
ALTER TABLE workspaces ADD COLUMN max_file_bytes BIGINT;
ALTER TABLE workspaces ADD COLUMN max_open_sessions BIGINT;
ALTER TABLE workspaces ADD COLUMN requests_per_second BIGINT;
-- Numbers the events of a workspace.
ALTER TABLE workspaces ADD COLUMN event_sequence BIGINT NOT NULL DEFAULT 0;

-- Who is told of all events of a workspace.
CREATE TABLE webhooks (
    id           TEXT   NOT NULL PRIMARY KEY,
    workspace_id TEXT   NOT NULL REFERENCES workspaces (id),
    url          TEXT   NOT NULL,
    events       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX webhooks_by_workspace ON webhooks (workspace_id);

-- The outbox: one row for each event and each who is to be told of it, written in the event's transaction and deleted once
-- it was delivered.
CREATE TABLE deliveries (
    id              TEXT   NOT NULL PRIMARY KEY,
    event_id        TEXT   NOT NULL,
    workspace_id    TEXT   NOT NULL REFERENCES workspaces (id),
    -- NULL: the URL came with the upload.
    webhook_id      TEXT   REFERENCES webhooks (id),
    url             TEXT   NOT NULL,
    event           TEXT   NOT NULL,
    -- What happens to one subject is told in the order of the sequence.
    subject_id      TEXT   NOT NULL,
    sequence        BIGINT NOT NULL,
    payload         TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- Given up then, and kept to be replayed.
    dead_at         BIGINT,
    last_error      TEXT
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at, id) WHERE dead_at IS NULL;
CREATE INDEX deliveries_due_by_url ON deliveries (url, next_attempt_at, id) WHERE dead_at IS NULL;
CREATE INDEX deliveries_in_order ON deliveries (subject_id, url, sequence) WHERE dead_at IS NULL;
CREATE INDEX deliveries_dead ON deliveries (dead_at) WHERE dead_at IS NOT NULL;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id);
