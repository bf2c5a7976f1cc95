"""What the OpenAPI document says in words only: which valid values are refused together.

schemathesis expects that requests with valid values are answered. These hooks take out what the descriptions exclude:
empty ranges, ranges outside of the calendar, series and charts with too many points, `type` next to another `metric`,
metrics of coding agents that are not known `by` a dimension, their lists by repository or member of anything but an
organization, and cursors that no page has returned.
"""

import datetime
import re

import schemathesis

FIRST_DAY, LAST_DAY = datetime.date(1970, 1, 1), datetime.date(9999, 1, 1)
DEFAULT_DAYS = datetime.timedelta(days=30)
MAX_POINTS = 20_000
MAX_CHART_BUCKETS = 1_000
DEFAULT_PARTS = 8
DAYS_IN_BUCKET = {"day": 1, "week": 7, "month": 28}


# The dimensions that metrics of coding agents are known by, by the beginning of their names.
DIMENSIONS = ("model", "tool", "branch")
KNOWN_BY = {
    "agent_responses": ("model", "branch"),
    "agent_tokens_": ("model", "branch"),
    "agent_cost_usd": ("model", "branch"),
    "agent_unpriced_tokens": ("model", "branch"),
    "agent_tool_": ("tool", "branch"),
    "agent_lines_": ("tool", "branch"),
}


def is_known_by(query):
    """Returns whether the metric of coding agents is known by the dimension, if there is one. Lists are by model."""
    metric, by = str(query.get("metric", query.get("sort"))), query.get("by", "model" if "sort" in query else None)
    if by not in DIMENSIONS or not metric.startswith("agent_"):
        return True
    return any(metric.startswith(name) and by in known for name, known in KNOWN_BY.items())


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def as_day(text):
    """Returns the day; None if the text is not a day, which is to be refused."""
    try:
        return datetime.date.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def has_valid_range(query, max_points):
    """Returns whether the range contains a day of the calendar. The defaults are those of the server."""
    for name in ("since", "until"):
        if name in query and as_day(query[name]) is None:
            return True
    tomorrow = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    until = as_day(query["until"]) if "until" in query else tomorrow
    if not FIRST_DAY <= until <= LAST_DAY:
        return False
    since = as_day(query["since"]) if "since" in query else max(FIRST_DAY, until - DEFAULT_DAYS)
    if not FIRST_DAY <= since < until:
        return False
    bucket_days = DAYS_IN_BUCKET.get(str(query.get("granularity")), 1)
    # A series of coding agents has its greatest parts, and the sum of all others.
    parts = query.get("parts", DEFAULT_PARTS) if "by" in query else 0
    series = int(parts) + 1 if str(parts).isdigit() else 1
    return series * len(as_list(query.get("metric", "commits"))) * ((until - since).days / bucket_days + 2) <= max_points


@schemathesis.hook
def filter_case(context, case):
    query = case.query
    if not isinstance(query, dict):
        return True
    if "type" in query and "metric" in query:
        return False
    if "/agents" in case.path and not is_known_by(query):
        return False
    if re.search("/(repos|members)/[^/]+/agents", case.path) and query.get("by") in ("repo", "member"):
        return False
    return has_valid_range(query, MAX_CHART_BUCKETS if "/charts/" in case.path else MAX_POINTS)


@schemathesis.hook
def map_case(context, case):
    if isinstance(case.query, dict) and case.query.get("cursor"):
        del case.query["cursor"]
    if isinstance(case.query, dict) and case.query.get("after"):
        del case.query["after"]
    return case
