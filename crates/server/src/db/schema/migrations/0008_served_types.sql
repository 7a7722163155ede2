-- How a file is served beyond its type: the encoding of a text, and the compression of its bytes, where the bytes show them.
ALTER TABLE files ADD COLUMN charset TEXT;
ALTER TABLE files ADD COLUMN content_encoding TEXT;
