//! `show agents`: what the sessions of coding agents used and did.

use gam_client::{Answer, MetricsQuery, SubjectRef};
use gam_model::agent_metric::AGENT_CATALOGUE;
use gam_model::{AgentDimension, AgentMetric, Range};
use gam_query::{
    AgentListAnswer, AgentListing, AgentMetricValue, AgentMetricsAnswer, AgentPartName, AgentPoint,
    AgentSeriesAnswer, AnswerContext, CoverageAnswer, PrClassesAnswer,
};

use super::{ShowArgs, ShowFormat, default_grain, heading, show_format};
use crate::api::ApiClient;
use crate::error::usage_error;
use crate::export_rows::NumberColumn;
use crate::format::{csv_text, integer, tsv_text};
use crate::session::CliSession;
use crate::table::text_table;
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
    let query = MetricsQuery { since: args.since, until: args.until, bots: args.bots.bots, compare: false };
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
                Some(_) => series_records(&series.value),
                None => metric_records(answer),
            };
            tsv_text(&header, &records)
        }
        ShowFormat::Table(style) => {
            let metrics = text_table(&metric_records(answer), 1, style);
            let series = text_table(&series_records(&series.value), 1, style);
            let coverage = coverage_text(answer);
            let heading = heading(&answer.context, &CoverageAnswer::default(), style.width);
            let prs = text_table(&pr_records(&prs.value), 1, style);
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
                None => exact_list_records(listing, answer),
            };
            session.for_stdout(csv_text(&header, records)?)
        }
        ShowFormat::TabSeparated => {
            session.console.print_info(heading(&answer.context, &CoverageAnswer::default(), usize::MAX));
            let (header, records) = match requested_series {
                Some(series) => series_records(&series.value),
                None => list_records(listing, answer),
            };
            tsv_text(&header, &records)
        }
        ShowFormat::Table(style) => {
            let (header, records) = list_records(listing, answer);
            let heading = heading(&answer.context, &CoverageAnswer::default(), style.width);
            let entries = match records.is_empty() {
                true => "no sessions in this range".to_owned(),
                false => text_table(&(header, records), name_columns(listing).len(), style),
            };
            let series = series.map_or_else(String::new, |series| {
                let table = text_table(&series_records(&series.value), 1, style);
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

fn grain(args: &ShowArgs, context: &AnswerContext) -> gam_model::Grain {
    let range = Range::new(context.since, context.until);
    args.granularity.or_else(|| range.map(default_grain)).unwrap_or(gam_model::Grain::Day)
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
fn pr_records(answer: &PrClassesAnswer) -> Records {
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
            value_text(class.cycle_time_hours),
            value_text(class.cost_usd),
            with_cost,
        ]
    });
    (header, rows.collect())
}

fn metric_records(answer: &AgentMetricsAnswer) -> Records {
    let header = ["metric", "value", "unit", "mean", "p90"].map(str::to_owned).to_vec();
    let rows = AGENT_CATALOGUE.iter().filter_map(|metric| {
        let value = answer.metrics.get(metric.name)?;
        let (mean, p90) = match value {
            AgentMetricValue::Distribution { mean, p90, .. } => (number(mean), number(p90)),
            _ => Default::default(),
        };
        Some(vec![metric.name.to_owned(), value_text(value), metric.unit.to_owned(), mean, p90])
    });
    (header, rows.collect())
}

/// Returns a list for people: of repositories and members some metrics, and of distributions the median.
fn list_records(listing: AgentListing, answer: &AgentListAnswer) -> Records {
    let is_shown =
        |metric: &&AgentMetric| listing.dimension().is_some() || LISTED_METRICS.contains(&metric.name);
    let metrics: Vec<&AgentMetric> = AgentMetric::divided_by(listing.dimension()).filter(is_shown).collect();
    let mut header = name_columns(listing);
    header.extend(metrics.iter().map(|metric| metric.name.to_owned()));
    let rows = answer.entries.iter().map(|entry| {
        let mut row = name_cells(listing, &entry.name);
        row.extend(
            metrics.iter().map(|metric| entry.metrics.get(metric.name).map_or_else(String::new, value_text)),
        );
        row
    });
    (header, rows.collect())
}

/// Returns a list with all metrics and the numbers of the API.
fn exact_list_records(listing: AgentListing, answer: &AgentListAnswer) -> Records {
    let columns = NumberColumn::of_sessions(AgentMetric::divided_by(listing.dimension()));
    let mut header = name_columns(listing);
    header.extend(columns.iter().map(NumberColumn::name));
    let rows = answer.entries.iter().map(|entry| {
        let mut row = name_cells(listing, &entry.name);
        row.extend(columns.iter().map(|column| column.text_in(&entry.metrics)));
        row
    });
    (header, rows.collect())
}

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

/// Returns a row for each bucket, with a column for each part. A bucket that the range cuts is marked.
fn series_records(answer: &AgentSeriesAnswer) -> Records {
    let columns = labelled_series(answer);
    let mut header = vec!["from".to_owned()];
    header.extend(columns.iter().map(|(label, _)| label.clone()));
    let buckets = columns.first().map_or(&[][..], |(_, points)| *points);
    let rows =
        buckets.iter().enumerate().map(|(index, bucket)| {
            let mark = if bucket.partial { " (partial)" } else { "" };
            let mut row = vec![format!("{}{mark}", bucket.start)];
            row.extend(columns.iter().map(|(_, points)| {
                points.get(index).map_or_else(String::new, |point| value_text(point.value))
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

fn value_text(value: AgentMetricValue) -> String {
    match value {
        AgentMetricValue::Count(count) => count.to_string(),
        AgentMetricValue::Number(value) => number(value),
        AgentMetricValue::Distribution { p50, .. } => number(p50),
    }
}

/// Formats a number with up to four decimals.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return String::new() };
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
        let (header, rows) = series_records(&total);
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
        let cell = |(header, rows): Records, name: &str| {
            header.iter().position(|column| column == name).map(|index| rows[0][index].clone())
        };
        assert_eq!(
            cell(exact_list_records(AgentListing::Members, &answer), "agent_cost_usd").as_deref(),
            Some("0.1234567")
        );
        assert_eq!(
            cell(list_records(AgentListing::Members, &answer), "agent_cost_usd").as_deref(),
            Some("0.1235")
        );
        assert_eq!(
            cell(exact_list_records(AgentListing::Members, &answer), "agent_session_hours_p90").as_deref(),
            Some("0.5")
        );
        assert_eq!(cell(list_records(AgentListing::Members, &answer), "agent_session_hours"), None);
    }
}
