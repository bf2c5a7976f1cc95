//! `show repos` and `show members`: lists.

use gam_client::{ListKind, ListQuery, MetricsQuery, SubjectRef};
use gam_query::MetricsAnswer;

use super::{ShowArgs, ShowFormat, comparable_since, heading, show_format, warn_if_incomplete};
use crate::api::ApiClient;
use crate::error::usage_error;
use crate::format::{count, csv_text, tsv_text};
use crate::session::CliSession;
use crate::table::ListedEntries;

/// Number of entries of a list if `--limit` is not given.
const DEFAULT_LIMIT: u16 = 50;

/// Queries a list of an organization and returns its text.
pub(super) async fn show(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    kind: ListKind,
    args: &ShowArgs,
) -> anyhow::Result<String> {
    if args.granularity.is_some() {
        return Err(usage_error("--granularity is for charts: a list has none"));
    }
    let query = MetricsQuery { since: args.since, until: args.until, bots: args.bots.bots, compare: false };
    // The answer says which range it covers, and from when on it is complete.
    let overview = client.send(async |api| api.metrics(org, &SubjectRef::Org, &query).await).await?;
    let MetricsAnswer { context, coverage, .. } = overview.value;
    warn_if_incomplete(session, &context, &coverage);
    let query = ListQuery {
        metrics: MetricsQuery {
            since: Some(context.since),
            until: Some(context.until),
            compare: true,
            ..query
        },
        sort: Some(args.metric()),
        limit: Some(args.limit.unwrap_or(DEFAULT_LIMIT)),
        ..ListQuery::default()
    };
    let answer = client.send(async |api| api.list(org, &SubjectRef::Org, kind, &query).await).await?;
    let entries = &answer.value.entries;
    let comparable_since = comparable_since(client, &context, &coverage).await;
    let listed = ListedEntries::new(&answer.value, args.metric(), comparable_since);
    if answer.value.next.is_some() {
        let total = count(entries.len(), "entry", "entries");
        session.console.print_info(format!("the first {total}: raise --limit to see more"));
    }
    Ok(match show_format(session) {
        ShowFormat::Json => session.for_stdout(format!("{}\n", answer.text.trim())),
        ShowFormat::Csv => {
            let (header, records) = listed.records();
            session.for_stdout(csv_text(&header, records)?)
        }
        ShowFormat::TabSeparated => {
            session.console.print_info(heading(&context, &coverage, usize::MAX));
            let (header, records) = listed.records();
            tsv_text(&header, &records)
        }
        ShowFormat::Table(style) => {
            let list = kind.as_str();
            let table = if entries.is_empty() {
                format!("no {list} with activity in this range")
            } else {
                listed.table(style)
            };
            format!(
                "{}\n\n{list} by {}\n{table}\n",
                heading(&context, &coverage, style.width),
                args.metric().name
            )
        }
    })
}
