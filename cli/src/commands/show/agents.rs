//! `show agents`: what the sessions of coding agents used and did.

use chrono::NaiveDate;
use gam_client::{Answer, MetricsQuery, SubjectRef};
use gam_model::agent_metric::AGENT_CATALOGUE;
use gam_model::period::LAST_DAY;
use gam_model::{AgentDimension, AgentMetric, Grain, Range};
use gam_query::{
    AgentListAnswer, AgentListing, AgentMetricChange, AgentMetricChanges, AgentMetricValue,
    AgentMetricsAnswer, AgentPartName, AgentPoint, AgentSeriesAnswer, AnswerContext, CoverageAnswer,
    PrClassesAnswer, PreviousRange,
};
use serde_json::json;

use super::{FIRST_YEAR, LAST_YEAR, ShowArgs, ShowFormat, default_grain, heading, show_format};
use crate::api::ApiClient;
use crate::error::usage_error;
use crate::export_rows::NumberColumn;
use crate::format::{csv_text, integer, tsv_text};
use crate::session::CliSession;
use crate::table::{begins_after, missing_text, relative_change, text_table};
use crate::terminal_text::escaped;

/// The metric of the series if none is requested.
const DEFAULT_METRIC: &str = "agent_cost_usd";
/// Number of entries of a list if `--limit` is not given.
const DEFAULT_LIMIT: u16 = 50;
/// Number of models, tools or branches that the table of the series names.
const MAX_COLUMNS: u16 = 5;

/// A table: the header, and rows of as many cells.
type Records = (Vec<String>, Vec<Vec<String>>);

/// Queries the metrics, or with `--by` the list, and the series, and returns the text.
pub(super) async fn show(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    args: &ShowArgs,
) -> anyhow::Result<String> {
    let query = MetricsQuery { since: args.since, until: args.until, bots: args.bots.bots, compare: true };
    match args.by {
        None if args.limit.is_some() => {
            Err(usage_error("--limit is for lists: use it with --by model, tool, branch, repo or member"))
        }
        Some(AgentListing::Repos | AgentListing::Members) if args.granularity.is_some() => {
            Err(usage_error("--granularity is for series: a list of repositories or members has none"))
        }
        None => show_metrics(session, client, org, query, args).await,
        Some(listing) => show_list(session, client, org, (listing, query), args).await,
    }
}

fn metric(args: &ShowArgs, default: &str) -> &'static AgentMetric {
    args.metric
        .and_then(super::ShownMetric::of_agents)
        .or_else(|| AgentMetric::named(default))
        .expect("the default is in the catalogue")
}

async fn show_metrics(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    query: MetricsQuery,
    args: &ShowArgs,
) -> anyhow::Result<String> {
    let metrics = client.send(async |api| api.agent_metrics(org, &SubjectRef::Org, &query).await).await?;
    let metric = metric(args, DEFAULT_METRIC);
    let series = query_series(client, org, (metric, None), &metrics.value.context, args).await?;
    let prs = client.send(async |api| api.agent_prs(org, &SubjectRef::Org, &query).await).await?;
    let answer = &metrics.value;
    let previous = answer.previous.as_ref().and_then(Option::as_ref).map(|previous| previous.range);
    if !answer.unpriced_models.is_empty() {
        let models: Vec<String> = answer.unpriced_models.iter().map(|model| quoted_model(model)).collect();
        session.console.print_notice(format!(
            "no price of {}: their tokens are in agent_unpriced_tokens, not in agent_cost_usd; add a price to \
             [[sessions.prices]] of the configuration",
            models.join(", ")
        ));
    }
    Ok(match show_format(session) {
        ShowFormat::Json => session.for_stdout(format!(
            "{{\"metrics\":{},\"timeseries\":{},\"prs\":{}}}\n",
            metrics.text.trim(),
            series.text.trim(),
            prs.text.trim()
        )),
        ShowFormat::Csv => {
            let (header, records) = long_records(&series.value);
            session.for_stdout(csv_text(&header, records)?)
        }
        ShowFormat::TabSeparated => {
            session.console.print_info(heading(&answer.context, &CoverageAnswer::default(), usize::MAX));
            let (header, records) = match args.granularity {
                Some(_) => series_records(&series.value, ""),
                None => {
                    let previous = comparable(client, org, previous, args).await?;
                    exact_metric_records(answer, previous.is_some())
                }
            };
            tsv_text(&header, &records)
        }
        ShowFormat::Table(style) => {
            let missing = missing_text(style);
            let previous = comparable(client, org, previous, args).await?;
            let metrics = text_table(&metric_records(answer, previous.is_some(), missing), 1, style);
            let metrics = format!("{metrics}{}", change_note(previous));
            let series = text_table(&series_records(&series.value, missing), 1, style);
            let coverage = coverage_text(answer);
            let heading = heading(&answer.context, &CoverageAnswer::default(), style.width);
            let note = unpriced_note(&prs.value);
            let prs = text_table(&pr_records(&prs.value, missing), 1, style);
            let prs = format!("{prs}{note}");
            let grain = series_grain(args, &answer.context);
            format!(
                "{heading}\n{coverage}\n\n{metrics}\n\nmerged pull requests\n{prs}\n\n{} by {grain}\n{series}\n",
                metric.name
            )
        }
    })
}

async fn show_list(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    (listing, query): (AgentListing, MetricsQuery),
    args: &ShowArgs,
) -> anyhow::Result<String> {
    let metric = metric(args, listing.default_sort());
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let list = async |api: &gam_client::Client| {
        api.agent_list(org, &SubjectRef::Org, (listing, metric, limit), &query).await
    };
    let list = client.send(list).await?;
    let answer = &list.value;
    if answer.count > answer.entries.len() as u64 {
        let (shown, all) = (answer.entries.len(), integer(answer.count));
        session.console.print_info(format!("the first {shown} of {all} entries: raise --limit to see more"));
    }
    let series = match listing.dimension() {
        Some(dimension) => {
            Some(query_series(client, org, (metric, Some(dimension)), &answer.context, args).await?)
        }
        None => None,
    };
    let previous = answer.previous.flatten();
    // A table has both. What has one table only has the series if the length of its buckets is requested.
    let requested_series = series.as_ref().filter(|_| args.granularity.is_some());
    Ok(match show_format(session) {
        ShowFormat::Json => {
            let series = series.as_ref().map_or("null", |series| &series.text);
            session.for_stdout(json_pair("list", &list.text, series))
        }
        ShowFormat::Csv => {
            let (header, records) = match requested_series {
                Some(series) => long_records(&series.value),
                None => {
                    let previous = comparable(client, org, previous, args).await?;
                    exact_list_records(listing, answer, (metric, previous.is_some()))
                }
            };
            session.for_stdout(csv_text(&header, records)?)
        }
        ShowFormat::TabSeparated => {
            session.console.print_info(heading(&answer.context, &CoverageAnswer::default(), usize::MAX));
            let (header, records) = match requested_series {
                Some(series) => series_records(&series.value, ""),
                None => {
                    let previous = comparable(client, org, previous, args).await?;
                    list_records(listing, answer, (metric, previous.is_some()), "")
                }
            };
            tsv_text(&header, &records)
        }
        ShowFormat::Table(style) => {
            let missing = missing_text(style);
            let previous = comparable(client, org, previous, args).await?;
            let (header, records) = list_records(listing, answer, (metric, previous.is_some()), missing);
            let heading = heading(&answer.context, &CoverageAnswer::default(), style.width);
            let entries = match records.is_empty() {
                true => "no sessions in this range".to_owned(),
                false => {
                    let table = text_table(&(header, records), name_columns(listing).len(), style);
                    format!("{table}{}", change_note(previous))
                }
            };
            let series = series.map_or_else(String::new, |series| {
                let table = text_table(&series_records(&series.value, missing), 1, style);
                format!(
                    "\n{} by {} and {}\n{table}\n",
                    metric.name,
                    series_grain(args, &answer.context),
                    listing.as_str()
                )
            });
            format!("{heading}\n\n{} by {}\n{entries}\n{series}", listing.as_str(), metric.name)
        }
    })
}

fn json_pair(name: &str, answer: &str, series: &str) -> String {
    format!("{{\"{name}\":{},\"timeseries\":{}}}\n", answer.trim(), series.trim())
}

/// Returns the length of the buckets of the series.
fn series_grain(args: &ShowArgs, context: &AnswerContext) -> &'static str {
    grain(args, context).as_str()
}

fn grain(args: &ShowArgs, context: &AnswerContext) -> Grain {
    let range = Range::new(context.since, context.until);
    args.granularity.or_else(|| range.map(default_grain)).unwrap_or(Grain::Day)
}

/// Returns the range before if sessions are known from its beginning on. Days before the first one would look like growth.
async fn comparable(
    client: &ApiClient,
    org: &str,
    previous: Option<PreviousRange>,
    args: &ShowArgs,
) -> anyhow::Result<Option<PreviousRange>> {
    let Some(previous) = previous else { return Ok(None) };
    let first_day = first_session_day(client, org, args).await?;
    Ok(Some(previous).filter(|previous| begins_after(*previous, first_day)))
}

/// Returns the first day with something of a session; `None` if there is none. Two requests find it: the first month, then
/// the first day of that month.
async fn first_session_day(
    client: &ApiClient,
    org: &str,
    args: &ShowArgs,
) -> anyhow::Result<Option<NaiveDate>> {
    let Some(members) = AgentMetric::named("agent_members") else { return Ok(None) };
    let first_with = async |grain: Grain, since: NaiveDate, until: NaiveDate| {
        let query =
            MetricsQuery { since: Some(since), until: Some(until), bots: args.bots.bots, compare: false };
        let series = async |api: &gam_client::Client| {
            api.agent_series(org, &SubjectRef::Org, (members, None, MAX_COLUMNS), grain, &query).await
        };
        let points = client.send(series).await?.value.points.unwrap_or_default();
        Ok::<_, anyhow::Error>(points.into_iter().find(|point| point.value != AgentMetricValue::Count(0)))
    };
    let Some(month) = first_with(Grain::Month, FIRST_YEAR, LAST_YEAR).await? else { return Ok(None) };
    let day = first_with(Grain::Day, month.start, month.end.min(LAST_DAY)).await?;
    Ok(day.map(|day| day.start))
}

/// Returns the line below a table with changes; empty if it has none.
fn change_note(previous: Option<PreviousRange>) -> String {
    previous.map_or_else(String::new, |before| format!("\nchange since {} to {}", before.since, before.until))
}

/// Returns the change of a metric for people: in percent, or as a number if there was nothing before. Of a distribution it
/// is that of the median.
fn change_text(change: AgentMetricChange) -> String {
    let (relative, difference) = match change {
        AgentMetricChange::Count(change) => (change.relative, Some(change.difference as f64)),
        AgentMetricChange::Number(change) => (change.relative, change.difference),
        AgentMetricChange::Distribution { p50, .. } => (p50.relative, p50.difference),
    };
    relative_change(relative, difference.map(|difference| (difference * 1e4).round() / 1e4))
}

/// Returns the difference of a metric for other programs.
fn exact_change(change: AgentMetricChange) -> String {
    let exact =
        |difference: Option<f64>| difference.map_or_else(String::new, |number| json!(number).to_string());
    match change {
        AgentMetricChange::Count(change) => change.difference.to_string(),
        AgentMetricChange::Number(change) => exact(change.difference),
        AgentMetricChange::Distribution { p50, .. } => exact(p50.difference),
    }
}

/// Returns the change of a metric as text; empty if it is not known.
fn change_in(
    changes: Option<&AgentMetricChanges>,
    metric: &AgentMetric,
    text: fn(AgentMetricChange) -> String,
) -> String {
    changes.and_then(|changes| changes.get(metric.name)).map_or_else(String::new, text)
}

async fn query_series(
    client: &ApiClient,
    org: &str,
    (metric, by): (&'static AgentMetric, Option<AgentDimension>),
    context: &AnswerContext,
    args: &ShowArgs,
) -> anyhow::Result<Answer<AgentSeriesAnswer>> {
    let query = MetricsQuery {
        since: Some(context.since),
        until: Some(context.until),
        bots: args.bots.bots,
        compare: false,
    };
    let grain = grain(args, context);
    let series = async |api: &gam_client::Client| {
        api.agent_series(org, &SubjectRef::Org, (metric, by, MAX_COLUMNS), grain, &query).await
    };
    client.send(series).await
}

/// Returns what is known: of how many of the active people there are sessions.
fn coverage_text(answer: &AgentMetricsAnswer) -> String {
    let known = answer.coverage.as_ref().map(|coverage| {
        format!(
            "sessions of {} of {} people who were active on GitHub; of the others none is known",
            integer(coverage.active_members_with_sessions),
            integer(coverage.active_members)
        )
    });
    let deleted = answer.kept_since.filter(|first| answer.context.since < *first);
    let deleted =
        deleted.map(|first| format!("sessions before {first} (UTC) were deleted: nothing is known of them"));
    known.into_iter().chain(deleted).collect::<Vec<_>>().join("\n")
}

fn quoted_model(model: &str) -> String {
    if model.is_empty() { "responses without a model".to_owned() } else { escaped(model) }
}

/// Returns the classes of merged pull requests: medians, and how many of them have a cost.
fn pr_records(answer: &PrClassesAnswer, missing: &str) -> Records {
    let header =
        ["sessions", "prs", "cycle_time_hours", "cost_usd", "prs_with_cost"].map(str::to_owned).to_vec();
    let rows = answer.classes.iter().map(|class| {
        let with_cost = match class.cost_usd {
            AgentMetricValue::Distribution { count, .. } => count.to_string(),
            _ => String::new(),
        };
        let name = if class.class == "unknown" { "none known" } else { &class.class };
        vec![
            name.to_owned(),
            class.prs.to_string(),
            value_text(class.cycle_time_hours, missing),
            value_text(class.cost_usd, missing),
            with_cost,
        ]
    });
    (header, rows.collect())
}

/// Returns the line below the classes that says what their costs lack; empty if all tokens have a price.
fn unpriced_note(answer: &PrClassesAnswer) -> String {
    match answer.classes.iter().map(|class| class.unpriced_tokens).sum::<u64>() {
        0 => String::new(),
        tokens => format!("\n{} tokens on their branches have no price", integer(tokens)),
    }
}

/// Returns the mean and the 90th percentile; empty if the value is no distribution.
fn statistics(value: AgentMetricValue) -> [String; 2] {
    match value {
        AgentMetricValue::Distribution { mean, p90, .. } => [mean, p90].map(|value| number(value, "")),
        _ => Default::default(),
    }
}

/// Returns the metrics for people, with their changes if the range before can be compared with. `missing` stands for a
/// value that is not known.
fn metric_records(answer: &AgentMetricsAnswer, has_change: bool, missing: &str) -> Records {
    let mut header = ["metric", "value", "unit", "mean", "p90"].map(str::to_owned).to_vec();
    if has_change {
        header.insert(2, "change".to_owned());
    }
    let rows = AGENT_CATALOGUE.iter().filter_map(|metric| {
        let value = answer.metrics.get(metric.name)?;
        let mut row = vec![metric.name.to_owned(), value_text(value, missing), metric.unit.to_owned()];
        row.extend(statistics(value));
        if has_change {
            row.insert(2, change_in(changes_of(answer), metric, change_text));
        }
        Some(row)
    });
    (header, rows.collect())
}

/// Returns the metrics for other programs. `change` is the difference to `previous`; both are empty if sessions are not
/// known from the beginning of the range before on.
fn exact_metric_records(answer: &AgentMetricsAnswer, has_change: bool) -> Records {
    let header = ["metric", "value", "unit", "mean", "p90", "previous", "change"].map(str::to_owned).to_vec();
    let before = answer.previous.as_ref().and_then(Option::as_ref).filter(|_| has_change);
    let rows = AGENT_CATALOGUE.iter().filter_map(|metric| {
        let value = answer.metrics.get(metric.name)?;
        let previous = before.and_then(|before| before.values.metrics.get(metric.name));
        let changes = changes_of(answer).filter(|_| has_change);
        let mut row = vec![metric.name.to_owned(), value_text(value, ""), metric.unit.to_owned()];
        row.extend(statistics(value));
        row.push(previous.map_or_else(String::new, |value| value_text(value, "")));
        row.push(change_in(changes, metric, exact_change));
        Some(row)
    });
    (header, rows.collect())
}

fn changes_of(answer: &AgentMetricsAnswer) -> Option<&AgentMetricChanges> {
    answer.change.as_ref()?.as_ref()
}

/// Returns a list for people: of repositories and members some metrics, and of distributions the median. The metric that
/// sorts the list is the first one. Its change follows it if the range before can be compared with.
fn list_records(
    listing: AgentListing,
    answer: &AgentListAnswer,
    (sort, has_change): (&'static AgentMetric, bool),
    missing: &str,
) -> Records {
    let has_unpriced = answer.entries.iter().any(|entry| entry.metrics.number(UNPRICED) > Some(0.0));
    let is_shown = |metric: &&AgentMetric| {
        listing.dimension().is_some()
            || LISTED_METRICS.contains(&metric.name)
            || (metric.name == UNPRICED && has_unpriced)
    };
    let others = AgentMetric::divided_by(listing.dimension()).filter(is_shown);
    // First, because a narrow terminal shows the first columns.
    let metrics: Vec<&AgentMetric> =
        std::iter::once(sort).chain(others.filter(|metric| metric.name != sort.name)).collect();
    let is_compared = |metric: &AgentMetric| has_change && metric.name == sort.name;
    let mut header = name_columns(listing);
    for metric in &metrics {
        header.push(metric.name.to_owned());
        header.extend(is_compared(metric).then(|| "change".to_owned()));
    }
    let rows = answer.entries.iter().map(|entry| {
        let mut row = name_cells(listing, &entry.name);
        for metric in &metrics {
            let value = entry.metrics.get(metric.name);
            row.push(value.map_or_else(String::new, |value| value_text(value, missing)));
            row.extend(is_compared(metric).then(|| change_in(entry.change.as_ref(), metric, change_text)));
        }
        row
    });
    (header, rows.collect())
}

/// Returns a list with all metrics and the numbers of the API, and the change of the metric that sorts it. The change is
/// empty if the range before cannot be compared with.
fn exact_list_records(
    listing: AgentListing,
    answer: &AgentListAnswer,
    (sort, has_change): (&AgentMetric, bool),
) -> Records {
    let columns = NumberColumn::of_sessions(AgentMetric::divided_by(listing.dimension()));
    let mut header = name_columns(listing);
    header.extend(columns.iter().map(NumberColumn::name));
    header.push(format!("{}_change", sort.name));
    let rows = answer.entries.iter().map(|entry| {
        let mut row = name_cells(listing, &entry.name);
        row.extend(columns.iter().map(|column| column.text_in(&entry.metrics)));
        row.push(change_in(entry.change.as_ref().filter(|_| has_change), sort, exact_change));
        row
    });
    (header, rows.collect())
}

/// The metric of tokens without a price.
const UNPRICED: &str = "agent_unpriced_tokens";

/// The metrics of a list of repositories or members.
const LISTED_METRICS: [&str; 7] = [
    "agent_sessions",
    "agent_active_hours",
    "agent_prompts",
    "agent_responses",
    "agent_cost_usd",
    "agent_tool_calls",
    "agent_tool_error_rate",
];

fn name_columns(listing: AgentListing) -> Vec<String> {
    match listing {
        AgentListing::Parts(AgentDimension::Branch) => vec!["repo".to_owned(), "branch".to_owned()],
        listing => vec![listing.as_str().to_owned()],
    }
}

fn name_cells(listing: AgentListing, name: &AgentPartName) -> Vec<String> {
    let text = |text: &Option<String>| escaped(text.as_deref().unwrap_or_default());
    match listing {
        AgentListing::Parts(AgentDimension::Model) => vec![text(&name.model)],
        AgentListing::Parts(AgentDimension::Tool) => vec![text(&name.tool)],
        AgentListing::Parts(AgentDimension::Branch) => vec![text(&name.repo), text(&name.branch)],
        AgentListing::Repos => vec![text(&name.repo)],
        AgentListing::Members => vec![text(&name.member)],
    }
}

/// Returns the label and the points of the total, or of each part.
fn labelled_series(answer: &AgentSeriesAnswer) -> Vec<(String, &[AgentPoint])> {
    if let Some(points) = &answer.points {
        return vec![(answer.metric.clone(), points)];
    }
    let parts = answer.series.iter().flatten().map(|part| {
        let label = part.name.label();
        let is_named = part.name != AgentPartName::default();
        let label = match (is_named, label.is_empty()) {
            (false, _) => "others".to_owned(),
            (true, true) => "(none)".to_owned(),
            (true, false) => escaped(&label),
        };
        (label, &part.points[..])
    });
    parts.collect()
}

/// Returns a row for each bucket, with a column for each part. A bucket that the range cuts is marked. `missing` stands for
/// a value that is not known.
fn series_records(answer: &AgentSeriesAnswer, missing: &str) -> Records {
    let columns = labelled_series(answer);
    let mut header = vec!["from".to_owned()];
    header.extend(columns.iter().map(|(label, _)| label.clone()));
    let buckets = columns.first().map_or(&[][..], |(_, points)| *points);
    let rows = buckets.iter().enumerate().map(|(index, bucket)| {
        let mark = if bucket.partial { " (partial)" } else { "" };
        let mut row = vec![format!("{}{mark}", bucket.start)];
        row.extend(columns.iter().map(|(_, points)| {
            points.get(index).map_or_else(String::new, |point| value_text(point.value, missing))
        }));
        row
    });
    let rows: Vec<_> = rows.collect();
    (header, rows)
}

/// Returns a row for each bucket of each part, as the CSV of activity has them.
fn long_records(answer: &AgentSeriesAnswer) -> Records {
    let columns = NumberColumn::of_sessions(AgentMetric::named(&answer.metric).into_iter());
    let mut header = ["start", "end", "metric"].map(str::to_owned).to_vec();
    header.extend(answer.by.clone());
    header.extend(columns.iter().map(|column| column.statistic().unwrap_or("value").to_owned()));
    header.push("partial".to_owned());
    let series = labelled_series(answer);
    let rows = series.iter().flat_map(|(label, points)| {
        let columns = &columns;
        points.iter().map(move |point| {
            let mut row = vec![point.start.to_string(), point.end.to_string(), answer.metric.clone()];
            row.extend(answer.by.as_ref().map(|_| label.clone()));
            row.extend(columns.iter().map(|column| column.text_of(point.value)));
            row.push(point.partial.to_string());
            row
        })
    });
    (header, rows.collect())
}

fn value_text(value: AgentMetricValue, missing: &str) -> String {
    match value {
        AgentMetricValue::Count(count) => count.to_string(),
        AgentMetricValue::Number(value) => number(value, missing),
        AgentMetricValue::Distribution { p50, .. } => number(p50, missing),
    }
}

/// Formats a number with up to four decimals.
fn number(value: Option<f64>, missing: &str) -> String {
    let Some(value) = value else { return missing.to_owned() };
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn series(fields: &Value) -> AgentSeriesAnswer {
        let mut answer = json!({
            "org": "acme", "since": "2026-01-07", "until": "2026-01-19", "timezone": "UTC", "bots": "auto",
            "granularity": "week",
        });
        for (name, value) in fields.as_object().unwrap() {
            answer[name] = value.clone();
        }
        serde_json::from_value(answer).unwrap()
    }

    fn points(values: [f64; 2]) -> Value {
        json!([
            {"start": "2026-01-05", "end": "2026-01-12", "value": values[0], "partial": true},
            {"start": "2026-01-12", "end": "2026-01-19", "value": values[1]},
        ])
    }

    fn csv((header, records): Records) -> String {
        csv_text(&header, records).unwrap()
    }

    #[test]
    fn csv_has_the_exact_values_and_the_buckets_of_the_series() {
        let total = series(&json!({"metric": "agent_cost_usd", "points": points([0.123_456_7, 2.0])}));
        assert_eq!(
            csv(long_records(&total)),
            "start,end,metric,value,partial\n\
             2026-01-05,2026-01-12,agent_cost_usd,0.1234567,true\n\
             2026-01-12,2026-01-19,agent_cost_usd,2.0,false\n"
        );
        let divided = series(&json!({
            "metric": "agent_cost_usd", "by": "model",
            "series": [{"model": "m", "points": points([1.5, 0.0])}, {"points": points([0.5, 0.0])}],
        }));
        let text = csv(long_records(&divided));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "start,end,metric,model,value,partial");
        assert_eq!(lines[1], "2026-01-05,2026-01-12,agent_cost_usd,m,1.5,true");
        assert_eq!(lines[3], "2026-01-05,2026-01-12,agent_cost_usd,others,0.5,true");

        let lengths = series(&json!({"metric": "agent_session_hours", "points": [{
            "start": "2026-01-05", "end": "2026-01-12", "value": {"count": 2, "mean": 1.5, "p50": 1.0, "p90": 2.0},
        }]}));
        let text = csv(long_records(&lengths));
        assert!(text.starts_with("start,end,metric,count,mean,p50,p90,partial\n"), "{text}");
        assert!(text.ends_with("agent_session_hours,2,1.5,1.0,2.0,false\n"), "{text}");
    }

    #[test]
    fn a_table_marks_buckets_that_the_range_cuts() {
        let total = series(&json!({"metric": "agent_prompts", "points": points([1.0, 2.0])}));
        let (header, rows) = series_records(&total, "");
        assert_eq!(header, ["from", "agent_prompts"]);
        assert_eq!(rows, [["2026-01-05 (partial)", "1"], ["2026-01-12", "2"]]);
    }

    #[test]
    fn csv_of_members_has_all_metrics() {
        let answer: AgentListAnswer = serde_json::from_value(json!({
            "org": "acme", "since": "2026-01-05", "until": "2026-01-19", "timezone": "UTC", "bots": "auto",
            "by": "member", "sort": "agent_cost_usd", "count": 1, "entries": [{
                "member": "ann", "kind": "user",
                "metrics": {"agent_cost_usd": 0.123_456_7, "agent_session_hours": {
                    "count": 1, "mean": 0.5, "p50": 0.5, "p90": 0.5,
                }},
            }],
        }))
        .unwrap();
        let sort = (AgentMetric::named("agent_cost_usd").unwrap(), false);
        let cell = |(header, rows): Records, name: &str| {
            header.iter().position(|column| column == name).map(|index| rows[0][index].clone())
        };
        assert_eq!(
            cell(exact_list_records(AgentListing::Members, &answer, sort), "agent_cost_usd").as_deref(),
            Some("0.1234567")
        );
        assert_eq!(
            cell(list_records(AgentListing::Members, &answer, sort, ""), "agent_cost_usd").as_deref(),
            Some("0.1235")
        );
        assert_eq!(
            cell(exact_list_records(AgentListing::Members, &answer, sort), "agent_session_hours_p90")
                .as_deref(),
            Some("0.5")
        );
        assert_eq!(cell(list_records(AgentListing::Members, &answer, sort, ""), "agent_session_hours"), None);
    }

    #[test]
    fn the_metrics_have_their_changes_since_the_range_before() {
        let answer: AgentMetricsAnswer = serde_json::from_value(json!({
            "org": "acme", "since": "2026-01-15", "until": "2026-01-29", "timezone": "UTC", "bots": "auto",
            "unpriced_models": [], "metrics": {
                "agent_prompts": 6, "agent_cost_usd": 1.5, "agent_tool_error_rate": null,
            },
            "previous": {"since": "2026-01-01", "until": "2026-01-15", "metrics": {
                "agent_prompts": 4, "agent_cost_usd": null, "agent_tool_error_rate": null,
            }},
            "change": {
                "agent_prompts": {"difference": 2, "relative": 0.5},
                "agent_cost_usd": {"difference": 1.234_56, "relative": null},
                "agent_tool_error_rate": {"difference": null, "relative": null},
            },
        }))
        .unwrap();
        let (header, rows) = metric_records(&answer, true, "–");
        assert_eq!(header, ["metric", "value", "change", "unit", "mean", "p90"]);
        let shown: Vec<[&str; 3]> = rows.iter().map(|row| [&*row[0], &*row[1], &*row[2]]).collect();
        assert_eq!(
            shown,
            [
                ["agent_prompts", "6", "+50%"],
                ["agent_cost_usd", "1.5", "+1.2346"],
                ["agent_tool_error_rate", "–", ""],
            ]
        );
        assert_eq!(metric_records(&answer, false, "–").0, ["metric", "value", "unit", "mean", "p90"]);
        let (_, rows) = exact_metric_records(&answer, true);
        assert_eq!(rows[0][5..], ["4", "2"]);
        assert_eq!(rows[1][5..], ["", "1.23456"]);
        assert_eq!(exact_metric_records(&answer, false).1[0][5..], ["", ""]);
    }

    #[test]
    fn a_list_has_the_change_of_its_metric_and_no_cost_without_a_price() {
        let answer: AgentListAnswer = serde_json::from_value(json!({
            "org": "acme", "since": "2026-01-15", "until": "2026-01-29", "timezone": "UTC", "bots": "auto",
            "by": "member", "sort": "agent_prompts", "count": 1, "entries": [{
                "member": "ann", "kind": "user",
                "metrics": {"agent_prompts": 6, "agent_cost_usd": null, "agent_unpriced_tokens": 70},
                "previous": {"metrics": {"agent_prompts": 4, "agent_cost_usd": 1.0}},
                "change": {"agent_prompts": {"difference": 2, "relative": 0.5}},
            }],
        }))
        .unwrap();
        let sort = AgentMetric::named("agent_prompts").unwrap();
        let (header, rows) = list_records(AgentListing::Members, &answer, (sort, true), "–");
        let row: Vec<(&str, &str)> = header
            .iter()
            .zip(&rows[0])
            .map(|(name, cell)| (&**name, &**cell))
            .filter(|(_, cell)| !cell.is_empty())
            .collect();
        let expected = [
            ("member", "ann"),
            ("agent_prompts", "6"),
            ("change", "+50%"),
            ("agent_cost_usd", "–"),
            ("agent_unpriced_tokens", "70"),
        ];
        assert_eq!(row, expected);
        assert!(
            !list_records(AgentListing::Members, &answer, (sort, false), "").0.contains(&"change".to_owned())
        );
        let exact = exact_list_records(AgentListing::Members, &answer, (sort, true));
        assert_eq!(
            (exact.0.last().unwrap().as_str(), exact.1[0].last().unwrap().as_str()),
            ("agent_prompts_change", "2")
        );
        let cost = exact.0.iter().position(|name| name == "agent_cost_usd").unwrap();
        assert_eq!(exact.1[0][cost], "");
    }
}
