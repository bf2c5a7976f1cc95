//! What a route can be asked: the parameters, their values and defaults, strictly read.
//!
//! [`Parameter`] is the one definition of each; the reader and the OpenAPI document both use it.

mod given;
mod path;
mod question;

pub(crate) use path::Target;
pub(crate) use question::{Asked, ListQuestion, MetricsQuestion, NoQuestion, Question, SeriesQuestion};

use gam_model::Grain;
use gam_model::metric::{CATALOGUE, Metric};
use gam_query::{BotFilter, Order};

/// How many days are answered where the range does not say: the last of them is today.
pub(crate) const DEFAULT_DAYS: u64 = 30;
/// How many entries a page has where `limit` does not say.
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// What a series or a listing goes by where `metric` or `sort` does not say.
pub(crate) const DEFAULT_METRIC: &str = "commits";

/// A query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Since,
    Until,
    Bots,
    Metric,
    Type,
    Granularity,
    Sort,
    Order,
    Limit,
    Cursor,
}

const BOTS: [(&str, BotFilter); 3] =
    [("exclude", BotFilter::Exclude), ("include", BotFilter::Include), ("only", BotFilter::Only)];

const ORDERS: [(&str, Order); 2] = [("asc", Order::Asc), ("desc", Order::Desc)];

/// The values of `type`, each with the metric it stands for.
const TYPES: [(&str, &str); 4] = [
    ("commit", "commits"),
    ("pull_request", "prs_opened"),
    ("code_change", "lines_changed"),
    ("deploy", "deploys"),
];

impl Parameter {
    /// The name in the query string.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parameter::Since => "since",
            Parameter::Until => "until",
            Parameter::Bots => "bots",
            Parameter::Metric => "metric",
            Parameter::Type => "type",
            Parameter::Granularity => "granularity",
            Parameter::Sort => "sort",
            Parameter::Order => "order",
            Parameter::Limit => "limit",
            Parameter::Cursor => "cursor",
        }
    }

    /// Every value it takes, where they can be listed.
    pub(crate) fn values(self) -> Option<Vec<&'static str>> {
        match self {
            Parameter::Bots => Some(BOTS.map(|(name, _)| name).to_vec()),
            Parameter::Order => Some(ORDERS.map(|(name, _)| name).to_vec()),
            Parameter::Type => Some(TYPES.map(|(name, _)| name).to_vec()),
            Parameter::Granularity => Some(Grain::ALL.map(Grain::as_str).to_vec()),
            Parameter::Metric | Parameter::Sort => Some(CATALOGUE.iter().map(|metric| metric.name).collect()),
            Parameter::Since | Parameter::Until | Parameter::Limit | Parameter::Cursor => None,
        }
    }

    /// The value taken where none is given, where that is a fixed one.
    pub(crate) fn default_value(self) -> Option<&'static str> {
        match self {
            Parameter::Bots => Some(name_of(&BOTS, BotFilter::default())),
            Parameter::Order => Some(name_of(&ORDERS, Order::default())),
            Parameter::Granularity => Some(Grain::Day.as_str()),
            Parameter::Metric | Parameter::Sort => Some(DEFAULT_METRIC),
            Parameter::Type | Parameter::Since | Parameter::Until | Parameter::Limit | Parameter::Cursor => {
                None
            }
        }
    }
}

fn name_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, it)| *it == value).map(|(name, _)| *name).expect("the table holds every value")
}

fn named<T: Copy>(table: &[(&'static str, T)], name: &str) -> Option<T> {
    table.iter().find(|(it, _)| *it == name).map(|(_, value)| *value)
}

/// The metric that a value of `type` stands for.
pub(crate) fn metric_of_type(name: &str) -> Option<&'static Metric> {
    named(&TYPES, name).and_then(Metric::named)
}
