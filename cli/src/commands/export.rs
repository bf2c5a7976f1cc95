//! `export`: rollups out.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Days as DaySpan, NaiveDate, Utc};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::metric::CATALOGUE;
use gam_model::{Bucket, Grain, Range};
use serde_json::{Map, Value};

use super::Session;
use super::show::{Bots, grain_parser, not_whole, points, tell_uncounted, whole_since};
use crate::api::ApiClient;
use crate::args::{self, Days, Format};
use crate::exit::{Exit, failed, usage};
use crate::format::count;
use crate::rows::{self, Level, Row};

const EXAMPLES: &str = "\
Examples:
  github-metrics export acme > acme.csv
  github-metrics export acme --format parquet --out acme.parquet
  github-metrics export acme --granularity month --since 2025-01-01 --format json

One row for the organization in every bucket, and one for every repository and
member that is credited with something in it. Without --since it begins with the
first event, or where the numbers are whole.";

/// How many questions are asked at once.
const AT_ONCE: usize = 4;
/// The most buckets that one series is asked for, below the API's own limit.
const BUCKETS_AT_ONCE: usize = 5_000;
/// The most entries of a listing that are asked for at once: the API's own limit.
const ENTRIES_AT_ONCE: usize = 1_000;

/// Arguments of `export`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// The organization
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: String,
    /// The file to write; stdout without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    days: Days,
    /// The length of a row's bucket
    #[arg(long, value_name = "GRAIN", default_value = "day", value_parser = grain_parser())]
    granularity: Grain,
    #[command(flatten)]
    bots: Bots,
}

/// Asks the API for everything, and writes it.
pub(super) async fn run(session: &Session, args: Export) -> anyhow::Result<Exit> {
    let format = match session.settings.format.unwrap_or(Format::Csv) {
        Format::Table => {
            return Err(usage("export writes csv, json or parquet: use `github-metrics show` for a table"));
        }
        format => format,
    };
    let out = args.out.as_deref().filter(|path| *path != Path::new("-"));
    if format == Format::Parquet && out.is_none() && std::io::stdout().is_terminal() {
        return Err(usage(
            "parquet is not for a terminal: name a file with --out, or send the output elsewhere",
        ));
    }
    let client = ApiClient::new(&session.settings).await?;
    let rows = rows(&client, &args).await;
    client.close().await;
    tell_uncounted(session, &args.org).await;
    let (rows, gap) = rows?;
    if let Some(gap) = gap {
        session.console.tell(gap);
    }
    let bytes = match format {
        Format::Json => rows::json(&rows)?.into_bytes(),
        Format::Parquet => rows::parquet(&rows)?,
        Format::Csv | Format::Table => rows::csv(&rows).into_bytes(),
    };
    match out {
        None => session.console.data(bytes)?,
        Some(path) => {
            std::fs::write(path, bytes).with_context(|| {
                format!("{} cannot be written: choose another file with --out", path.display())
            })?;
            session.console.note(format!("wrote {} to {}", count(rows.len(), "row", "rows"), path.display()));
        }
    }
    Ok(Exit::Done)
}

/// What is asked for, with the defaults filled in.
struct Question {
    /// The organization, as GitHub spells it.
    org: String,
    range: Range,
    grain: Grain,
    bots: String,
    /// That its first days are not whole, where they are not.
    gap: Option<String>,
}

/// The rows, and that the first days of them are not whole, where they are not.
pub(super) async fn rows(client: &ApiClient, args: &Export) -> anyhow::Result<(Vec<Row>, Option<String>)> {
    let Some(question) = question(client, args).await? else { return Ok((Vec::new(), None)) };
    let mut rows = org_rows(client, &question).await?;
    let idle = |row: &Row| row.metrics.get("active_members").and_then(Value::as_u64) == Some(0);
    // Nobody is listed for a bucket in which nobody was active.
    let busy: Vec<Bucket> =
        rows.iter().filter(|row| !idle(row)).map(|row| question.grain.bucket(row.start)).collect();
    let asked = busy.into_iter().flat_map(|bucket| [(Level::Repo, bucket), (Level::Member, bucket)]);
    let listed: Vec<Vec<Row>> = stream::iter(asked)
        .map(|(level, bucket)| listing(client, &question, level, bucket))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    rows.extend(listed.into_iter().flatten());
    rows.sort_by(|a, b| (a.level, a.start, &a.name).cmp(&(b.level, b.start, &b.name)));
    Ok((rows, question.gap))
}

/// The question, or `None` where nothing is known of the organization yet but its name.
async fn question(client: &ApiClient, args: &Export) -> anyhow::Result<Option<Question>> {
    let answer = client.get(&["orgs"], &[]).await?.json;
    let orgs = answer["orgs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |entry: &&Value| entry["org"].as_str().is_some_and(|org| org.eq_ignore_ascii_case(&args.org));
    let entry = orgs.iter().find(is_it).ok_or_else(|| {
        failed(format!(
            "nothing is known of {}: run `github-metrics collect {0}` and `aggregate` first",
            args.org
        ))
    })?;
    let day = |name: &str| -> Option<NaiveDate> {
        let at: DateTime<Utc> = entry[name].as_str()?.parse().ok()?;
        Some(at.date_naive())
    };
    let org = entry["org"].as_str().unwrap_or(&args.org).to_owned();
    let metrics = client.get(&["orgs", &org, "metrics"], &[]).await?.json;
    // Some of what is earlier may have come along, but not all of it.
    let since = args.days.since.or(day("first_event").max(whole_since(&metrics)));
    let until = args.days.until.or(day("last_event").map(|last| last + DaySpan::new(1)));
    let (Some(since), Some(until)) = (since, until) else { return Ok(None) };
    match Range::new(since, until) {
        Some(range) => Ok(Some(Question {
            org,
            range,
            grain: args.granularity,
            bots: args.bots.bots.clone(),
            gap: not_whole(&metrics, since),
        })),
        None if args.days.since.is_some() && args.days.until.is_some() => Err(usage(format!(
            "--since {since} is not before --until {until}: until is the day after the last, give a later one"
        ))),
        // All that is known lies on the other side of the one day that was given, or before the numbers are
        // whole.
        None => Ok(None),
    }
}

/// The organization's rows: a series of every metric, side by side.
async fn org_rows(client: &ApiClient, question: &Question) -> anyhow::Result<Vec<Row>> {
    let buckets: Vec<Bucket> = question.range.buckets(question.grain).collect();
    let mut rows: Vec<Row> = buckets
        .iter()
        .map(|bucket| Row {
            level: Level::Org,
            name: question.org.clone(),
            start: bucket.start(),
            end: bucket.end(),
            metrics: Map::new(),
        })
        .collect();
    let asked = CATALOGUE.iter().flat_map(|metric| {
        buckets.chunks(BUCKETS_AT_ONCE).enumerate().map(move |(chunk, buckets)| (metric.name, chunk, buckets))
    });
    let mut answers = stream::iter(asked)
        .map(|(metric, chunk, buckets)| async move {
            let range = clipped(question.range, buckets[0].start(), buckets[buckets.len() - 1].end());
            let mut query = range_query(question, range);
            query
                .extend([("metric", metric.to_owned()), ("granularity", question.grain.as_str().to_owned())]);
            let answer = client.get(&["orgs", &question.org, "metrics", "timeseries"], &query).await?;
            Ok::<_, anyhow::Error>((metric, chunk * BUCKETS_AT_ONCE, answer))
        })
        .buffered(AT_ONCE);
    while let Some((metric, offset, answer)) = answers.try_next().await? {
        let points =
            points(&answer.json).ok_or_else(|| failed("the API answers without points: check --api"))?;
        for (row, point) in rows[offset..].iter_mut().zip(points) {
            row.metrics.insert(metric.to_owned(), point.value);
        }
    }
    Ok(rows)
}

/// The repositories' or members' rows of a bucket, page by page.
async fn listing(
    client: &ApiClient,
    question: &Question,
    level: Level,
    bucket: Bucket,
) -> anyhow::Result<Vec<Row>> {
    let (list, name) = if level == Level::Repo { ("repos", "repo") } else { ("members", "member") };
    let range = clipped(question.range, bucket.start(), bucket.end());
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = range_query(question, range);
        query.push(("limit", ENTRIES_AT_ONCE.to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut answer = client.get(&["orgs", &question.org, list], &query).await?.json;
        for entry in answer[list].as_array_mut().map(std::mem::take).unwrap_or_default() {
            let (Some(name), Some(metrics)) = (entry[name].as_str(), entry["metrics"].as_object()) else {
                continue;
            };
            rows.push(Row {
                level,
                name: name.to_owned(),
                start: bucket.start(),
                end: bucket.end(),
                metrics: metrics.clone(),
            });
        }
        match answer["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(rows),
        }
    }
}

/// What of `[from, to)` lies in the range; a bucket of the range always meets it.
fn clipped(range: Range, from: NaiveDate, to: NaiveDate) -> Range {
    Range::new(from.max(range.since()), to.min(range.until())).unwrap_or(range)
}

fn range_query(question: &Question, range: Range) -> Vec<(&'static str, String)> {
    vec![
        ("since", range.since().to_string()),
        ("until", range.until().to_string()),
        ("bots", question.bots.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_cut_by_the_range() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        let range = Range::new(day("2026-01-07"), day("2026-01-20")).unwrap();
        let cut: Vec<(NaiveDate, NaiveDate)> = range
            .buckets(Grain::Week)
            .map(|bucket| clipped(range, bucket.start(), bucket.end()))
            .map(|part| (part.since(), part.until()))
            .collect();
        let expected =
            [("2026-01-07", "2026-01-12"), ("2026-01-12", "2026-01-19"), ("2026-01-19", "2026-01-20")];
        assert_eq!(cut, expected.map(|(from, to)| (day(from), day(to))));
    }
}
