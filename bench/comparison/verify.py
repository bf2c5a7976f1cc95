"""Compares what github-metrics exports with the rollups that DuckDB computed from the same snapshots.

Usage: verify.py DATABASE GRAIN PEOPLE_CSV EVERYBODY_CSV

PEOPLE_CSV is an export with `--bots exclude`, EVERYBODY_CSV one with `--bots include`. Every row of the organization,
each repository and each member is compared: all counters and distinct members exactly, means to the third decimal,
percentiles within 1 %. Prints the number of rows, and the differences; fails if there is one.
"""

import sys

import duckdb

COUNTERS = [
    "commits",
    "merge_commits",
    "additions",
    "deletions",
    "files_changed",
    "prs_opened",
    "prs_merged",
    "prs_closed",
    "reviews",
    "issues_opened",
    "issues_closed",
    "releases",
    "deploys",
    "deploy_failures",
    "co_authored_commits",
]
DURATIONS = {"cycle_time_hours": "cycle", "first_review_hours": "review"}
MAX_PRINTED = 5


def close(actual: str, expected_seconds: str, tolerance: float) -> str:
    """Returns the condition that a number of hours is that of the seconds, or that both are null."""
    hours = f"({expected_seconds}) / 3600.0"
    limit = f"{tolerance} * {hours} + 0.001"
    return f"coalesce(abs({actual} - {hours}) <= {limit}, {actual} IS NULL AND ({expected_seconds}) IS NULL)"


def exported(path: str) -> str:
    return f"""
        SELECT *, CASE level WHEN 'org' THEN '' WHEN 'repo' THEN id::VARCHAR ELSE lower(name) END AS subject
        FROM read_csv('{path}', header = true, types = {{'name': 'VARCHAR'}})
    """


def expected(grain: str, sides: str, durations: bool) -> str:
    sums = ", ".join(f"sum({name})::BIGINT AS {name}" for name in [*COUNTERS, "active_members"])
    # One side has one row a subject and bucket, so there is nothing to add up.
    names = [f"{short}_{part}" for short in DURATIONS.values() for part in ["count", "mean", "quantiles"]]
    extra = "".join(f", any_value({name}) AS {name}" for name in names) if durations else ""
    return f"""
        SELECT level, subject, start, {sums}{extra} FROM rollups
        WHERE grain = '{grain}' AND side IN ({sides}) GROUP BY level, subject, start
    """


def differences(connection, grain: str, path: str, sides: str, durations: bool) -> tuple[int, list]:
    """Returns the number of compared rows and some of those that differ."""
    equal = [f"ours.{name} = theirs.{name}" for name in [*COUNTERS, "active_members"]]
    equal.append("ours.lines_changed = theirs.additions + theirs.deletions")
    for metric, short in DURATIONS.items() if durations else []:
        equal.append(f"ours.{metric}_count = theirs.{short}_count")
        equal.append(close(f"ours.{metric}_mean", f"theirs.{short}_mean", 0))
        for index, percentile in enumerate(["p50", "p90"], start=1):
            equal.append(close(f"ours.{metric}_{percentile}", f"theirs.{short}_quantiles[{index}]", 0.01))
    credited = " + ".join(f"theirs.{name}" for name in COUNTERS if name != "co_authored_commits")
    query = f"""
        WITH ours AS ({exported(path)}), theirs AS ({expected(grain, sides, durations)})
        SELECT ours.level IS NOT NULL AS is_exported, theirs.level IS NOT NULL AS is_expected,
            coalesce({" AND ".join(equal)}, false) AS is_equal, {credited} AS credited, ours, theirs
        FROM ours FULL JOIN theirs USING (level, subject, start)
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE compared AS {query}")
    # An export has a row for the organization in every bucket, and none for a member who is only a co-author.
    wrong = """
        NOT is_equal
        AND NOT (is_exported AND NOT is_expected AND ours.level = 'org' AND ours.active_members = 0)
        AND NOT (is_expected AND NOT is_exported AND credited = 0)
    """
    rows = connection.execute("SELECT count(*) FROM compared WHERE is_exported").fetchall()[0][0]
    found = connection.execute(f"SELECT ours, theirs FROM compared WHERE {wrong} LIMIT {MAX_PRINTED}").fetchall()
    return rows, found


def main() -> None:
    database, grain, people, everybody = sys.argv[1:5]
    connection = duckdb.connect(database, read_only=True)
    connection.execute("SET TimeZone = 'UTC'")
    failed = False
    for path, sides, durations in [
        (people, "'people'", True),
        (everybody, "'people', 'bots', 'unknown'", False),
    ]:
        rows, found = differences(connection, grain, path, sides, durations)
        print(f"compared {rows:,} rows by {grain} with DuckDB, sides {sides}: {len(found)} differences shown")
        for ours, theirs in found:
            print(f"  github-metrics: {ours}\n  DuckDB:         {theirs}")
        failed = failed or bool(found) or rows == 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
