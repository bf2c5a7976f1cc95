-- The same numbers as github-metrics computes: counters, distinct members and quantiles of the organization, each
-- repository and each member, for each bucket, with people and bots apart. $FILES and $GRAINS are replaced.

CREATE TEMP VIEW events AS
SELECT * FROM read_parquet($FILES, hive_partitioning = false)
WHERE NOT retracted AND NOT (kind = 'review' AND lower(pr_member) = lower(member));

-- A commit that lies in several repositories counts once for the organization and its author: in the repository with
-- the smallest id among those whose lines are counted, or else with the smallest id.
CREATE TEMP TABLE repeated_commits AS
WITH shared AS (
    SELECT date_trunc('month', occurred_at) AS month, sha FROM events
    WHERE kind = 'commit' GROUP BY ALL HAVING count(*) > 1
)
SELECT event_id FROM events JOIN shared USING (sha)
WHERE kind = 'commit' AND date_trunc('month', occurred_at) = month
QUALIFY row_number() OVER (PARTITION BY month, sha ORDER BY additions IS NULL, repo_id) > 1;

-- NULL if there is no end: greatest() would ignore it.
CREATE MACRO seconds_since(created, ended) AS
    CASE WHEN ended IS NOT NULL THEN greatest(0, (epoch_ms(ended) - epoch_ms(created)) // 1000) END;

-- One row for each event, and one for each co-author of a commit. A table is faster than a view, which each of the
-- three scans would compute again.
CREATE TEMP TABLE facts AS
WITH authored AS (
    SELECT *, lower(member) AS author, kind = 'commit' AND coalesce(parents, 0) <= 1 AS plain FROM events
), counted AS (
    SELECT event_id, occurred_at, repo_id, kind, plain, author AS subject,
        CASE member_kind WHEN 'bot' THEN 'bots' WHEN 'unknown' THEN 'unknown' ELSE 'people' END AS side,
        additions, deletions, files_changed,
        CASE WHEN kind = 'pr_merged' THEN seconds_since(created_at, occurred_at) END AS cycle_seconds,
        CASE WHEN kind = 'pr_merged' THEN seconds_since(created_at, list_min([
            review.at FOR review IN first_reviews
            IF review.at <= occurred_at AND review.member_kind <> 'bot' AND lower(review.member) <> author
        ])) END AS review_seconds
    FROM authored
    UNION ALL
    SELECT event_id, occurred_at, repo_id, 'co_authored', false, co_author,
        CASE WHEN ends_with(co_author, '[bot]') THEN 'bots' ELSE 'people' END,
        NULL, NULL, NULL, NULL, NULL
    FROM (
        SELECT event_id, occurred_at, repo_id, author,
            unnest(list_distinct([lower(name) FOR name IN co_authors])) AS co_author
        FROM authored WHERE plain AND len(co_authors) > 0
    )
    WHERE co_author <> author
)
SELECT * EXCLUDE (event_id), event_id IN (SELECT event_id FROM repeated_commits) AS is_repeat, $GRAINS FROM counted;

CREATE TABLE rollups (
    level VARCHAR, subject VARCHAR, side VARCHAR, grain VARCHAR, start DATE,
    commits BIGINT, merge_commits BIGINT, additions BIGINT, deletions BIGINT, files_changed BIGINT,
    prs_opened BIGINT, prs_merged BIGINT, prs_closed BIGINT, reviews BIGINT,
    issues_opened BIGINT, issues_closed BIGINT, releases BIGINT, deploys BIGINT, deploy_failures BIGINT,
    co_authored_commits BIGINT, active_members BIGINT,
    cycle_count BIGINT, cycle_mean DOUBLE, cycle_quantiles BIGINT[],
    review_count BIGINT, review_mean DOUBLE, review_quantiles BIGINT[]
);
