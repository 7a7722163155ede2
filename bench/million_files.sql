-- A million files in a thousand folders of the only workspace, without bytes: for measuring lists. For SQLite and
-- PostgreSQL. 100,000 of them are in folders below `large`, to be renamed and deleted.
INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, name_folded, path, created_at, updated_at)
    SELECT '01900000-0000-7000-8000-000000000001', 'large00000', id, id, 'large', 'large', 'large', 1, 1 FROM workspaces;
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, name_folded, path, created_at, updated_at)
    SELECT '01900000-0000-7000-8000-' || CAST(200000000000 + i AS TEXT), CAST(2000000000 + i AS TEXT), w.id,
        CASE WHEN i % 10 = 0 THEN '01900000-0000-7000-8000-000000000001' ELSE w.id END,
        'folder ' || i, 'folder ' || i, CASE WHEN i % 10 = 0 THEN 'large/' ELSE '' END || 'folder ' || i, 1, 1
    FROM n, workspaces w;
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
INSERT INTO files (id, file_no, workspace_id, folder_id, name, name_folded, blob_id, size_bytes, mime_type, format, tags,
        custom_id, upload_source, is_duplicate, created_at, updated_at, storage, origin_id)
    SELECT '01900000-0000-7000-8000-' || CAST(100000000000 + i AS TEXT), CAST(1000000000 + i AS TEXT), w.id,
        '01900000-0000-7000-8000-' || CAST(200000000000 + i % 1000 AS TEXT),
        'Report ' || ((CAST(i AS BIGINT) * 7919) % 1000000) || '.pdf', 'report ' || ((CAST(i AS BIGINT) * 7919) % 1000000) || '.pdf',
        '01900000-0000-7000-8000-' || CAST(300000000000 + i AS TEXT), (CAST(i AS BIGINT) * 104729) % 1000003, 'application/pdf', 'pdf',
        CASE WHEN i % 1000 = 0 THEN '["all","rare"]' WHEN i % 10 = 0 THEN '["all"]' ELSE '[]' END,
        'id-' || (i % 100000), 'api', false, 1700000000000 + i, 1700000000000 + i, 'local',
        '01900000-0000-7000-8000-' || CAST(100000000000 + i AS TEXT)
    FROM n, workspaces w;
INSERT INTO file_tags (workspace_id, tag, created_at, file_id, folder_id, name_folded, size_bytes, updated_at)
    SELECT workspace_id, 'all', created_at, id, folder_id, name_folded, size_bytes, updated_at FROM files WHERE tags <> '[]';
INSERT INTO file_tags (workspace_id, tag, created_at, file_id, folder_id, name_folded, size_bytes, updated_at)
    SELECT workspace_id, 'rare', created_at, id, folder_id, name_folded, size_bytes, updated_at FROM files WHERE tags = '["all","rare"]';
UPDATE folders SET
    files_count = (SELECT count(*) FROM files f WHERE f.folder_id = folders.id),
    files_bytes = (SELECT coalesce(sum(f.size_bytes), 0) FROM files f WHERE f.folder_id = folders.id);
UPDATE workspaces SET files_count = 1000000, files_bytes = (SELECT sum(size_bytes) FROM files);
