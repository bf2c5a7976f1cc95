-- Text that sorts is compared byte by byte, whatever the collation of the database.

CREATE TABLE github_metrics.names (
    org   text   COLLATE "C" NOT NULL,
    kind  text   COLLATE "C" NOT NULL,
    id    bigint NOT NULL,
    name  text   COLLATE "C" NOT NULL,
    as_of bigint NOT NULL,
    PRIMARY KEY (org, kind, id)
);

CREATE TABLE github_metrics.checkpoints (
    org      text   COLLATE "C" NOT NULL,
    name     text   COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    body     text   NOT NULL,
    PRIMARY KEY (org, name)
);
CREATE INDEX checkpoints_of_heads ON github_metrics.checkpoints (org) WHERE name = 'head';

-- The text of an item's key, once for all items of a class.
CREATE TABLE github_metrics.item_classes (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org   text   COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    class text   COLLATE "C" NOT NULL,
    kind  text   COLLATE "C" NOT NULL,
    name  text   COLLATE "C" NOT NULL,
    UNIQUE (org, epoch, class, kind, name)
);

CREATE TABLE github_metrics.items (
    class_id   bigint   NOT NULL,
    generation bigint   NOT NULL,
    week       smallint NOT NULL,
    month      text     COLLATE "C" NOT NULL,
    body       bytea    NOT NULL,
    PRIMARY KEY (class_id, month, week)
);

CREATE TABLE github_metrics.markers (
    org        text   COLLATE "C" NOT NULL,
    epoch      bigint NOT NULL,
    month      text   COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    floor      bigint NOT NULL,
    PRIMARY KEY (org, epoch, month)
);
