//! `show repos` and `show members`: lists.

use serde_json::Value;

use super::{
    ShowArgs, ShowFormat, for_json, for_stdout, heading, range_parameters, show_format, unexpected,
    warn_if_incomplete,
};
use crate::answer;
use crate::api::ApiClient;
use crate::error::usage_error;
use crate::format::{count, csv_text, tsv_text};
use crate::session::CliSession;
use crate::table::{listing_records, listing_table};

/// Number of entries of a list if `--limit` is not given.
const DEFAULT_LIMIT: u16 = 50;

/// Queries a list of an organization and returns its text. `list` is the list's name, `name` the field with the
/// name of an entry.
pub(super) async fn show(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    (list, name): (&str, &str),
    args: &ShowArgs,
) -> anyhow::Result<String> {
    if args.granularity.is_some() {
        return Err(usage_error("--granularity is for charts: a list has none"));
    }
    // The answer says which range it covers, and from when on it is complete.
    let overview = client.get(&["orgs", org, "metrics"], &range_parameters(args)).await?;
    let range = answer::range(&overview.json).ok_or_else(unexpected)?;
    warn_if_incomplete(session, &overview.json, range);
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let parameters = [
        ("sort", args.metric.name.to_owned()),
        ("since", range.since().to_string()),
        ("until", range.until().to_string()),
        ("bots", args.bots.bots.clone()),
        ("limit", limit.to_string()),
    ];
    let answer = client.get(&["orgs", org, list], &parameters).await?;
    let entries = answer.json[list].as_array().ok_or_else(unexpected)?;
    if answer.json["next"].is_string() {
        let total = count(entries.len(), "entry", "entries");
        session.console.print_info(format!("the first {total}: raise --limit to see more"));
    }
    let records = |entries: &[Value]| listing_records(entries, name);
    Ok(match show_format(session) {
        ShowFormat::Json => for_json(session, format!("{}\n", answer.text.trim())),
        ShowFormat::Csv => {
            let (header, records) = records(entries);
            for_stdout(session, csv_text(&header, records)?)
        }
        ShowFormat::TabSeparated => {
            session.console.print_info(heading(&overview.json, range, usize::MAX));
            let (header, records) = records(entries);
            tsv_text(&header, &records)
        }
        ShowFormat::Table(style) => {
            let table = if entries.is_empty() {
                format!("no {list} with activity in this range")
            } else {
                listing_table(entries, name, args.metric, style)
            };
            format!(
                "{}\n\n{list} by {}\n{table}\n",
                heading(&overview.json, range, style.width),
                args.metric.name
            )
        }
    })
}
