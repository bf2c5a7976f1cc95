//! The terminal, exports, SQL, the API, pages and charts give the same numbers on the same ranges.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_tests::answers::day;
use gam_tests::http::get;
use gam_tests::program::{Sandbox, ServerProcess};
use serde_json::Value;

use crate::sql;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::DuckDbProgram];

const ORG: &str = "octo-demo";

/// A month, ranges that cut months, and a day. Each lies in one month, or has whole weeks, so that an export has a row
/// for all of it or rows that can be added.
const RANGES: [(&str, &str); 4] = [
    ("2026-10-01", "2026-11-01"),
    ("2026-10-06", "2026-10-23"),
    ("2026-09-17", "2026-10-13"),
    ("2026-10-14", "2026-10-15"),
];

const BOTS: [&str; 4] = ["auto", "exclude", "include", "only"];

/// Metrics that SQL counts below. Those after the first nine cannot be added.
const COUNTS: [&str; 10] = [
    "commits",
    "lines_changed",
    "prs_opened",
    "prs_merged",
    "reviews",
    "issues_opened",
    "releases",
    "deploys",
    "deploy_failures",
    "active_members",
];
const DURATIONS: [&str; 2] = ["cycle_time_hours", "first_review_hours"];

/// The condition of what people did.
const PEOPLE: &str = "member_kind NOT IN ('bot', 'unknown')";
/// The condition of what people deliver. The sample's rows are of an older reading, which shows a ghost where GitHub shows
/// nobody.
const AUTHORS: &str = "member_kind NOT IN ('bot', 'unknown', 'ghost')";

/// The numbers of one range and one choice of bots, by metric: counts, or medians in hours. A metric that an output
/// does not have is missing.
type Numbers = BTreeMap<String, Option<f64>>;

/// A server of the sample, and the question of all outputs.
struct Question<'a> {
    sandbox: &'a Sandbox,
    server: &'a ServerProcess,
    since: NaiveDate,
    until: NaiveDate,
    bots: &'a str,
}

/// Reads a number as pages and tables write it: `1,234`, or `–` for none.
fn number(text: &str) -> Option<f64> {
    text.trim().replace(',', "").parse().ok()
}

/// Returns what follows `start` in a text, up to `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(found, _)| found)
}

impl Question<'_> {
    fn query(&self) -> String {
        format!("since={}&until={}&bots={}", self.since, self.until, self.bots)
    }

    fn get(&self, path: &str) -> String {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = get(self.server.address(), &format!("{path}{separator}{}", self.query()));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).expect("JSON")
    }

    fn run(&self, args: &[&str]) -> String {
        let (since, until) = (self.since.to_string(), self.until.to_string());
        let range = ["--since", &since, "--until", &until, "--bots", self.bots];
        self.sandbox.run(&[args, &range].concat()).expect_status(0).text()
    }

    /// Returns the numbers of the API.
    fn api(&self) -> Numbers {
        from_metrics(&self.json(&format!("/api/v1/orgs/{ORG}/metrics"))["metrics"])
    }

    /// Returns the numbers that `show` writes into a pipe.
    fn show(&self) -> Numbers {
        let text = self.run(&["show", ORG]);
        let rows = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
        rows.map(|row| (row[0].to_owned(), number(row[1]))).collect()
    }

    /// Returns the sums of the rows of an export. Metrics that cannot be added are there if the range is one row.
    fn export(&self) -> Numbers {
        let text = self.run(&["export", ORG, "--format", "csv", "--granularity", "month"]);
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let names = lines.next().expect("a header");
        let rows: Vec<Vec<&str>> = lines.filter(|row| row[0] == "org").collect();
        let value = |row: &[&str], name: &str| {
            let at = names.iter().position(|it| *it == name).unwrap_or_else(|| panic!("a column {name}"));
            number(row[at])
        };
        let counts = COUNTS.iter().filter(|name| rows.len() == 1 || **name != "active_members");
        let sum = |name: &&str| rows.iter().map(|row| value(row, name).expect("a count")).sum::<f64>();
        let mut numbers: Numbers = counts.map(|name| ((*name).to_owned(), Some(sum(name)))).collect();
        if let [row] = rows.as_slice() {
            numbers.extend(DURATIONS.map(|name| (name.to_owned(), value(row, &format!("{name}_p50")))));
        }
        numbers
    }

    /// Returns what SQL over the events counts.
    fn sql(&self) -> Numbers {
        let (people, delivery, members) = match self.bots {
            "auto" => ("member_kind <> 'bot'", "true", PEOPLE),
            "exclude" => (PEOPLE, AUTHORS, PEOPLE),
            "include" => ("true", "true", "member_kind <> 'unknown'"),
            _ => ("member_kind = 'bot'", "member_kind = 'bot'", "member_kind = 'bot'"),
        };
        let (since, until) = (self.since, self.until);
        let query = format!(
            "WITH live AS (
                SELECT *, kind = 'commit' AND coalesce(parents, 0) <= 1 AS plain, kind = 'review' AND lower(pr_member) = lower(member) AS own
                FROM events WHERE NOT retracted AND org_name = '{ORG}'
                    AND occurred_at >= TIMESTAMPTZ '{since} 00:00:00Z' AND occurred_at < TIMESTAMPTZ '{until} 00:00:00Z'
            )
            SELECT count(DISTINCT sha) FILTER (plain AND {people}) AS commits,
                coalesce(sum(additions + deletions) FILTER (plain AND {people}), 0) AS lines_changed,
                count(*) FILTER (kind = 'pr_opened' AND {people}) AS prs_opened,
                count(*) FILTER (kind = 'pr_merged' AND {people}) AS prs_merged,
                count(*) FILTER (kind = 'review' AND NOT own AND {people}) AS reviews,
                count(*) FILTER (kind = 'issue_opened' AND {people}) AS issues_opened,
                count(*) FILTER (kind = 'release' AND {delivery}) AS releases,
                count(*) FILTER (kind = 'deployment_success' AND {delivery}) AS deploys,
                count(*) FILTER (kind = 'deployment_failure' AND {delivery}) AS deploy_failures,
                count(DISTINCT lower(member)) FILTER (NOT own AND {members}) AS active_members,
                quantile_disc(epoch(merged_at - created_at) / 3600, 0.5) FILTER (kind = 'pr_merged' AND {people}) AS cycle_time_hours
            FROM live"
        );
        let rows = sql::rows(self.sandbox, &query);
        let row = rows[0].as_object().expect("a row");
        row.iter().map(|(name, value)| (name.clone(), number(value.to_string().trim_matches('"')))).collect()
    }

    /// Returns the numbers at the top of the page, those without a unit.
    fn page(&self) -> Numbers {
        let html = self.get(&format!("/orgs/{ORG}"));
        let tiles = html.split("<li data-metric=\"").skip(1);
        let tile = |text: &str| {
            let (name, rest) = text.split_once('"').expect("a name");
            (name.to_owned(), number(between(rest, "class=\"value\">", "<").expect("a value")))
        };
        let is_count =
            |(name, _): &(String, Option<f64>)| name != "deploy_failures" && COUNTS.contains(&name.as_str());
        tiles.map(tile).filter(is_count).collect()
    }

    /// Returns the total and the greatest bucket that a chart of a count has read out, by day.
    fn chart(&self, metric: &str) -> (f64, f64) {
        let svg = self.get(&format!("/api/v1/orgs/{ORG}/charts/{metric}.svg?granularity=day"));
        let text = between(&svg, "<desc>", "</desc>").expect("a description");
        let value = |name: &str| {
            let digits = text.split_once(name).map_or("", |(_, rest)| rest);
            let end = digits.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(digits.len());
            number(digits[..end].trim_end_matches(',')).unwrap_or_else(|| panic!("{name}: {text}"))
        };
        (value("total "), value("most "))
    }

    /// Returns the values of a series of the API, by day.
    fn series(&self, metric: &str) -> Vec<f64> {
        let path = format!("/api/v1/orgs/{ORG}/metrics/timeseries?metric={metric}&granularity=day");
        let answer = self.json(&path);
        let points = answer["points"].as_array().expect("points");
        points.iter().map(|point| point["value"].as_f64().expect("a count")).collect()
    }

    /// Returns the same series from `show --format csv`.
    fn shown_series(&self, metric: &str) -> Vec<f64> {
        let args = ["show", ORG, "--metric", metric, "--granularity", "day", "--format", "csv"];
        let text = self.run(&args);
        text.lines()
            .skip(1)
            .map(|line| number(line.split(',').nth(3).expect("a value")).expect("a count"))
            .collect()
    }

    /// Returns merged pull requests and reviews by repository: of the API, the terminal, SQL, the export and the page.
    fn repositories(&self) -> [(&'static str, BTreeMap<String, [f64; 2]>); 5] {
        let answer = self.json(&format!("/api/v1/orgs/{ORG}/repos?limit=1000"));
        let pair = |one: Option<f64>, other: Option<f64>| [one.unwrap_or(0.0), other.unwrap_or(0.0)];
        let of_api = answer["repos"].as_array().expect("repositories").iter().map(|repo| {
            let metrics = &repo["metrics"];
            (text(&repo["repo"]), pair(metrics["prs_merged"].as_f64(), metrics["reviews"].as_f64()))
        });
        let shown = self.run(&["show", "repos", ORG, "--limit", "1000"]);
        let exported = self.run(&["export", ORG, "--format", "csv", "--granularity", "month"]);
        let people = match self.bots {
            "auto" => "member_kind <> 'bot'",
            "exclude" => PEOPLE,
            "include" => "true",
            _ => "member_kind = 'bot'",
        };
        let (since, until) = (self.since, self.until);
        let counted = sql::rows(
            self.sandbox,
            &format!(
                "SELECT repo, count(*) FILTER (kind = 'pr_merged') AS prs_merged,
                    count(*) FILTER (kind = 'review' AND lower(pr_member) <> lower(member)) AS reviews
                FROM events WHERE NOT retracted AND {people} AND occurred_at >= TIMESTAMPTZ '{since} 00:00:00Z'
                    AND occurred_at < TIMESTAMPTZ '{until} 00:00:00Z' GROUP BY repo"
            ),
        );
        let of_sql = counted.iter().map(|row| {
            let count = |name: &str| number(row[name].to_string().trim_matches('"'));
            (text(&row["repo"]), pair(count("prs_merged"), count("reviews")))
        });
        let page = self.get(&format!("/orgs/{ORG}/repos?columns=all"));
        [
            ("API", of_api.collect()),
            ("show", by_name(&shown, '\t', |row, names| (names[0] == "repo").then(|| row[0].to_owned()))),
            ("export", by_name(&exported, ',', |row, _| (row[0] == "repo").then(|| row[1].to_owned()))),
            ("query", of_sql.collect()),
            ("page", rows_of_page(&page)),
        ]
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn from_metrics(metrics: &Value) -> Numbers {
    let counts = COUNTS.iter().map(|name| ((*name).to_owned(), metrics[name].as_f64()));
    let medians = DURATIONS.iter().map(|name| ((*name).to_owned(), metrics[name]["p50"].as_f64()));
    counts.chain(medians).collect()
}

/// Adds up merged pull requests and reviews of a table with a header, by the name that `name` returns for a row.
fn by_name(
    table: &str,
    separator: char,
    name: impl Fn(&[&str], &[&str]) -> Option<String>,
) -> BTreeMap<String, [f64; 2]> {
    let mut lines = table.lines().map(|line| line.split(separator).collect::<Vec<_>>());
    let names = lines.next().expect("a header");
    let columns =
        ["prs_merged", "reviews"].map(|metric| names.iter().position(|it| *it == metric).expect("a column"));
    let mut sums: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for row in lines {
        if let Some(name) = name(&row, &names) {
            let sum = sums.entry(name).or_default();
            columns.iter().zip(sum).for_each(|(at, sum)| *sum += number(row[*at]).unwrap_or(0.0));
        }
    }
    sums
}

/// Returns merged pull requests and reviews of the table of a page with a list.
fn rows_of_page(html: &str) -> BTreeMap<String, [f64; 2]> {
    let head = between(html, "<thead>", "</thead>").expect("a table");
    let titles: Vec<&str> = head.split("<th ").skip(1).collect();
    let columns = ["prs_merged", "reviews"].map(|metric| {
        let has_link = |title: &&str| {
            title.contains(&format!("sort={metric}&")) || title.contains(&format!("sort={metric}\""))
        };
        titles.iter().position(has_link).unwrap_or_else(|| panic!("a column {metric}: {head}"))
    });
    let rows = between(html, "<tbody>", "</tbody>").expect("rows").split("<tr>").skip(1);
    let row = |row: &str| {
        let cells: Vec<&str> = row.split("<t").skip(1).collect();
        let name = between(cells[0], "<a ", "</a>").and_then(|link| link.split_once('>')).expect("a link").1;
        let value = |at: usize| between(cells[at], "data-value=\"", "\"").and_then(number).expect("a number");
        (name.to_owned(), columns.map(value))
    };
    rows.map(row).collect()
}

/// Asserts that two outputs have the same number of each metric that both have. Medians of many values are estimates
/// within 2 % in all outputs but SQL, which sorts the values. Returns how many were compared.
fn assert_equal(what: &str, api: &Numbers, other: &Numbers, tolerance: f64) -> usize {
    let compared = other.iter().filter_map(|(name, value)| Some((name, *api.get(name)?, *value)));
    let mut count = 0;
    for (name, expected, value) in compared {
        let is_equal = match (expected, value) {
            (Some(expected), Some(value)) if DURATIONS.contains(&name.as_str()) => {
                (expected - value).abs() <= tolerance * expected
            }
            (expected, value) => expected == value,
        };
        assert!(is_equal, "{what}: {name} is {value:?}, but {expected:?} in the API");
        count += 1;
    }
    count
}

fn all_outputs_have_the_same_numbers() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "100", "--until", "2026-11-06"]).expect_status(0);
    let server = sandbox.serve();
    let mut compared = BTreeMap::<&str, usize>::new();
    for ((since, until), bots) in RANGES.iter().flat_map(|range| BOTS.map(|bots| (range, bots))) {
        let question =
            Question { sandbox: &sandbox, server: &server, since: day(since), until: day(until), bots };
        let what = |output: &str| format!("{output} of {since} to {until}, bots={bots}");
        let api = question.api();
        let outputs = [
            ("show", question.show(), 0.0),
            ("export", question.export(), 0.0),
            ("query", question.sql(), 0.02),
            ("page", question.page(), 0.0),
        ];
        for (output, numbers, tolerance) in outputs {
            *compared.entry(output).or_default() += assert_equal(&what(output), &api, &numbers, tolerance);
        }
        for metric in ["commits", "prs_merged", "deploys"] {
            let series = question.series(metric);
            assert_eq!(question.shown_series(metric), series, "{}", what("show"));
            let total: f64 = series.iter().sum();
            assert_eq!(Some(total), api[metric], "{}: {metric}", what("series"));
            if total > 0.0 {
                let most = series.iter().copied().fold(0.0, f64::max);
                assert_eq!(question.chart(metric), (total, most), "{}: {metric}", what("chart"));
                *compared.entry("chart").or_default() += 2;
            }
        }
        let [(_, of_api), others @ ..] = question.repositories();
        for (output, repositories) in others {
            let active =
                |(name, pair): (&String, &[f64; 2])| (*pair != [0.0; 2]).then(|| (name.clone(), *pair));
            let [expected, found]: [BTreeMap<String, [f64; 2]>; 2] =
                [&of_api, &repositories].map(|list| list.iter().filter_map(active).collect());
            assert_eq!(found, expected, "{}", what(output));
            *compared.entry("list").or_default() += found.len();
        }
    }
    let least = [("chart", 60), ("export", 150), ("list", 100), ("page", 40), ("query", 170), ("show", 190)];
    for (output, least) in least {
        assert!(compared[output] >= least, "only {compared:?} numbers were compared");
    }
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, all_outputs_have_the_same_numbers)]
}
