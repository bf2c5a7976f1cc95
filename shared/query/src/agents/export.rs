//! All metrics of sessions of an organization, bucket by bucket, as a stream of rows.

use std::sync::Arc;

use gam_model::{ItemClass, Month, Subject, SubjectKind};
use gam_rollup::{AgentDaysItem, AgentListItem};

use super::answers::AgentMetricValues;
use super::list::{subject_name, sums_by_subject};
use super::reading::{SessionReader, days_in};
use super::sums::AgentSum;
use crate::export::{Export, ExportRequest, ExportedTable, RowScope, RowSubject, export_table};
use crate::org_reader::OrgReader;
use crate::read_items::ReadItem;
use crate::{QueryError, QueryPorts};

/// Begins to export the metrics of sessions of an organization. All rows derive from the epoch that is active now; if its
/// items are deleted before the end, the stream ends with an error.
///
/// # Errors
/// As [`export`](crate::export()).
pub async fn agent_export(
    ports: &QueryPorts,
    org: &str,
    request: ExportRequest,
) -> Result<Export<AgentMetricValues>, QueryError> {
    export_table::<SessionsExport>(ports, org, request).await
}

/// What coding agents do.
struct SessionsExport;

/// What is read of a month: the organization's days, or a list.
enum MonthItems {
    Org(Vec<ReadItem<AgentDaysItem>>),
    Listed(Vec<ReadItem<AgentListItem>>),
}

impl ExportedTable for SessionsExport {
    type Items = MonthItems;
    type Values = AgentMetricValues;

    async fn read_months(org: &OrgReader<'_>) -> Result<Vec<Month>, QueryError> {
        Ok(SessionReader::open(org).await?.items.months().collect())
    }

    async fn read_month(
        org: &OrgReader<'_>,
        level: RowSubject,
        month: Month,
    ) -> Result<MonthItems, QueryError> {
        let items = SessionReader::open(org).await?.items;
        let month = std::iter::once(month);
        Ok(match level {
            RowSubject::Org => MonthItems::Org(items.read(&ItemClass::Days(Subject::Org), month).await?),
            RowSubject::Repo => MonthItems::Listed(items.read_lists(SubjectKind::Repo, month).await?),
            RowSubject::Member => MonthItems::Listed(items.read_lists(SubjectKind::Member, month).await?),
        })
    }

    fn values_of_org(months: &[Arc<MonthItems>], scope: &RowScope) -> AgentMetricValues {
        let mut sum = AgentSum::default();
        for items in months {
            let MonthItems::Org(items) = &**items else { continue };
            for month in items {
                for (_, sides) in days_in(month.key.month, &month.item.days, scope.range) {
                    sum.add(sides, &month.item.members, SubjectKind::Org, scope.bots);
                }
            }
        }
        sum.values(None, SubjectKind::Org)
    }

    fn listed(
        months: &[Arc<MonthItems>],
        kind: SubjectKind,
        scope: &RowScope,
    ) -> Vec<(String, Option<i64>, AgentMetricValues)> {
        let lists = months.iter().flat_map(|items| match &**items {
            MonthItems::Listed(lists) => &lists[..],
            MonthItems::Org(_) => &[],
        });
        let sums = sums_by_subject(lists, kind, scope.range, scope.bots).into_values();
        let values = sums.map(|(subject, sum)| {
            let name = subject_name(subject, &scope.repo_names);
            (name.repo.or(name.member).unwrap_or_default(), name.id, sum.values(None, kind))
        });
        values.collect()
    }
}
