-- The tables of version 2, as released.
CREATE TABLE names (
    org   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    INTEGER NOT NULL,
    name  TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    PRIMARY KEY (org, kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    org      TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_of_heads ON checkpoints (org) WHERE name = 'head';
CREATE TABLE item_classes (
    id    INTEGER PRIMARY KEY,
    org   TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    class TEXT NOT NULL,
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    UNIQUE (org, epoch, class, kind, name)
) STRICT;
CREATE TABLE items (
    id         INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    body       BLOB NOT NULL
) STRICT;
CREATE TABLE markers (
    org        TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    month      TEXT NOT NULL,
    generation INTEGER NOT NULL,
    floor      INTEGER NOT NULL,
    PRIMARY KEY (org, epoch, month)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1734438227;
PRAGMA user_version = 2;
