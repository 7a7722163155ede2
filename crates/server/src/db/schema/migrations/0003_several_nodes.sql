-- Where the bytes are: 'local', the data directory; 's3', the bucket.
ALTER TABLE files ADD COLUMN storage TEXT NOT NULL DEFAULT 'local';
-- The entity tag that the bucket's store gives the object.
ALTER TABLE files ADD COLUMN entity_tag TEXT;
CREATE INDEX files_by_storage ON files (storage, id);

ALTER TABLE sessions ADD COLUMN storage TEXT NOT NULL DEFAULT 'local';
-- The store's multipart upload that takes the parts; NULL until it is made, and for local storage.
ALTER TABLE sessions ADD COLUMN store_upload_id TEXT;
-- Who is ending the session (completing, aborting, expiring it), and until when nobody else may. Only for 's3': a
-- session of local storage has one process that knows.
ALTER TABLE sessions ADD COLUMN claimed_by TEXT;
ALTER TABLE sessions ADD COLUMN claimed_until BIGINT NOT NULL DEFAULT 0;
CREATE INDEX sessions_by_storage ON sessions (storage, status);

ALTER TABLE garbage ADD COLUMN storage TEXT NOT NULL DEFAULT 'local';
-- Not deleted before: somebody may still be reading it, or is still writing it and will take it.
ALTER TABLE garbage ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;
CREATE INDEX garbage_by_storage ON garbage (storage, not_before, blob_id);

-- Work that one node of all does at a time.
CREATE TABLE leases (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);
