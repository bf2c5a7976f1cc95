-- Identifies the save that wrote the row, so that a repeated save recognizes itself. Null if an older version wrote it.
ALTER TABLE github_metrics.checkpoints ADD COLUMN save_id text COLLATE "C";
