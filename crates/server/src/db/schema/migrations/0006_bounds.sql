-- Bounds of what a workspace has in the database.
-- Its folders, without the root and without those that were deleted. Changed in the transaction that makes or deletes some.
ALTER TABLE workspaces ADD COLUMN folders_count BIGINT NOT NULL DEFAULT 0;
UPDATE workspaces SET folders_count =
    (SELECT count(*) FROM folders f WHERE f.workspace_id = workspaces.id AND f.parent_id IS NOT NULL);

-- Events that were forgotten untold because a workspace keeps only so many: those of each webhook, and those for URLs that came
-- with uploads.
ALTER TABLE workspaces ADD COLUMN events_forgotten BIGINT NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN events_forgotten BIGINT NOT NULL DEFAULT 0;
-- What waits for each receiver, and what a workspace has given up, in the order in which it happened. Both are counted and found in the
-- index alone.
CREATE INDEX deliveries_waiting ON deliveries (workspace_id, webhook_id, api_key_id, sequence, id, dead_at) WHERE dead_at IS NULL;
CREATE INDEX deliveries_dead_in_order ON deliveries (workspace_id, sequence, id, webhook_id, dead_at) WHERE dead_at IS NOT NULL;
