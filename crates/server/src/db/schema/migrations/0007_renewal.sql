-- Life that the client asked for, in seconds: parts that arrive renew the session by it. Sessions from before get the default.
ALTER TABLE sessions ADD COLUMN ttl_seconds BIGINT NOT NULL DEFAULT 3600;
-- The session's end when a part first renewed it: URLs that were to expire then or later are good until the session's end. NULL until
-- then.
ALTER TABLE sessions ADD COLUMN renewed_from BIGINT;
