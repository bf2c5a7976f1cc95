//! `show`: metrics in the terminal.

use chrono::NaiveDate;
use clap::Args;
use gam_model::metric::Metric;
use gam_model::{Grain, Range};

use crate::answer::{self, SeriesPoint};
use crate::api::{ApiAnswer, ApiClient};
use crate::args::{self, BotsOption, OutputFormat};
use crate::chart::series_chart;
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::{count, csv_text};
use crate::open;
use crate::session::CliSession;
use crate::table::metrics_table;

const EXAMPLES: &str = "\
Examples:
  github-metrics show acme            the last 30 days
  github-metrics show acme --since 2026-01-01 --metric prs_merged
  github-metrics show repo acme site --granularity week
  github-metrics show member acme octocat --format json
  github-metrics show acme --format csv > commits.csv

Formats: table (default), json, csv.";

const USAGE: &str = "\
github-metrics show [OPTIONS] <ORG>
       github-metrics show [OPTIONS] repo <ORG> <REPO>
       github-metrics show [OPTIONS] member <ORG> <MEMBER>";

/// The longest range with a bar for each day, and the longest with a bar for each week.
const MAX_DAYS_BY_DAY: i64 = 62;
const MAX_DAYS_BY_WEEK: i64 = 400;

/// Arguments of `show`.
#[derive(Args)]
#[command(override_usage = USAGE, after_help = EXAMPLES)]
pub(crate) struct ShowArgs {
    /// ORG, repo ORG REPO, or member ORG MEMBER
    #[arg(value_name = "SUBJECT", required = true, num_args = 1..=3)]
    subject: Vec<String>,
    /// First day, UTC [default: 30 days ago]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// Day after the last one, UTC [default: tomorrow]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    until: Option<NaiveDate>,
    /// Length of a bar of the chart [default: by the length of the range]
    #[arg(long, value_name = "GRAIN", value_parser = args::grain_parser())]
    granularity: Option<Grain>,
    /// Metric of the chart
    #[arg(long, value_name = "METRIC", default_value = "commits", value_parser = args::metric_parser())]
    metric: &'static Metric,
    #[command(flatten)]
    bots: BotsOption,
    /// GitHub's id of the repository, if another one had its name
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: Option<i64>,
}

/// Returns the path of the subject's metrics below `/api/v1`, or what is wrong with the subject.
fn metrics_path(subject: &[String]) -> Result<Vec<&str>, String> {
    let subject: Vec<&str> = subject.iter().map(String::as_str).collect();
    match subject.as_slice() {
        [org] => Ok(vec!["orgs", org, "metrics"]),
        ["repo", org, repo] => Ok(vec!["orgs", org, "repos", repo, "metrics"]),
        ["member", org, member] => Ok(vec!["orgs", org, "members", member, "metrics"]),
        ["repo", org] => Err(format!("missing repository name: `github-metrics show repo {org} NAME`")),
        ["member", org] => Err(format!("missing member name: `github-metrics show member {org} NAME`")),
        [org, name, ..] => Err(format!(
            "show takes one organization: for a repository or a member, run `github-metrics show repo {org} \
             {name}` or `github-metrics show member {org} {name}`"
        )),
        [] => Err("missing organization: `github-metrics show ORG`".to_owned()),
    }
}

/// Queries the API and prints the answer.
pub(crate) async fn run(session: &CliSession, args: ShowArgs) -> anyhow::Result<Exit> {
    let format = session.settings.format.unwrap_or(OutputFormat::Table);
    if format == OutputFormat::Parquet {
        return Err(usage_error(
            "invalid --format \"parquet\": show writes table, json or csv; `github-metrics export` writes parquet",
        ));
    }
    let path = metrics_path(&args.subject).map_err(usage_error)?;
    if args.id.is_some() && !path.contains(&"repos") {
        return Err(usage_error("--id tells repositories apart: use it with `github-metrics show repo ORG NAME`"));
    }
    let client = ApiClient::new(&session.settings).await?;
    let view = query(&client, &path, &args).await;
    client.close().await;
    print_waiting_batches(session, path[1]).await;
    let view = view?;
    if let Some(warning) = answer::incomplete_warning(&view.metrics.json, view.range.since()) {
        session.console.print_notice(warning);
    }
    for line in answer::gap_lines(&view.metrics.json) {
        session.console.print_notice(line);
    }
    let text = match format {
        OutputFormat::Json => {
            format!(
                "{{\"metrics\":{},\"timeseries\":{}}}\n",
                view.metrics.text.trim(),
                view.series.text.trim()
            )
        }
        OutputFormat::Csv => series_csv(args.metric, &view.points)?,
        OutputFormat::Table | OutputFormat::Parquet => {
            view.to_text(args.metric, session.console.has_color()) + "\n"
        }
    };
    session.console.write_data(text)?;
    Ok(Exit::Success)
}

/// Prints how many batches in the local inbox are not in the numbers yet.
pub(super) async fn print_waiting_batches(session: &CliSession, org: &str) {
    let batches = open::waiting_batches(&session.settings, org).await;
    if batches > 0 {
        session.console.print_info(format!(
            "{} not counted yet: run `github-metrics aggregate`",
            count(batches, "batch is", "batches are")
        ));
    }
}

/// The answers that `show` prints.
pub(super) struct MetricsView {
    pub(super) metrics: ApiAnswer,
    series: ApiAnswer,
    pub(super) grain: Grain,
    range: Range,
    pub(super) points: Vec<SeriesPoint>,
}

/// Queries the metrics below the path, and the series of the chart.
///
/// # Errors
/// If a request fails, or an answer has an unknown shape.
pub(super) async fn query(client: &ApiClient, path: &[&str], args: &ShowArgs) -> anyhow::Result<MetricsView> {
    let id = || args.id.map(|id| ("id", id.to_string()));
    let mut parameters = vec![("bots", args.bots.bots.clone())];
    parameters.extend(id());
    for (name, day) in [("since", args.since), ("until", args.until)] {
        parameters.extend(day.map(|day| (name, day.to_string())));
    }
    let metrics = client.get(path, &parameters).await?;
    // The defaults of the range are those of the API, so the answer says which range it covers.
    let unexpected = || {
        failure(
            "the answer of the API has an unknown shape: use the same version of github-metrics on both sides",
        )
    };
    let range = answer::range(&metrics.json).ok_or_else(unexpected)?;
    let grain = args.granularity.unwrap_or_else(|| default_grain(range));
    let mut parameters = vec![
        ("metric", args.metric.name.to_owned()),
        ("granularity", grain.as_str().to_owned()),
        ("since", range.since().to_string()),
        ("until", range.until().to_string()),
        ("bots", args.bots.bots.clone()),
    ];
    parameters.extend(id());
    let series = client.get(&[path, &["timeseries"]].concat(), &parameters).await?;
    let points = answer::points(&series.json).ok_or_else(unexpected)?;
    Ok(MetricsView { metrics, series, grain, range, points })
}

fn default_grain(range: Range) -> Grain {
    let days = (range.until() - range.since()).num_days();
    if days <= MAX_DAYS_BY_DAY {
        Grain::Day
    } else if days <= MAX_DAYS_BY_WEEK {
        Grain::Week
    } else {
        Grain::Month
    }
}

impl MetricsView {
    fn to_text(&self, metric: &Metric, has_color: bool) -> String {
        let answer = &self.metrics.json;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let subject: Vec<String> = ["org", "repo", "member"].into_iter().filter_map(text).collect();
        let last_day = self.range.until().pred_opt().unwrap_or(self.range.until());
        let days = (self.range.until() - self.range.since()).num_days();
        let bots = match answer["bots"].as_str() {
            Some("exclude") => ", bots excluded",
            Some("include") => ", bots included",
            Some("only") => ", bots only",
            _ => "",
        };
        let coverage = answer::coverage(answer).map(|coverage| format!("\n{coverage}"));
        format!(
            "{} from {} to {last_day} ({days} {}){bots}{}\n\n{}\n\n{}",
            subject.join(" / "),
            self.range.since(),
            if days == 1 { "day" } else { "days" },
            coverage.unwrap_or_default(),
            metrics_table(&answer["metrics"], has_color),
            series_chart(metric, self.grain, &self.points, has_color)
        )
    }
}

/// Writes the series as CSV, a row for each bucket.
fn series_csv(metric: &Metric, points: &[SeriesPoint]) -> anyhow::Result<String> {
    let fields: &[&str] =
        if metric.is_distribution() { &["count", "mean", "p50", "p90"] } else { &["value"] };
    let mut header = ["start", "end", "metric"].map(str::to_owned).to_vec();
    header.extend(fields.iter().map(|field| (*field).to_owned()));
    let records = points.iter().map(|SeriesPoint { start, end, value }| {
        let number = |field: &&str| {
            let number = if metric.is_distribution() { &value[*field] } else { value };
            if number.is_null() { String::new() } else { number.to_string() }
        };
        let mut record = vec![start.to_string(), end.to_string(), metric.name.to_owned()];
        record.extend(fields.iter().map(number));
        record
    });
    csv_text(&header, records)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn path(words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        metrics_path(&words).map(|path| path.join("/"))
    }

    #[test]
    fn a_subject_has_one_word_or_three() {
        assert_eq!(path(&["acme"]).unwrap(), "orgs/acme/metrics");
        assert_eq!(path(&["repo"]).unwrap(), "orgs/repo/metrics", "an organization can have that name");
        assert_eq!(path(&["repo", "acme", "site"]).unwrap(), "orgs/acme/repos/site/metrics");
        assert_eq!(path(&["member", "acme", "x[bot]"]).unwrap(), "orgs/acme/members/x[bot]/metrics");
        assert_eq!(
            path(&["member", "acme"]).unwrap_err(),
            "missing member name: `github-metrics show member acme NAME`"
        );
        assert!(path(&["repo", "acme"]).unwrap_err().starts_with("missing repository name"));
        assert!(path(&["acme", "site"]).unwrap_err().contains("show repo acme site"));
        assert!(path(&["a", "b", "c"]).is_err());
    }

    #[test]
    fn buckets_grow_with_the_range() {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        let grain = |days| default_grain(Range::new(first, first + chrono::Days::new(days)).unwrap());
        assert_eq!((grain(1), grain(62), grain(63)), (Grain::Day, Grain::Day, Grain::Week));
        assert_eq!((grain(400), grain(401)), (Grain::Week, Grain::Month));
    }

    #[test]
    fn a_series_becomes_csv() {
        let points = |value: Value| {
            let json = json!({"points": [{"start": "2026-01-05", "end": "2026-01-12", "value": value}]});
            answer::points(&json).unwrap()
        };
        let csv =
            |metric: &str, value: Value| series_csv(Metric::named(metric).unwrap(), &points(value)).unwrap();
        assert_eq!(csv("commits", json!(3)), "start,end,metric,value\n2026-01-05,2026-01-12,commits,3\n");
        let some = csv("cycle_time_hours", json!({"count": 1, "mean": 2.5, "p50": 2.5, "p90": 2.5}));
        assert_eq!(
            some,
            "start,end,metric,count,mean,p50,p90\n2026-01-05,2026-01-12,cycle_time_hours,1,2.5,2.5,2.5\n"
        );
        let none = csv("cycle_time_hours", json!({"count": 0, "mean": null, "p50": null, "p90": null}));
        assert!(none.ends_with("cycle_time_hours,0,,,\n"), "{none}");
    }
}
