//! Answers about sessions as CSV.

use gam_model::{AgentDimension, AgentMetric};
use gam_query::{
    AgentListAnswer, AgentListing, AgentMetricChange, AgentMetricChanges, AgentMetricValue,
    AgentMetricValues, AgentMetricsAnswer, AgentPartName, AgentPoint, AgentSeriesAnswer, PrClassesAnswer,
};

use super::csv::{
    BUCKET_COLUMNS, CsvTable, ToCsv, bucket_cells, compared_cells, compared_columns, context_cells,
    count_change, float, metric_columns, number_change, optional, statistics_cells, texts,
};

impl ToCsv for AgentMetricsAnswer {
    fn to_csv(&self) -> CsvTable {
        let (mut header, mut record) = context_cells(&self.context);
        header.extend(texts([
            "active_members",
            "active_members_with_sessions",
            "unpriced_models",
            "kept_since",
        ]));
        header.extend(columns(AgentMetric::divided_by(None)));
        let coverage = self.coverage.as_ref();
        record.push(optional(coverage.map(|coverage| coverage.active_members)));
        record.push(optional(coverage.map(|coverage| coverage.active_members_with_sessions)));
        record.push(self.unpriced_models.join(" "));
        record.push(optional(self.kept_since));
        record.extend(cells(&self.metrics));
        if let Some(previous) = &self.previous {
            header.extend(texts(["previous_since", "previous_until"]));
            record.push(optional(previous.as_ref().map(|previous| previous.range.since)));
            record.push(optional(previous.as_ref().map(|previous| previous.range.until)));
            header.extend(comparison_columns(None));
            let values = previous.as_ref().map(|previous| &previous.values.metrics);
            record.extend(comparison_cells(None, values, self.change.as_ref().and_then(Option::as_ref)));
        }
        CsvTable { header, records: vec![record] }
    }
}

impl ToCsv for AgentListAnswer {
    fn to_csv(&self) -> CsvTable {
        let dimension = AgentListing::parse(&self.by).and_then(AgentListing::dimension);
        let mut header = name_columns(&self.by);
        header.extend(columns(AgentMetric::divided_by(dimension)));
        if self.previous.is_some() {
            header.extend(comparison_columns(dimension));
        }
        let records = self.entries.iter().map(|entry| {
            let mut record = name_cells(&self.by, &entry.name);
            record.extend(cells(&entry.metrics));
            if self.previous.is_some() {
                let previous = entry.previous.as_ref().map(|previous| &previous.metrics);
                record.extend(comparison_cells(dimension, previous, entry.change.as_ref()));
            }
            record
        });
        CsvTable { header, records: records.collect() }
    }
}

impl ToCsv for AgentSeriesAnswer {
    fn to_csv(&self) -> CsvTable {
        let metric = AgentMetric::named(&self.metric);
        let header = [texts(BUCKET_COLUMNS), columns(metric)].concat();
        let record = |point: &AgentPoint| {
            [bucket_cells(point.start, point.end, point.partial), value_cells(&point.value)].concat()
        };
        let (Some(by), Some(series)) = (&self.by, &self.series) else {
            let records = self.points.iter().flatten().map(record);
            return CsvTable { header, records: records.collect() };
        };
        let records = series.iter().flat_map(|part| {
            let name = name_cells(by, &part.name);
            part.points.iter().map(move |point| [name.clone(), record(point)].concat())
        });
        CsvTable { records: records.collect(), header: [name_columns(by), header].concat() }
    }
}

impl ToCsv for PrClassesAnswer {
    fn to_csv(&self) -> CsvTable {
        let mut header = texts(["class", "prs"]);
        for metric in ["cycle_time_hours", "cost_usd"] {
            header.extend(metric_columns(metric, true));
        }
        header.push("unpriced_tokens".to_owned());
        let records = self.classes.iter().map(|class| {
            let mut record = vec![class.class.clone(), class.prs.to_string()];
            record.extend(value_cells(&class.cycle_time_hours));
            record.extend(value_cells(&class.cost_usd));
            record.push(class.unpriced_tokens.to_string());
            record
        });
        CsvTable { header, records: records.collect() }
    }
}

fn name_columns(by: &str) -> Vec<String> {
    match by {
        "branch" => texts(["repo", "id", "branch"]),
        "repo" => texts(["repo", "id"]),
        "member" => texts(["member", "kind"]),
        by => vec![by.to_owned()],
    }
}

/// Returns the cells of [`name_columns`]. All are empty for the sum of other parts.
fn name_cells(by: &str, name: &AgentPartName) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match AgentListing::parse(by) {
        Some(AgentListing::Parts(AgentDimension::Branch)) => {
            vec![text(&name.repo), optional(name.id), text(&name.branch)]
        }
        Some(AgentListing::Repos) => vec![text(&name.repo), optional(name.id)],
        Some(AgentListing::Members) => {
            vec![text(&name.member), name.kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default()]
        }
        Some(AgentListing::Parts(AgentDimension::Tool)) => vec![text(&name.tool)],
        Some(AgentListing::Parts(AgentDimension::Model)) | None => vec![text(&name.model)],
    }
}

/// Returns the columns of metrics: `agent_prompts`, or `agent_session_hours_p50`.
pub(crate) fn columns<'a>(metrics: impl IntoIterator<Item = &'a AgentMetric>) -> Vec<String> {
    metrics.into_iter().flat_map(|metric| metric_columns(metric.name, metric.is_distribution())).collect()
}

/// Returns the columns of a comparison of the metrics that the dimension divides.
fn comparison_columns(dimension: Option<AgentDimension>) -> Vec<String> {
    compared_columns(columns(AgentMetric::divided_by(dimension)))
}

/// Returns the cells of [`comparison_columns`]. They are empty if there is no comparison.
fn comparison_cells(
    dimension: Option<AgentDimension>,
    previous: Option<&AgentMetricValues>,
    change: Option<&AgentMetricChanges>,
) -> Vec<String> {
    let (Some(previous), Some(change)) = (previous, change) else {
        return vec![String::new(); comparison_columns(dimension).len()];
    };
    compared_cells(cells(previous), change.0.iter().flat_map(|(_, change)| change_cells(change)))
}

/// Returns the difference and the relative change of each number of a metric.
fn change_cells(change: &AgentMetricChange) -> Vec<[String; 2]> {
    match change {
        AgentMetricChange::Count(change) => vec![count_change(change)],
        AgentMetricChange::Number(change) => vec![number_change(change)],
        AgentMetricChange::Distribution { count, mean, p50, p90 } => {
            vec![count_change(count), number_change(mean), number_change(p50), number_change(p90)]
        }
    }
}

fn cells(values: &AgentMetricValues) -> Vec<String> {
    values.0.iter().flat_map(|(_, value)| value_cells(value)).collect()
}

fn value_cells(value: &AgentMetricValue) -> Vec<String> {
    match value {
        AgentMetricValue::Count(count) => vec![count.to_string()],
        AgentMetricValue::Number(number) => vec![float(*number)],
        AgentMetricValue::Distribution { count, mean, p50, p90 } => {
            statistics_cells(*count, [*mean, *p50, *p90])
        }
    }
}
