//! `show`: metrics in the terminal.

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gam_model::metric::{CATALOGUE, Metric};
use gam_model::{Grain, Range};
use serde_json::Value;

use super::Session;
use crate::api::{Answer, ApiClient};
use crate::args::{Days, Format};
use crate::exit::{Exit, failed, usage};
use crate::format::count;
use crate::open;
use crate::table::{self, Point};

const EXAMPLES: &str = "\
Examples:
  github-metrics show acme            the last 30 days
  github-metrics show acme --since 2026-01-01 --metric prs_merged
  github-metrics show repo acme site --granularity week
  github-metrics show member acme octocat --format json
  github-metrics show acme --format csv > commits.csv";

const USAGE: &str = "\
github-metrics show [OPTIONS] <ORG>
       github-metrics show [OPTIONS] repo <ORG> <REPO>
       github-metrics show [OPTIONS] member <ORG> <MEMBER>";

/// Days up to which a chart has a bar a day, and up to which it has one a week.
const MOST_DAYS_BY_DAY: i64 = 62;
const MOST_DAYS_BY_WEEK: i64 = 400;

/// Arguments of `show`.
#[derive(Args)]
#[command(override_usage = USAGE, after_help = EXAMPLES)]
pub(crate) struct Show {
    /// An organization; or `repo`, an organization and a repository; or `member`, an organization and
    /// a member
    #[arg(value_name = "SUBJECT", required = true, num_args = 1..=3)]
    subject: Vec<String>,
    #[command(flatten)]
    days: Days,
    /// The chart's buckets [default: day, week or month by the range's length]
    #[arg(long, value_name = "GRAIN", value_parser = grain_parser())]
    granularity: Option<Grain>,
    /// The chart's metric
    #[arg(long, value_name = "METRIC", default_value = "commits", value_parser = metric_parser())]
    metric: &'static Metric,
    #[command(flatten)]
    bots: Bots,
}

/// Whose work counts.
#[derive(Args)]
pub(crate) struct Bots {
    /// Whether bots' work counts
    #[arg(long, value_name = "BOTS", default_value = "exclude", value_parser = ["exclude", "include", "only"])]
    pub(super) bots: String,
}

/// Reads a granularity.
pub(super) fn grain_parser() -> impl TypedValueParser<Value = Grain> {
    let names = Grain::ALL.map(Grain::as_str);
    PossibleValuesParser::new(names).try_map(|name| Grain::parse(&name).ok_or("unknown granularity"))
}

fn metric_parser() -> impl TypedValueParser<Value = &'static Metric> {
    let names = CATALOGUE.iter().map(|metric| metric.name);
    PossibleValuesParser::new(names).try_map(|name| Metric::named(&name).ok_or("unknown metric"))
}

/// The path of a subject's metrics below `/api/v1`.
fn path(subject: &[String]) -> Result<Vec<&str>, String> {
    let subject: Vec<&str> = subject.iter().map(String::as_str).collect();
    match subject.as_slice() {
        [org] => Ok(vec!["orgs", org, "metrics"]),
        ["repo", org, repo] => Ok(vec!["orgs", org, "repos", repo, "metrics"]),
        ["member", org, member] => Ok(vec!["orgs", org, "members", member, "metrics"]),
        [kind @ ("repo" | "member"), org] => Err(format!(
            "show {kind} {org} names no {kind}: give it as `github-metrics show {kind} {org} NAME`"
        )),
        [org, name, ..] => Err(format!(
            "show takes one organization: for a repository or a member give `github-metrics show repo {org} \
             {name}` or `github-metrics show member {org} {name}`"
        )),
        [] => Err("show needs an organization: give `github-metrics show ORG`".to_owned()),
    }
}

/// Asks the API, and shows what it answers.
pub(super) async fn run(session: &Session, args: Show) -> anyhow::Result<Exit> {
    let format = session.settings.format.unwrap_or(Format::Table);
    if format == Format::Parquet {
        return Err(usage("show writes table, json or csv: use `github-metrics export` for parquet"));
    }
    let path = path(&args.subject).map_err(usage)?;
    let client = ApiClient::new(&session.settings).await?;
    let view = ask(&client, &path, &args).await;
    client.close().await;
    tell_uncounted(session, path[1]).await;
    let view = view?;
    if let Some(told) = not_whole(&view.metrics.json, view.range.since()) {
        session.console.tell(told);
    }
    let color = session.console.color();
    session.console.line(match format {
        Format::Json => {
            format!("{{\"metrics\":{},\"timeseries\":{}}}", view.metrics.text.trim(), view.series.text.trim())
        }
        Format::Csv => csv(args.metric, &view.points),
        Format::Table | Format::Parquet => view.to_text(args.metric, color),
    })?;
    Ok(Exit::Done)
}

/// Tells how much of what was collected into this machine's lake is not in the numbers yet.
pub(super) async fn tell_uncounted(session: &Session, org: &str) {
    let batches = open::waiting_batches(&session.settings, org).await;
    if batches > 0 {
        session.console.note(format!(
            "{} not counted yet: run `github-metrics aggregate`",
            count(batches, "batch is", "batches are")
        ));
    }
}

/// From which day on the numbers of an answer are whole, where that is known.
pub(super) fn whole_since(answer: &Value) -> Option<NaiveDate> {
    let at: DateTime<Utc> = answer["complete_since"].as_str()?.parse().ok()?;
    Some(at.date_naive())
}

/// That a range from that day on begins before the numbers are whole, and the mend; nothing where it does
/// not.
pub(super) fn not_whole(answer: &Value, since: NaiveDate) -> Option<String> {
    let whole = whole_since(answer).filter(|whole| since < *whole)?;
    let org = answer["org"].as_str()?;
    let repo = answer["repo"].as_str().map(|repo| format!(" --repo {repo}")).unwrap_or_default();
    Some(format!(
        "numbers before {whole} are not whole: `github-metrics collect {org} --since {since}{repo}` fills them \
         in"
    ))
}

/// From when on and up to when GitHub was read, where that is known.
fn read_span(answer: &Value) -> Option<String> {
    let until = answer["complete_until"].as_str()?;
    let since = whole_since(answer).map(|since| format!("from {since} ")).unwrap_or_default();
    Some(format!("GitHub was read {since}up to {until}"))
}

/// What the API answers.
pub(super) struct View {
    pub(super) metrics: Answer,
    series: Answer,
    pub(super) grain: Grain,
    range: Range,
    pub(super) points: Vec<Point>,
}

pub(super) async fn ask(client: &ApiClient, path: &[&str], args: &Show) -> anyhow::Result<View> {
    let mut query = vec![("bots", args.bots.bots.clone())];
    for (name, day) in [("since", args.days.since), ("until", args.days.until)] {
        query.extend(day.map(|day| (name, day.to_string())));
    }
    let metrics = client.get(path, &query).await?;
    // The answer says which range it is of, so the defaults are the API's own.
    let strange = || failed("the API answers without a range: update github-metrics on both sides");
    let range = answered_range(&metrics.json).ok_or_else(strange)?;
    let grain = args.granularity.unwrap_or_else(|| grain_for(range));
    let query = [
        ("metric", args.metric.name.to_owned()),
        ("granularity", grain.as_str().to_owned()),
        ("since", range.since().to_string()),
        ("until", range.until().to_string()),
        ("bots", args.bots.bots.clone()),
    ];
    let series = client.get(&[path, &["timeseries"]].concat(), &query).await?;
    let points = points(&series.json).ok_or_else(strange)?;
    Ok(View { metrics, series, grain, range, points })
}

fn answered_range(answer: &Value) -> Option<Range> {
    Range::new(day(&answer["since"])?, day(&answer["until"])?)
}

fn day(value: &Value) -> Option<NaiveDate> {
    value.as_str()?.parse().ok()
}

/// The points of a time series' answer.
pub(super) fn points(answer: &Value) -> Option<Vec<Point>> {
    let point = |point: &Value| {
        Some(Point { start: day(&point["start"])?, end: day(&point["end"])?, value: point["value"].clone() })
    };
    answer["points"].as_array()?.iter().map(point).collect()
}

fn grain_for(range: Range) -> Grain {
    let days = (range.until() - range.since()).num_days();
    if days <= MOST_DAYS_BY_DAY {
        Grain::Day
    } else if days <= MOST_DAYS_BY_WEEK {
        Grain::Week
    } else {
        Grain::Month
    }
}

impl View {
    fn to_text(&self, metric: &Metric, color: bool) -> String {
        let answer = &self.metrics.json;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let subject: Vec<String> = ["org", "repo", "member"].into_iter().filter_map(text).collect();
        let last = self.range.until().pred_opt().unwrap_or(self.range.until());
        let days = (self.range.until() - self.range.since()).num_days();
        let bots = match answer["bots"].as_str() {
            Some("include") => ", bots included",
            Some("only") => ", bots only",
            _ => "",
        };
        let read = read_span(answer).map(|read| format!("\n{read}"));
        format!(
            "{} from {} to {last} ({days} {}){bots}{}\n\n{}\n\n{}",
            subject.join(" / "),
            self.range.since(),
            if days == 1 { "day" } else { "days" },
            read.unwrap_or_default(),
            table::metrics(&answer["metrics"], color),
            table::chart(metric, self.grain, &self.points, color)
        )
    }
}

/// The series as rows.
fn csv(metric: &Metric, points: &[Point]) -> String {
    let fields: &[&str] =
        if metric.is_distribution() { &["count", "mean", "p50", "p90"] } else { &["value"] };
    let mut rows = vec![format!("start,end,metric,{}", fields.join(","))];
    for Point { start, end, value } in points {
        let number = |field: &&str| {
            let number = if metric.is_distribution() { &value[*field] } else { value };
            if number.is_null() { String::new() } else { number.to_string() }
        };
        let numbers: Vec<String> = fields.iter().map(number).collect();
        rows.push(format!("{start},{end},{},{}", metric.name, numbers.join(",")));
    }
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        path(&words).map(|path| path.join("/"))
    }

    #[test]
    fn a_subject_is_named_by_one_word_or_three() {
        assert_eq!(subject(&["acme"]).unwrap(), "orgs/acme/metrics");
        assert_eq!(subject(&["repo"]).unwrap(), "orgs/repo/metrics", "an organization may be called so");
        assert_eq!(subject(&["repo", "acme", "site"]).unwrap(), "orgs/acme/repos/site/metrics");
        assert_eq!(subject(&["member", "acme", "x[bot]"]).unwrap(), "orgs/acme/members/x[bot]/metrics");
        assert!(subject(&["repo", "acme"]).unwrap_err().contains("names no repo"));
        assert!(subject(&["acme", "site"]).unwrap_err().contains("show repo acme site"));
        assert!(subject(&["a", "b", "c"]).is_err());
    }

    #[test]
    fn buckets_grow_with_the_range() {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        let grain = |days| grain_for(Range::new(first, first + chrono::Days::new(days)).unwrap());
        assert_eq!((grain(1), grain(62), grain(63)), (Grain::Day, Grain::Day, Grain::Week));
        assert_eq!((grain(400), grain(401)), (Grain::Week, Grain::Month));
    }

    #[test]
    fn numbers_from_before_the_first_day_read_are_told() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        let until = "2026-08-01T12:00:00Z";
        let told = json!({"org": "Acme", "complete_since": "2026-05-03T00:00:00Z", "complete_until": until});
        assert_eq!(read_span(&told).unwrap(), format!("GitHub was read from 2026-05-03 up to {until}"));
        assert_eq!(
            not_whole(&told, day("2026-05-02")).unwrap(),
            "numbers before 2026-05-03 are not whole: `github-metrics collect Acme --since 2026-05-02` fills \
             them in"
        );
        assert!(not_whole(&told, day("2026-05-03")).is_none());
        let mut of_repo = told;
        of_repo["repo"] = "site".into();
        assert!(not_whole(&of_repo, day("2026-05-02")).unwrap().contains("--since 2026-05-02 --repo site`"));
        // An API of an earlier version says up to when alone, and a sample says nothing.
        let old = json!({"org": "Acme", "complete_until": until});
        assert_eq!(read_span(&old).unwrap(), format!("GitHub was read up to {until}"));
        assert!(not_whole(&old, day("2026-05-02")).is_none());
        assert!(read_span(&json!({"complete_since": null, "complete_until": null})).is_none());
    }

    #[test]
    fn a_series_becomes_rows() {
        let answer =
            |value: Value| json!({"points": [{"start": "2026-01-05", "end": "2026-01-12", "value": value}]});
        let counts = points(&answer(json!(3))).unwrap();
        let commits = Metric::named("commits").unwrap();
        assert_eq!(csv(commits, &counts), "start,end,metric,value\n2026-01-05,2026-01-12,commits,3");
        let cycle = Metric::named("cycle_time_hours").unwrap();
        let some = points(&answer(json!({"count": 1, "mean": 2.5, "p50": 2.5, "p90": 2.5}))).unwrap();
        assert!(
            csv(cycle, &some)
                .ends_with("metric,count,mean,p50,p90\n2026-01-05,2026-01-12,cycle_time_hours,1,2.5,2.5,2.5")
        );
        let none = points(&answer(json!({"count": 0, "mean": null, "p50": null, "p90": null}))).unwrap();
        assert!(csv(cycle, &none).ends_with("cycle_time_hours,0,,,"));
        assert!(points(&json!({})).is_none());
    }
}
