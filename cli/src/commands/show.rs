//! `show`: metrics and lists in the terminal.

mod agents;
mod list;

use std::time::Duration;

use chrono::{Days, NaiveDate};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use gam_client::{Answer, BotFilter, ListKind, MetricsQuery, SubjectRef};
use gam_model::agent_metric::AGENT_CATALOGUE;
use gam_model::metric::{CATALOGUE, Metric};
use gam_model::period::LAST_DAY;
use gam_model::{AgentMetric, Grain, Range};
use gam_query::{
    AgentListing, AnswerContext, CoverageAnswer, MetricValue, MetricsAnswer, SeriesAnswer, SeriesPoint,
};
use serde_json::json;

use crate::answer;
use crate::api::ApiClient;
use crate::args::{self, BotsOption, OutputFormat};
use crate::chart::series_chart;
use crate::error::{failure, is_not_found, one_line, usage_error};
use crate::exit::Exit;
use crate::format::{count, csv_text};
use crate::open;
use crate::session::CliSession;
use crate::signals;
use crate::suggest::suggest;
use crate::table::{metrics_table, metrics_tsv};
use crate::terminal::OutputStyle;
use crate::terminal_text::{escaped, quoted};

const EXAMPLES: &str = "\
Examples:
  github-metrics show acme            the last 30 days
  github-metrics show acme --since 2026-01-01 --metric prs_merged
  github-metrics show repo acme site --granularity week
  github-metrics show member acme octocat --format json
  github-metrics show members acme --metric reviews --limit 10
  github-metrics show agents acme --by model --granularity week
  github-metrics show acme --watch    update every 30 seconds, until Ctrl-C
  github-metrics show acme --format csv > commits.csv

Formats: table (default in a terminal), json, csv (the series, or the list).
Without a terminal and --format, the table is tab-separated.";

const USAGE: &str = "\
github-metrics show [OPTIONS] <ORG>
       github-metrics show [OPTIONS] repo <ORG> <REPO>
       github-metrics show [OPTIONS] member <ORG> <MEMBER>
       github-metrics show [OPTIONS] repos|members <ORG>
       github-metrics show [OPTIONS] agents <ORG>";

/// Moves to the first line of the terminal, and clears it.
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J";

/// The longest range with a bar for each day, and the longest with a bar for each week.
const MAX_DAYS_BY_DAY: i64 = 62;
const MAX_DAYS_BY_WEEK: i64 = 400;

/// Arguments of `show`.
#[derive(Args)]
#[command(override_usage = USAGE, after_help = EXAMPLES)]
pub(crate) struct ShowArgs {
    /// ORG, repo ORG REPO, member ORG MEMBER, repos ORG, members ORG, or agents ORG
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
    /// Metric of the chart, or the one that sorts the list [default: commits]
    #[arg(long, value_name = "METRIC", value_parser = shown_metric_parser())]
    metric: Option<ShownMetric>,
    /// With agents: list by model, tool, branch, repo or member
    #[arg(long, value_name = "WHAT", value_parser = listing_parser(), hide_possible_values = true)]
    by: Option<AgentListing>,
    /// Number of entries of a list [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    #[command(flatten)]
    bots: BotsOption,
    /// Show again at this interval until Ctrl-C [default: 30s]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s",
          value_parser = args::interval)]
    watch: Option<Duration>,
    /// GitHub's id of the repository, if another one had its name
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    id: Option<i64>,
}

/// A metric that `--metric` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShownMetric {
    /// One of GitHub's activity.
    Activity(&'static Metric),
    /// One of sessions of coding agents.
    Agents(&'static AgentMetric),
}

impl ShownMetric {
    fn named(name: &str) -> Option<Self> {
        let of_agents = || AgentMetric::named(name).map(ShownMetric::Agents);
        Metric::named(name).map(ShownMetric::Activity).or_else(of_agents)
    }

    fn of_agents(self) -> Option<&'static AgentMetric> {
        if let ShownMetric::Agents(metric) = self { Some(metric) } else { None }
    }
}

fn shown_metric_parser() -> impl TypedValueParser<Value = ShownMetric> {
    let activity = CATALOGUE.iter().map(|metric| PossibleValue::new(metric.name));
    // There are as many again. docs/METRICS.md has them.
    let of_agents = AGENT_CATALOGUE.iter().map(|metric| PossibleValue::new(metric.name).hide(true));
    PossibleValuesParser::new(activity.chain(of_agents))
        .try_map(|name| ShownMetric::named(&name).ok_or("unknown metric"))
}

fn listing_parser() -> impl TypedValueParser<Value = AgentListing> {
    let names = AgentListing::ALL.map(AgentListing::as_str);
    PossibleValuesParser::new(names).try_map(|name| AgentListing::parse(&name).ok_or("unknown list"))
}

impl ShowArgs {
    /// Returns the metric of GitHub's activity.
    fn metric(&self) -> &'static Metric {
        match self.metric {
            Some(ShownMetric::Activity(metric)) => metric,
            _ => &CATALOGUE[0],
        }
    }

    /// Returns what is wrong with the options for this target; `None` if nothing is.
    fn fault(&self, target: &ShowTarget<'_>) -> Option<String> {
        let is_agents = matches!(target, ShowTarget::Agents { .. });
        match self.metric {
            _ if self.by.is_some() && !is_agents => {
                Some("--by is for sessions: use it with `github-metrics show agents ORG`".to_owned())
            }
            Some(ShownMetric::Agents(metric)) if !is_agents => {
                let (name, org) = (metric.name, target.org());
                Some(format!(
                    "{name} is a metric of sessions: use it with `github-metrics show agents {org}`"
                ))
            }
            Some(ShownMetric::Activity(metric)) if is_agents => {
                Some(format!("{} is no metric of sessions: its names begin with agent_", metric.name))
            }
            _ => None,
        }
    }
}

/// What to show.
#[derive(Debug, PartialEq, Eq)]
enum ShowTarget<'a> {
    /// The metrics of an organization, a repository or a member.
    Metrics { org: &'a str, subject: SubjectRef },
    /// The repositories or the members of an organization.
    List { org: &'a str, kind: ListKind },
    /// The sessions of coding agents in an organization.
    Agents { org: &'a str },
}

impl ShowTarget<'_> {
    /// Returns the organization.
    fn org(&self) -> &str {
        match self {
            ShowTarget::Metrics { org, .. } | ShowTarget::List { org, .. } | ShowTarget::Agents { org } => {
                org
            }
        }
    }

    /// Returns the subject within the organization.
    fn subject(&self) -> &SubjectRef {
        match self {
            ShowTarget::Metrics { subject, .. } => subject,
            ShowTarget::List { .. } | ShowTarget::Agents { .. } => &SubjectRef::Org,
        }
    }
}

/// Returns what the words name, or what is wrong with them.
fn parse_target(words: &[String]) -> Result<ShowTarget<'_>, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let [kind @ ("repo" | "member"), org, name] = words.as_slice() {
        check_org(org)?;
        let subject = match *kind {
            "repo" => SubjectRef::repo(*name),
            _ => SubjectRef::Member((*name).to_owned()),
        };
        return Ok(ShowTarget::Metrics { org, subject });
    }
    match words.as_slice() {
        [org] => {
            check_org(org)?;
            Ok(ShowTarget::Metrics { org, subject: SubjectRef::Org })
        }
        ["repos", org] => {
            check_org(org)?;
            Ok(ShowTarget::List { org, kind: ListKind::Repos })
        }
        ["members", org] => {
            check_org(org)?;
            Ok(ShowTarget::List { org, kind: ListKind::Members })
        }
        ["agents", org] => {
            check_org(org)?;
            Ok(ShowTarget::Agents { org })
        }
        [kind @ ("repo" | "member"), org] => {
            check_org(org)?;
            let what = if *kind == "repo" { "repository" } else { "member" };
            Err(format!("missing {what} name: `github-metrics show {kind} {org} NAME`"))
        }
        [org, name, ..] => {
            check_org(org)?;
            let is_name = args::repo(name).is_ok();
            let name = if is_name { (*name).to_owned() } else { "NAME".to_owned() };
            Err(format!(
                "show takes one organization: for a repository or a member, run `github-metrics show repo {org} \
                 {name}` or `github-metrics show member {org} {name}`"
            ))
        }
        [] => Err("missing organization: `github-metrics show ORG`".to_owned()),
    }
}

fn check_org(org: &str) -> Result<(), String> {
    args::org(org).map(drop).map_err(|why| format!("invalid organization {}: {why}", quoted(org)))
}

/// Queries the API and prints the answer.
pub(crate) async fn run(session: &CliSession, args: ShowArgs) -> anyhow::Result<Exit> {
    if session.settings.format == Some(OutputFormat::Parquet) {
        return Err(usage_error(
            "invalid --format \"parquet\": show writes table, json or csv; `github-metrics export` writes parquet",
        ));
    }
    let mut target = parse_target(&args.subject).map_err(usage_error)?;
    match &mut target {
        ShowTarget::Metrics { subject: SubjectRef::Repo { id, .. }, .. } => *id = args.id,
        _ if args.id.is_some() => {
            return Err(usage_error(
                "--id selects one of several repositories of a name: use it with `github-metrics show repo ORG NAME`",
            ));
        }
        _ => {}
    }
    if let Some(fault) = args.fault(&target) {
        return Err(usage_error(fault));
    }
    if args.watch.is_some() && !session.console.output().is_terminal {
        return Err(usage_error("--watch needs a terminal: without it, show prints once"));
    }
    let client = ApiClient::new(&session.settings).await?;
    let text = text(session, &client, &target, &args).await;
    let shown = match (text, args.watch) {
        (Ok(text), Some(interval)) => watch(session, &client, (&target, &args), text, interval).await,
        (Ok(text), None) => {
            print_waiting_batches(session, target.org()).await;
            session.console.write_data(text)
        }
        (Err(error), _) => Err(error),
    };
    client.close().await;
    shown.map(|()| Exit::Success)
}

/// Shows the text and then what the server answers, again and again, until Ctrl-C or SIGTERM.
async fn watch(
    session: &CliSession,
    client: &ApiClient,
    (target, args): (&ShowTarget<'_>, &ShowArgs),
    mut shown: String,
    interval: Duration,
) -> anyhow::Result<()> {
    loop {
        session.console.write_data(format!("{CLEAR_SCREEN}{shown}"))?;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = signals::wait_for_stop_signal() => return Ok(()),
        }
        match text(session, client, target, args).await {
            Ok(text) => shown = text,
            // The server may be back the next time.
            Err(error) => shown.push_str(&format!("\n{}\n", escaped(&one_line(&error)))),
        }
    }
}

/// Returns what is shown of the sessions of an organization.
#[cfg(test)]
pub(super) async fn agents_text(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    args: &ShowArgs,
) -> anyhow::Result<String> {
    agents::show(session, client, org, args).await
}

/// Returns what is shown.
async fn text(
    session: &CliSession,
    client: &ApiClient,
    target: &ShowTarget<'_>,
    args: &ShowArgs,
) -> anyhow::Result<String> {
    let shown = match target {
        ShowTarget::Metrics { org, subject } => show_metrics(session, client, org, subject, args).await,
        ShowTarget::List { org, kind } => list::show(session, client, org, *kind, args).await,
        ShowTarget::Agents { org } => agents::show(session, client, org, args).await,
    };
    let (org, subject) = (target.org(), target.subject());
    let shown = match shown {
        Ok(text) => Ok(text),
        Err(error) => Err(suggest(client, org, subject, error).await),
    };
    shown.map_err(|error| match args.subject.as_slice() {
        // These are words of the command line, unless there is an organization of that name.
        [word] if is_not_found(&error) && matches!(word.as_str(), "repo" | "member") => {
            usage_error(format!("missing organization and name: `github-metrics show {word} ORG NAME`"))
        }
        [word] if is_not_found(&error) && matches!(word.as_str(), "repos" | "members" | "agents") => {
            usage_error(format!("missing organization: `github-metrics show {word} ORG`"))
        }
        _ => error,
    })
}

/// Prints how many batches in the local inbox are not in the numbers yet.
pub(super) async fn print_waiting_batches(session: &CliSession, org: &str) {
    let batches = open::waiting_batches(&session.settings, org).await;
    if batches > 0 {
        let option = session.settings.data_dir_option();
        session.console.print_info(format!(
            "{} not counted yet: run `github-metrics aggregate{option}`",
            count(batches, "batch is", "batches are")
        ));
    }
}

/// How an answer is written.
enum ShowFormat {
    Table(OutputStyle),
    TabSeparated,
    Csv,
    Json,
}

/// Returns the format that the options and stdout ask for.
fn show_format(session: &CliSession) -> ShowFormat {
    let output = session.console.output();
    match session.settings.format {
        Some(OutputFormat::Json) => ShowFormat::Json,
        Some(OutputFormat::Csv) => ShowFormat::Csv,
        None if !output.is_terminal && !output.has_color => ShowFormat::TabSeparated,
        None | Some(OutputFormat::Table | OutputFormat::Parquet) => ShowFormat::Table(output),
    }
}

async fn show_metrics(
    session: &CliSession,
    client: &ApiClient,
    org: &str,
    subject: &SubjectRef,
    args: &ShowArgs,
) -> anyhow::Result<String> {
    if args.limit.is_some() {
        return Err(usage_error(
            "--limit is for lists: `github-metrics show repos ORG` or `github-metrics show members ORG`",
        ));
    }
    let view = query(client, org, subject, args).await?;
    let MetricsAnswer { context, coverage, .. } = &view.metrics.value;
    warn_if_incomplete(session, context, coverage);
    Ok(match show_format(session) {
        ShowFormat::Json => session.for_stdout(format!(
            "{{\"metrics\":{},\"timeseries\":{}}}\n",
            view.metrics.text.trim(),
            view.series.text.trim()
        )),
        ShowFormat::Csv => session.for_stdout(series_csv(args.metric(), view.points())?),
        ShowFormat::TabSeparated => {
            session.console.print_info(heading(context, coverage, usize::MAX));
            metrics_tsv(&view.metrics.value, comparable_since(client, context, coverage).await)
        }
        ShowFormat::Table(style) if view.is_idle() => {
            let last_day = last_activity(client, org, subject, args).await?;
            let waiting = open::waiting_batches(&session.settings, org).await;
            view.idle_text(last_day, waiting, style)
        }
        ShowFormat::Table(style) => {
            view.to_text(args.metric(), comparable_since(client, context, coverage).await, style)
        }
    })
}

/// Returns the first day whose numbers can be compared with: the first complete one. If nothing is known of the
/// collection, as in the sample, it is that of the first event. `None` if there is none, or it cannot be seen.
async fn comparable_since(
    client: &ApiClient,
    context: &AnswerContext,
    coverage: &CoverageAnswer,
) -> Option<NaiveDate> {
    if let Some(day) = answer::complete_since(context, coverage) {
        return Some(day);
    }
    // A token of some repositories sees no organizations.
    let orgs = client.send(async |api| api.orgs().await).await.ok()?.value.orgs;
    let org = orgs.into_iter().find(|org| org.org == context.org)?;
    org.first_event.map(|at| answer::time_zone(context).day(at))
}

fn warn_if_incomplete(session: &CliSession, context: &AnswerContext, coverage: &CoverageAnswer) {
    if let Some(warning) = answer::incomplete_warning(context, coverage, context.since) {
        session.console.print_notice(warning);
    }
    for line in answer::gap_lines(coverage) {
        session.console.print_notice(line);
    }
}

/// The answers that `show` prints.
pub(super) struct MetricsView {
    pub(super) metrics: Answer<MetricsAnswer>,
    series: Answer<SeriesAnswer>,
    pub(super) grain: Grain,
}

fn unexpected() -> anyhow::Error {
    failure("the answer of the API has an empty range: use the same version of github-metrics on both sides")
}

/// Returns the query of the options, with a comparison.
fn metrics_query(args: &ShowArgs) -> MetricsQuery {
    MetricsQuery { since: args.since, until: args.until, bots: args.bots.bots, compare: true }
}

/// Queries the metrics of a subject, and the series of the chart.
///
/// # Errors
/// If a request fails.
pub(super) async fn query(
    client: &ApiClient,
    org: &str,
    subject: &SubjectRef,
    args: &ShowArgs,
) -> anyhow::Result<MetricsView> {
    let metrics = client.send(async |api| api.metrics(org, subject, &metrics_query(args)).await).await?;
    // The defaults of the range are those of the API, so the answer says which range it covers.
    let range = answer::range(&metrics.value.context).ok_or_else(unexpected)?;
    let grain = args.granularity.unwrap_or_else(|| default_grain(range));
    let series = query_series(client, (org, subject), args.metric(), grain, range, args).await?;
    Ok(MetricsView { metrics, series, grain })
}

async fn query_series(
    client: &ApiClient,
    (org, subject): (&str, &SubjectRef),
    metric: &Metric,
    grain: Grain,
    range: Range,
    args: &ShowArgs,
) -> anyhow::Result<Answer<SeriesAnswer>> {
    let (since, until) = (Some(range.since()), Some(range.until()));
    let query = MetricsQuery { since, until, ..metrics_query(args) };
    client.send(async |api| api.series(org, subject, metric, grain, &query).await).await
}

/// Returns the last day on which the subject was credited with something, or `None` if there is none. Two
/// requests find it: the last month, then the last day of that month.
async fn last_activity(
    client: &ApiClient,
    org: &str,
    subject: &SubjectRef,
    args: &ShowArgs,
) -> anyhow::Result<Option<NaiveDate>> {
    let Some(metric) = Metric::named("active_members") else { return Ok(None) };
    let last_active = async |grain: Grain, since: NaiveDate, until: NaiveDate| {
        let Some(range) = Range::new(since, until) else { return Ok(None) };
        let series = query_series(client, (org, subject), metric, grain, range, args).await?;
        let is_active = |point: &SeriesPoint| point.value != MetricValue::Count(0);
        Ok::<_, anyhow::Error>(series.value.points.into_iter().rev().find(is_active))
    };
    let Some(month) = last_active(Grain::Month, FIRST_YEAR, LAST_YEAR).await? else { return Ok(None) };
    let until = month.end.min(LAST_DAY);
    Ok(last_active(Grain::Day, month.start, until).await?.map(|day| day.start))
}

/// The range in which the last activity is looked for. GitHub began in 2007. A wrong clock can date commits
/// far ahead.
const FIRST_YEAR: NaiveDate = NaiveDate::from_ymd_opt(1990, 1, 1).expect("a valid date");
const LAST_YEAR: NaiveDate = NaiveDate::from_ymd_opt(2200, 1, 1).expect("a valid date");

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

/// Returns the lines above a table of that width: the subject, the range as options, and what is complete.
fn heading(context: &AnswerContext, coverage: &CoverageAnswer, width: usize) -> String {
    let names = [Some(&context.org), context.repo.as_ref(), context.member.as_ref()];
    let subject: Vec<String> = names.into_iter().flatten().map(|name| escaped(name)).collect();
    let days = (context.until - context.since).num_days();
    let bots = match context.bots {
        BotFilter::Auto => "",
        BotFilter::Exclude => ", bots excluded",
        BotFilter::Include => ", bots included",
        BotFilter::Only => ", bots only",
    };
    let coverage = answer::coverage_text(context, coverage).map(|text| format!("\n{}", escaped(&text)));
    let days = format!("{days} {}{bots}", if days == 1 { "day" } else { "days" });
    let options = format!("--since {} --until {}", context.since, context.until);
    // In a narrow terminal, each stands on a line of its own.
    let gap = if days.len() + options.len() + 2 > width { ":\n" } else { ": " };
    format!("{}\n{days}{gap}{options}{}", subject.join(" / "), coverage.unwrap_or_default())
}

impl MetricsView {
    fn to_text(&self, metric: &Metric, comparable_since: Option<NaiveDate>, style: OutputStyle) -> String {
        let answer = &self.metrics.value;
        format!(
            "{}\n\n{}\n\n{}\n",
            heading(&answer.context, &answer.coverage, style.width),
            metrics_table(answer, comparable_since, style),
            series_chart(metric, self.grain, self.points(), style)
        )
    }

    pub(super) fn points(&self) -> &[SeriesPoint] {
        &self.series.value.points
    }

    /// Returns whether nothing happened in the range.
    fn is_idle(&self) -> bool {
        let metrics = &self.metrics.value.metrics;
        let mut names = metrics.0.iter().map(|(name, _)| name).filter(|name| Metric::named(name).is_some());
        names.all(|name| metrics.count(name) == 0)
    }

    /// Says that nothing happened in the range, and when something did; or that nothing has been counted yet, if there
    /// are only batches that wait.
    fn idle_text(&self, last_day: Option<NaiveDate>, waiting_batches: usize, style: OutputStyle) -> String {
        let next = match last_day {
            None if waiting_batches > 0 => {
                let heading = heading(&self.metrics.value.context, &self.metrics.value.coverage, style.width);
                return format!("{heading}\n\nNothing has been counted yet.\n");
            }
            None => "There is none in any other range.".to_owned(),
            Some(day) => {
                let until = day.checked_add_days(Days::new(1)).unwrap_or(day);
                let since = until.checked_sub_days(Days::new(30)).unwrap_or(day);
                format!("The last was on {day}: --since {since} --until {until}")
            }
        };
        format!(
            "{}\n\nNo activity in this range. {next}\n",
            heading(&self.metrics.value.context, &self.metrics.value.coverage, style.width)
        )
    }
}

/// Writes the series as CSV, a row for each bucket.
fn series_csv(metric: &Metric, points: &[SeriesPoint]) -> anyhow::Result<String> {
    let fields: &[&str] =
        if metric.is_distribution() { &["count", "mean", "p50", "p90"] } else { &["value"] };
    let mut header = ["start", "end", "metric"].map(str::to_owned).to_vec();
    header.extend(fields.iter().map(|field| (*field).to_owned()));
    header.push("partial".to_owned());
    let hours = |hours: Option<f64>| hours.map_or_else(String::new, |hours| json!(hours).to_string());
    let records = points.iter().map(|SeriesPoint { start, end, value, partial }| {
        let mut record = vec![start.to_string(), end.to_string(), metric.name.to_owned()];
        match *value {
            MetricValue::Count(count) => record.push(count.to_string()),
            MetricValue::Distribution { count, mean, p50, p90 } => {
                record.extend([count.to_string(), hours(mean), hours(p50), hours(p90)]);
            }
        }
        record.push(partial.to_string());
        record
    });
    csv_text(&header, records)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn target(words: &[&str]) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        parse_target(&words).map(|target| match target {
            ShowTarget::Metrics { org, subject } => format!("{org}: {subject:?}"),
            ShowTarget::List { org, kind } => format!("{kind:?} of {org}"),
            ShowTarget::Agents { org } => format!("agents of {org}"),
        })
    }

    #[test]
    fn a_subject_has_one_word_or_three_and_a_list_two() {
        assert_eq!(target(&["acme"]).unwrap(), "acme: Org");
        assert_eq!(target(&["repo"]).unwrap(), "repo: Org", "an organization can have that name");
        assert_eq!(target(&["repo", "acme", "site"]).unwrap(), "acme: Repo { name: \"site\", id: None }");
        assert_eq!(target(&["member", "acme", "x[bot]"]).unwrap(), "acme: Member(\"x[bot]\")");
        assert_eq!(target(&["repos", "acme"]).unwrap(), "Repos of acme");
        assert_eq!(target(&["members", "acme"]).unwrap(), "Members of acme");
        assert_eq!(target(&["agents", "acme"]).unwrap(), "agents of acme");
        assert_eq!(target(&["agents"]).unwrap(), "agents: Org", "an organization can have that name");
        assert_eq!(
            target(&["member", "acme"]).unwrap_err(),
            "missing member name: `github-metrics show member acme NAME`"
        );
        assert!(target(&["repo", "acme"]).unwrap_err().starts_with("missing repository name"));
        assert!(target(&["acme", "site"]).unwrap_err().contains("show repo acme site"));
        assert!(target(&["a", "b", "c"]).is_err());
    }

    #[test]
    fn a_command_is_offered_for_valid_names_only() {
        for words in [
            &["a b;rm -rf"][..],
            &["x\u{1b}[31mRED"],
            &["repo", "$(id)"],
            &["acme;id", "site"],
            &["members", "a b"],
        ] {
            let error = target(words).unwrap_err();
            assert!(error.starts_with("invalid organization \""), "{error}");
            assert!(!error.contains(char::is_control) && !error.contains('`'), "{error:?}");
        }
        assert!(target(&["acme", "a;b"]).unwrap_err().contains("show repo acme NAME`"));
        assert!(target(&[&"x".repeat(30_000)]).unwrap_err().len() < 250);
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
            let json = json!([{"start": "2026-01-05", "end": "2026-01-12", "value": value}]);
            serde_json::from_value::<Vec<SeriesPoint>>(json).unwrap()
        };
        let csv =
            |metric: &str, value: Value| series_csv(Metric::named(metric).unwrap(), &points(value)).unwrap();
        assert_eq!(
            csv("commits", json!(3)),
            "start,end,metric,value,partial\n2026-01-05,2026-01-12,commits,3,false\n"
        );
        let some = csv("cycle_time_hours", json!({"count": 1, "mean": 2.5, "p50": 2.5, "p90": 2.5}));
        assert_eq!(
            some,
            "start,end,metric,count,mean,p50,p90,partial\n\
             2026-01-05,2026-01-12,cycle_time_hours,1,2.5,2.5,2.5,false\n"
        );
        let none = csv("cycle_time_hours", json!({"count": 0, "mean": null, "p50": null, "p90": null}));
        assert!(none.ends_with("cycle_time_hours,0,,,,false\n"), "{none}");
    }
}
