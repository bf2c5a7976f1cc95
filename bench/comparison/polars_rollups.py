"""Computes the rollups of a lake with Polars into Parquet files, and prints the time as JSON.

Usage: polars_rollups.py SNAPSHOTS DIRECTORY GRAINS

The number of threads is that of the variable POLARS_MAX_THREADS.
"""

import json
import sys
import time
from pathlib import Path

import polars as pl
from polars import col

COMMITS = col("kind") == "commit"
# Nearest-rank percentiles, as github-metrics computes them.
NEAREST_RANK = "equiprobable"
WINDOWS = {"day": "1d", "week": "1w", "month": "1mo"}


def live_events(files: str) -> pl.LazyFrame:
    """Returns what counts: no retracted event, and no review of one's own pull request."""
    events = pl.scan_parquet(files, hive_partitioning=False).filter(~col("retracted"))
    author = col("member").cast(pl.String).str.to_lowercase()
    is_own_review = (col("kind") == "review") & (col("pr_member").cast(pl.String).str.to_lowercase() == author)
    return events.filter(~is_own_review.fill_null(False)).with_columns(
        subject=author,
        plain=COMMITS & (col("parents").fill_null(0) <= 1),
        side=pl.when(col("member_kind") == "bot")
        .then(pl.lit("bots"))
        .when(col("member_kind") == "unknown")
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("people")),
    )


def repeated_commits(events: pl.LazyFrame) -> pl.LazyFrame:
    """Returns the ids of commits that another repository's row counts for the organization and the author."""
    commits = events.filter(COMMITS).select(
        "event_id", "sha", "repo_id", month=col("occurred_at").dt.truncate("1mo"), lacks_lines=col("additions").is_null()
    )
    shared = commits.group_by("month", "sha").len().filter(col("len") > 1).select("month", "sha")
    ranked = commits.join(shared, on=["month", "sha"]).sort("lacks_lines", "repo_id")
    return ranked.filter(pl.int_range(pl.len()).over("month", "sha") > 0).select("event_id")


def seconds_since_creation(at: str) -> pl.Expr:
    return ((col(at) - col("created_at")).dt.total_milliseconds() // 1000).clip(0)


def first_reviews(events: pl.LazyFrame) -> pl.LazyFrame:
    """Returns the time from creation to the first review by another person, by the id of the merge."""
    reviews = (
        events.filter(col("kind") == "pr_merged")
        .select("event_id", "occurred_at", "created_at", "subject", "first_reviews")
        .explode("first_reviews")
        .with_columns(
            reviewer=col("first_reviews").struct.field("member").str.to_lowercase(),
            reviewer_kind=col("first_reviews").struct.field("member_kind"),
            reviewed_at=col("first_reviews").struct.field("at"),
        )
    )
    counted = reviews.filter(
        (col("reviewed_at") <= col("occurred_at"))
        & (col("reviewer_kind") != "bot")
        & (col("reviewer") != col("subject"))
    )
    return counted.group_by("event_id").agg(review_seconds=seconds_since_creation("reviewed_at").min())


def co_authored(events: pl.LazyFrame) -> pl.LazyFrame:
    """Returns a row for each co-author of a commit."""
    names = events.filter(col("plain") & (col("co_authors").list.len() > 0)).select(
        "event_id", "occurred_at", "repo_id", author="subject", subject="co_authors"
    )
    names = names.explode("subject").with_columns(col("subject").str.to_lowercase())
    names = names.filter(col("subject") != col("author")).unique(["event_id", "subject"])
    side = pl.when(col("subject").str.ends_with("[bot]")).then(pl.lit("bots")).otherwise(pl.lit("people"))
    return names.select(
        "event_id", "occurred_at", "repo_id", "subject", side=side, plain=pl.lit(False), kind=pl.lit("co_authored")
    )


def facts(files: str, grains: list[str]) -> pl.LazyFrame:
    """Returns one row for each event, and one for each co-author of a commit."""
    events = live_events(files)
    authored = events.join(first_reviews(events), on="event_id", how="left").select(
        "event_id",
        "occurred_at",
        "repo_id",
        "subject",
        "side",
        "plain",
        "additions",
        "deletions",
        "files_changed",
        "review_seconds",
        kind=col("kind").cast(pl.String),
        cycle_seconds=pl.when(col("kind") == "pr_merged").then(seconds_since_creation("occurred_at")),
    )
    repeated = repeated_commits(events).with_columns(is_repeat=pl.lit(True))
    everything = pl.concat([authored, co_authored(events)], how="diagonal_relaxed")
    return everything.join(repeated, on="event_id", how="left").with_columns(
        col("is_repeat").fill_null(False),
        *[col("occurred_at").dt.truncate(WINDOWS[grain]).dt.date().alias(grain) for grain in grains],
    )


def aggregates() -> list[pl.Expr]:
    kinds = {
        "prs_opened": "pr_opened",
        "prs_merged": "pr_merged",
        "prs_closed": "pr_closed",
        "reviews": "review",
        "issues_opened": "issue_opened",
        "issues_closed": "issue_closed",
        "releases": "release",
        "deploys": "deployment_success",
        "deploy_failures": "deployment_failure",
        "co_authored_commits": "co_authored",
    }
    is_credited = (col("kind") != "co_authored") & (col("side") != "unknown")
    durations = []
    for name in ["cycle", "review"]:
        seconds = col(f"{name}_seconds")
        durations += [
            seconds.count().alias(f"{name}_count"),
            seconds.mean().alias(f"{name}_mean"),
            seconds.quantile(0.5, NEAREST_RANK).alias(f"{name}_p50"),
            seconds.quantile(0.9, NEAREST_RANK).alias(f"{name}_p90"),
        ]
    return [
        col("plain").sum().alias("commits"),
        ((col("kind") == "commit") & ~col("plain")).sum().alias("merge_commits"),
        *[
            col(lines).clip(0).filter(col("plain")).sum().alias(lines)
            for lines in ["additions", "deletions", "files_changed"]
        ],
        *[(col("kind") == kind).sum().alias(name) for name, kind in kinds.items()],
        col("subject").filter(is_credited).n_unique().alias("active_members"),
        *durations,
    ]


def main() -> None:
    files, directory, grains = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(",")
    started = time.perf_counter()
    directory.mkdir(parents=True)
    # Otherwise each level would compute it again, which takes longer.
    rows = facts(files, grains).collect(engine="streaming").lazy()
    once = rows.filter(~col("is_repeat"))
    levels = {
        "org": (once, []),
        "repo": (rows, ["repo_id"]),
        "member": (once.filter(col("side") != "unknown"), ["subject"]),
    }
    for level, (counted, key) in levels.items():
        queries = [counted.group_by(*key, "side", grain).agg(aggregates()) for grain in grains]
        for grain, frame in zip(grains, pl.collect_all(queries, engine="streaming")):
            frame.write_parquet(directory / f"{level}-{grain}.parquet")
    print(json.dumps({"seconds": time.perf_counter() - started, "version": pl.__version__}))


if __name__ == "__main__":
    main()
