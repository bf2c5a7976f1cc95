"""Computes the rollups of a lake with DuckDB into a table of its own, and prints the time as JSON.

Usage: duckdb_rollups.py SNAPSHOTS DATABASE THREADS GRAINS
"""

import json
import sys
import time
from pathlib import Path

import duckdb

AGGREGATES = """
    count(*) FILTER (plain),
    count(*) FILTER (kind = 'commit' AND NOT plain),
    coalesce(sum(greatest(additions, 0)) FILTER (plain), 0),
    coalesce(sum(greatest(deletions, 0)) FILTER (plain), 0),
    coalesce(sum(greatest(files_changed, 0)) FILTER (plain), 0),
    count(*) FILTER (kind = 'pr_opened'),
    count(*) FILTER (kind = 'pr_merged'),
    count(*) FILTER (kind = 'pr_closed'),
    count(*) FILTER (kind = 'review'),
    count(*) FILTER (kind = 'issue_opened'),
    count(*) FILTER (kind = 'issue_closed'),
    count(*) FILTER (kind = 'release'),
    count(*) FILTER (kind = 'deployment_success'),
    count(*) FILTER (kind = 'deployment_failure'),
    count(*) FILTER (kind = 'co_authored'),
    count(DISTINCT subject) FILTER (kind <> 'co_authored' AND side <> 'unknown'),
    count(cycle_seconds), avg(cycle_seconds), quantile_disc(cycle_seconds, [0.5, 0.9]),
    count(review_seconds), avg(review_seconds), quantile_disc(review_seconds, [0.5, 0.9])
"""

# What a level groups by, and which facts it counts.
LEVELS = {
    "org": ("''", "", "NOT is_repeat"),
    "repo": ("repo_id::VARCHAR", "repo_id, ", "true"),
    "member": ("subject", "subject, ", "NOT is_repeat AND side <> 'unknown'"),
}


def scan(level: str, grains: list[str]) -> str:
    """Returns the statement that computes one level: a scan with a grouping set for each grain."""
    subject, key, condition = LEVELS[level]
    sets = ", ".join(f"({key}side, {grain})" for grain in grains)
    grain = " ".join(f"WHEN {grain} IS NOT NULL THEN '{grain}'" for grain in grains)
    start = f"coalesce({', '.join(grains)})"
    return (
        f"INSERT INTO rollups SELECT '{level}', {subject}, side, CASE {grain} END, {start}, {AGGREGATES} "
        f"FROM facts WHERE {condition} GROUP BY GROUPING SETS ({sets})"
    )


def main() -> None:
    files, database, threads, grains = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].split(",")
    started = time.perf_counter()
    connection = duckdb.connect(database, config={"threads": threads})
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    script = (Path(__file__).parent / "rollups.sql").read_text()
    columns = ", ".join(f"date_trunc('{grain}', occurred_at)::DATE AS {grain}" for grain in grains)
    connection.execute(script.replace("$FILES", "'" + files.replace("'", "''") + "'").replace("$GRAINS", columns))
    for level in LEVELS:
        connection.execute(scan(level, grains))
    connection.execute("CHECKPOINT")
    connection.close()
    print(json.dumps({"seconds": time.perf_counter() - started, "version": duckdb.__version__}))


if __name__ == "__main__":
    main()
