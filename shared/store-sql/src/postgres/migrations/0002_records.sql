CREATE TABLE github_metrics.records (
    org      text   COLLATE "C" NOT NULL,
    kind     text   COLLATE "C" NOT NULL,
    sort     text   COLLATE "C" NOT NULL,
    revision text   COLLATE "C" NOT NULL,
    -- In seconds since 1970. Null if the record never expires.
    expires  bigint,
    body     text   NOT NULL,
    PRIMARY KEY (org, kind, sort)
);
CREATE INDEX records_by_expiry ON github_metrics.records (expires) WHERE expires IS NOT NULL;
