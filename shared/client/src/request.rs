//! What is requested.

use chrono::NaiveDate;
use gam_model::metric::Metric;
use gam_query::{BotFilter, SortDirection, SubjectRef};

/// The days of a query, and whose work counts. What is `None` has the server's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsQuery {
    /// The first day, in the organization's time zone.
    pub since: Option<NaiveDate>,
    /// The day after the last, in the organization's time zone.
    pub until: Option<NaiveDate>,
    /// Whose work counts.
    pub bots: BotFilter,
    /// Whether to compare with the same number of days before. Series have no comparison.
    pub compare: bool,
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// The days, and whose work counts.
    pub metrics: MetricsQuery,
    /// The metric to sort by. `None` for the server's default.
    pub sort: Option<&'static Metric>,
    /// The direction of the sorting.
    pub order: SortDirection,
    /// Only entries whose names contain this text.
    pub search: Option<String>,
    /// The most entries of the page. `None` for the server's default.
    pub limit: Option<u16>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// The parameters of a request.
pub(crate) type Parameters = Vec<(&'static str, String)>;

impl MetricsQuery {
    pub(crate) fn parameters(&self) -> Parameters {
        let mut parameters = self.series_parameters();
        if self.compare {
            parameters.push(("compare", "previous".to_owned()));
        }
        parameters
    }

    /// Returns the parameters without the comparison.
    pub(crate) fn series_parameters(&self) -> Parameters {
        let mut parameters = vec![("bots", self.bots.as_str().to_owned())];
        for (name, day) in [("since", self.since), ("until", self.until)] {
            parameters.extend(day.map(|day| (name, day.to_string())));
        }
        parameters
    }
}

impl ListQuery {
    pub(crate) fn parameters(&self) -> Parameters {
        let mut parameters = self.metrics.parameters();
        parameters.push(("order", self.order.as_str().to_owned()));
        parameters.extend(self.sort.map(|metric| ("sort", metric.name.to_owned())));
        parameters.extend(self.search.clone().map(|text| ("q", text)));
        parameters.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        parameters.extend(self.cursor.clone().map(|cursor| ("cursor", cursor)));
        parameters
    }
}

/// Returns the path of a subject, and the parameter that distinguishes a repository from others of its name.
pub(crate) fn subject_path(org: &str, subject: &SubjectRef) -> (Vec<String>, Parameters) {
    let mut path = vec!["orgs".to_owned(), org.to_owned()];
    match subject {
        SubjectRef::Org => (path, Vec::new()),
        SubjectRef::Repo { name, id } => {
            path.extend(["repos".to_owned(), name.clone()]);
            (path, id.map(|id| ("id", id.to_string())).into_iter().collect())
        }
        SubjectRef::Member(name) => {
            path.extend(["members".to_owned(), name.clone()]);
            (path, Vec::new())
        }
    }
}
