-- The tables of version 1, as released.
CREATE TABLE checkpoints (
    org      TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE markers (
    org           TEXT NOT NULL,
    month         TEXT NOT NULL,
    logic_version INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    floor         INTEGER NOT NULL,
    PRIMARY KEY (org, month)
) STRICT, WITHOUT ROWID;
CREATE TABLE names (
    org   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    INTEGER NOT NULL,
    name  TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    PRIMARY KEY (org, kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollups (
    org           TEXT NOT NULL,
    subject_kind  TEXT NOT NULL,
    subject       TEXT NOT NULL,
    grain         TEXT NOT NULL,
    start         TEXT NOT NULL,
    month         TEXT NOT NULL,
    logic_version INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    body          TEXT NOT NULL,
    PRIMARY KEY (org, subject_kind, subject, grain, start, month)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_across ON rollups (org, subject_kind, grain, start);
PRAGMA application_id = 1734438227;
PRAGMA user_version = 1;
