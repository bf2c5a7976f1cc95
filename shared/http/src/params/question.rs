//! The questions the routes take, each with its parameters and defaults.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{Days, NaiveDate};
use gam_model::metric::Metric;
use gam_model::period::FIRST_DAY;
use gam_model::{Grain, Range};
use gam_query::QueryPorts;
use gam_query::{BotFilter, MAX_LIMIT, Order};

use super::given::Given;
use super::{BOTS, DEFAULT_DAYS, DEFAULT_LIMIT, DEFAULT_METRIC, ORDERS, Parameter, metric_of_type, named};
use crate::problem::Failure;

/// What a query string may ask of a route.
pub(crate) trait Question: Sized {
    /// The parameters that the route takes.
    const PARAMETERS: &'static [Parameter];

    /// Reads the parameters; `today` is the UTC day of the request.
    fn read(given: &Given, today: NaiveDate) -> Result<Self, Failure>;
}

/// A question as it was asked: the extractor of the routes.
pub(crate) struct Asked<Q>(pub(crate) Q);

impl<Q: Question> FromRequestParts<QueryPorts> for Asked<Q> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, ports: &QueryPorts) -> Result<Self, Failure> {
        let given = Given::read(&parts.uri, Q::PARAMETERS)?;
        Q::read(&given, ports.clock.now().date_naive()).map(Asked)
    }
}

/// The question of a route without parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoQuestion;

impl Question for NoQuestion {
    const PARAMETERS: &'static [Parameter] = &[];

    fn read(_: &Given, _: NaiveDate) -> Result<Self, Failure> {
        Ok(NoQuestion)
    }
}

/// Over which days, and whose work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MetricsQuestion {
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
}

impl Question for MetricsQuestion {
    const PARAMETERS: &'static [Parameter] = &[Parameter::Since, Parameter::Until, Parameter::Bots];

    fn read(given: &Given, today: NaiveDate) -> Result<Self, Failure> {
        let bots = given.choice(Parameter::Bots, |name| named(&BOTS, name))?.unwrap_or_default();
        Ok(MetricsQuestion { range: range(given, today)?, bots })
    }
}

/// Which metric, in buckets of which length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SeriesQuestion {
    pub(crate) metric: &'static Metric,
    pub(crate) grain: Grain,
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
}

impl Question for SeriesQuestion {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::Metric,
        Parameter::Type,
        Parameter::Granularity,
        Parameter::Since,
        Parameter::Until,
        Parameter::Bots,
    ];

    fn read(given: &Given, today: NaiveDate) -> Result<Self, Failure> {
        let MetricsQuestion { range, bots } = MetricsQuestion::read(given, today)?;
        let grain = given.choice(Parameter::Granularity, Grain::parse)?.unwrap_or(Grain::Day);
        Ok(SeriesQuestion { metric: series_metric(given)?, grain, range, bots })
    }
}

/// Which page of a listing, sorted by what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListQuestion {
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
    pub(crate) sort: &'static Metric,
    pub(crate) order: Order,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
}

impl Question for ListQuestion {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::Sort,
        Parameter::Order,
        Parameter::Limit,
        Parameter::Cursor,
        Parameter::Since,
        Parameter::Until,
        Parameter::Bots,
    ];

    fn read(given: &Given, today: NaiveDate) -> Result<Self, Failure> {
        let MetricsQuestion { range, bots } = MetricsQuestion::read(given, today)?;
        let sort = given.choice(Parameter::Sort, Metric::named)?.unwrap_or_else(default_metric);
        let order = given.choice(Parameter::Order, |name| named(&ORDERS, name))?.unwrap_or_default();
        let limit = given.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
        let cursor = given.text(Parameter::Cursor).map(str::to_owned);
        Ok(ListQuestion { range, bots, sort, order, limit, cursor })
    }
}

fn default_metric() -> &'static Metric {
    Metric::named(DEFAULT_METRIC).expect("the default metric is in the catalogue")
}

/// The metric that `metric` or `type` names; both may be given where they agree.
fn series_metric(given: &Given) -> Result<&'static Metric, Failure> {
    let metric = given.choice(Parameter::Metric, Metric::named)?;
    let by_type = given.choice(Parameter::Type, metric_of_type)?;
    match (metric, by_type) {
        (Some(metric), Some(by_type)) if metric != by_type => Err(Failure::invalid(format!(
            "metric {:?} and type {:?} disagree, because that type stands for metric {:?}: give one of the two",
            metric.name,
            given.text(Parameter::Type).unwrap_or_default(),
            by_type.name
        ))),
        (metric, by_type) => Ok(metric.or(by_type).unwrap_or_else(default_metric)),
    }
}

/// The range that `since` and `until` name. Without `until` it ends with today; without `since` it
/// is [`DEFAULT_DAYS`] long.
fn range(given: &Given, today: NaiveDate) -> Result<Range, Failure> {
    let (since, until) = (given.day(Parameter::Since)?, given.day(Parameter::Until)?);
    let end = until.unwrap_or(today + Days::new(1));
    let start = since.unwrap_or((end - Days::new(DEFAULT_DAYS)).max(FIRST_DAY));
    Range::new(start, end).ok_or_else(|| {
        let end = match until {
            Some(until) => until.to_string(),
            None => format!("{end} (tomorrow, the default)"),
        };
        Failure::invalid(format!(
            "since {start} is not before until {end}: the range is half-open, [since, until), so give an until \
             of at least one day after since"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// Asks on 2024-03-10.
    fn ask<Q: Question>(query: &str) -> Result<Q, Failure> {
        let given = Given::read(&format!("/x?{query}").parse().unwrap(), Q::PARAMETERS)?;
        Q::read(&given, day("2024-03-10"))
    }

    fn span(query: &str) -> (NaiveDate, NaiveDate) {
        let range = ask::<MetricsQuestion>(query).unwrap().range;
        (range.since(), range.until())
    }

    fn refusal<Q: Question>(query: &str) -> String {
        format!("{:?}", ask::<Q>(query).err().expect("it is refused"))
    }

    #[test]
    fn the_range_has_sensible_defaults() {
        assert_eq!(span(""), (day("2024-02-10"), day("2024-03-11")));
        assert_eq!(span("since=2024-03-01"), (day("2024-03-01"), day("2024-03-11")));
        assert_eq!(span("until=2024-02-01"), (day("2024-01-02"), day("2024-02-01")));
        assert_eq!(span("until=1970-01-05"), (day("1970-01-01"), day("1970-01-05")));
        assert_eq!(span("since=1970-01-01&until=9999-01-01"), (day("1970-01-01"), day("9999-01-01")));
        assert_eq!(span("since=2024-03-10"), (day("2024-03-10"), day("2024-03-11")));
    }

    #[test]
    fn an_empty_or_inverted_range_is_refused() {
        for query in [
            "since=2024-02-02&until=2024-02-02",
            "since=2024-02-03&until=2024-02-02",
            "since=2024-03-11",
            "until=1970-01-01",
        ] {
            assert!(refusal::<MetricsQuestion>(query).contains("half-open"), "{query}");
        }
        let only_since = refusal::<MetricsQuestion>("since=2024-04-01");
        assert!(
            only_since.contains("since 2024-04-01 is not before until 2024-03-11 (tomorrow"),
            "{only_since}"
        );
    }

    #[test]
    fn bots_are_left_out_by_default() {
        assert_eq!(ask::<MetricsQuestion>("").unwrap().bots, BotFilter::Exclude);
        assert_eq!(ask::<MetricsQuestion>("bots=include").unwrap().bots, BotFilter::Include);
        assert_eq!(ask::<MetricsQuestion>("bots=only").unwrap().bots, BotFilter::Only);
        assert!(refusal::<MetricsQuestion>("bots=no").contains("exclude, include, only"));
    }

    #[test]
    fn a_series_names_its_metric_or_its_type() {
        let metric = |query: &str| ask::<SeriesQuestion>(query).unwrap().metric.name;
        assert_eq!(metric(""), "commits");
        assert_eq!(metric("metric=cycle_time_hours"), "cycle_time_hours");
        assert_eq!(metric("type=commit"), "commits");
        assert_eq!(metric("type=pull_request"), "prs_opened");
        assert_eq!(metric("type=code_change"), "lines_changed");
        assert_eq!(metric("type=deploy&metric=deploys"), "deploys");
        let both = refusal::<SeriesQuestion>("type=deploy&metric=commits");
        assert!(both.contains("disagree") && both.contains("deploys"), "{both}");
        assert!(
            refusal::<SeriesQuestion>("type=commits").contains("commit, pull_request, code_change, deploy")
        );
        assert!(refusal::<SeriesQuestion>("metric=stars").contains("commits, merge_commits"));
    }

    #[test]
    fn a_series_has_days_unless_told_otherwise() {
        let grain = |query: &str| ask::<SeriesQuestion>(query).unwrap().grain;
        assert_eq!(grain(""), Grain::Day);
        assert_eq!(grain("granularity=week"), Grain::Week);
        assert_eq!(grain("granularity=month"), Grain::Month);
        assert!(refusal::<SeriesQuestion>("granularity=year").contains("day, week, month"));
    }

    #[test]
    fn a_listing_starts_with_the_most_commits() {
        let asked = ask::<ListQuestion>("").unwrap();
        assert_eq!((asked.sort.name, asked.order, asked.limit), ("commits", Order::Desc, 50));
        assert_eq!(asked.cursor, None);
        let asked = ask::<ListQuestion>("sort=reviews&order=asc&limit=1000&cursor=a%2Bb").unwrap();
        assert_eq!((asked.sort.name, asked.order, asked.limit), ("reviews", Order::Asc, 1000));
        assert_eq!(asked.cursor.as_deref(), Some("a+b"));
        assert!(refusal::<ListQuestion>("order=up").contains("asc, desc"));
        assert!(refusal::<ListQuestion>("sort=name").contains("commits"));
        assert!(refusal::<ListQuestion>("metric=commits").contains("takes sort, order"));
    }
}
