-- Which key a file was made with; NULL where nobody knows. Keys are never deleted.
ALTER TABLE files ADD COLUMN api_key_id TEXT;
UPDATE files SET api_key_id = (SELECT s.api_key_id FROM sessions s WHERE s.file_id = files.id);

-- Permissions of one public key; a private key has all of them.
ALTER TABLE api_keys ADD COLUMN may_replace BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE api_keys ADD COLUMN may_name_webhooks BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether every upload with the key gets a random prefix.
ALTER TABLE api_keys ADD COLUMN random_prefix BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether the sessions of a revoked key go on, as they did with keys that were revoked before this version.
ALTER TABLE api_keys ADD COLUMN keeps_sessions BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE api_keys SET keeps_sessions = TRUE WHERE revoked_at IS NOT NULL;
-- The key's open sessions. Changed in the transaction that opens or ends one.
ALTER TABLE api_keys ADD COLUMN sessions_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN sessions_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE api_keys SET
    sessions_count = (SELECT count(*) FROM sessions s WHERE s.api_key_id = api_keys.id AND s.status = 'uploading'),
    sessions_bytes = (SELECT coalesce(sum(s.size_bytes), 0) FROM sessions s WHERE s.api_key_id = api_keys.id AND s.status = 'uploading');
-- The public key whose upload made the folder: it may make so many.
ALTER TABLE folders ADD COLUMN public_key_id TEXT;
CREATE INDEX folders_by_public_key ON folders (public_key_id) WHERE public_key_id IS NOT NULL;
-- One for each order of a list of folders: of those in one folder, and of those of a workspace, which a search reads. Deleted
-- folders and roots are in no folder. A page is found, and what fits is counted, in the index alone.
DROP INDEX folders_by_parent;
CREATE INDEX folders_in_folder_by_name ON folders (parent_id, name_folded, id);
CREATE INDEX folders_in_folder_by_creation ON folders (parent_id, created_at, id, name_folded);
CREATE INDEX folders_by_name ON folders (workspace_id, name_folded, id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX folders_by_creation ON folders (workspace_id, created_at, id, name_folded, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX sessions_by_key ON sessions (api_key_id, status, id);

-- When the session ended; NULL while it takes parts. Rows are deleted some days after that.
ALTER TABLE sessions ADD COLUMN ended_at BIGINT;
UPDATE sessions SET ended_at = expires_at WHERE status <> 'uploading';
CREATE INDEX sessions_by_end ON sessions (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX idempotency_keys_by_session ON idempotency_keys (session_id);

-- The value before the last rotation, which is valid for a while beside the new one.
ALTER TABLE secrets ADD COLUMN previous_value BLOB;
ALTER TABLE secrets ADD COLUMN rotated_at BIGINT;
ALTER TABLE secrets ADD COLUMN previous_until BIGINT;

-- The key of the upload that named the URL: its secret signs the message. NULL for the webhooks of a workspace.
ALTER TABLE deliveries ADD COLUMN api_key_id TEXT;
CREATE INDEX deliveries_due_by_workspace ON deliveries (workspace_id, next_attempt_at, id) WHERE dead_at IS NULL;
-- Workspaces take turns, and in each of them its URLs do.
DROP INDEX deliveries_due_by_url;
CREATE INDEX deliveries_due_by_url ON deliveries (workspace_id, url, next_attempt_at, id) WHERE dead_at IS NULL;

-- That completing was asked for: the hash that came with it, empty without one; NULL until it is. Only such a session can have
-- an object at the store. Nobody knows it of those that are open now.
ALTER TABLE sessions ADD COLUMN complete_hash TEXT;
UPDATE sessions SET complete_hash = '' WHERE status = 'uploading' AND storage = 's3';
