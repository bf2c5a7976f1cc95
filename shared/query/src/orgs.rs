//! The overview of all organizations.

use chrono::{DateTime, Days, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::period::FIRST_DAY;
use gam_model::{Range, Subject};
use gam_rollup::{Side, merged_span};

use crate::answers::{OrgSummary, OrgsAnswer};
use crate::list_order::NameFilter;
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::{Credited, MonthOfDays};
use crate::{QueryError, QueryPorts};

/// How many organizations are read at the same time.
const MAX_CONCURRENT_ORGS: usize = 4;

/// Returns every organization that was ever collected.
///
/// # Errors
/// If the store fails, or a stored item cannot be read.
pub async fn orgs(ports: &QueryPorts) -> Result<OrgsAnswer, QueryError> {
    orgs_named(ports, &NameFilter::new("")).await
}

/// Returns every organization that was ever collected and whose name the filter accepts.
///
/// # Errors
/// As [`orgs`].
pub async fn orgs_named(ports: &QueryPorts, filter: &NameFilter) -> Result<OrgsAnswer, QueryError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let names = ports.names.orgs().await?.into_iter();
    let names = names.map(|name| registry.name_of_stored(&name).to_owned());
    let names = names.filter(|name| filter.accepts(name));
    let summaries = stream::iter(names).map(|name| summary(ports, name)).buffered(MAX_CONCURRENT_ORGS);
    let mut orgs: Vec<OrgSummary> = summaries.try_collect().await?;
    orgs.sort_by_cached_key(|summary| summary.org.to_lowercase());
    Ok(OrgsAnswer { orgs })
}

/// Returns the overview of an organization, by its display name.
async fn summary(ports: &QueryPorts, name: String) -> Result<OrgSummary, QueryError> {
    match read_org(ports, &name, &SummaryQuery).await {
        // One organization that is being computed must not hide the others.
        Err(QueryError::NotComputed(_)) => {
            Ok(OrgSummary { org: name, repos: None, members: None, first_event: None, last_event: None })
        }
        summary => summary,
    }
}

struct SummaryQuery;

impl OrgQuery for SummaryQuery {
    type Answer = OrgSummary;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<OrgSummary, QueryError> {
        let days = org.read_all_days(&Subject::Org).await?;
        let credited = Credited::new(&days, |_| true, |side| side == Side::People);
        let (first_event, last_event) = first_and_last_event(org, &days);
        Ok(OrgSummary {
            org: org.name.clone(),
            repos: Some(credited.repos.len() as u64),
            members: Some(credited.members.len() as u64),
            first_event,
            last_event,
        })
    }
}

/// Returns the times of the organization's first and last event up to the end of today, UTC; `None` if all are
/// later. `days` is all that it ever did, including what is dated in the future.
fn first_and_last_event(
    org: &OrgReader<'_>,
    days: &[MonthOfDays],
) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let tomorrow = org.today() + Days::new(1);
    let past = Range::new(FIRST_DAY, tomorrow).expect("today is not before the first day");
    let span_of = |is_in_scope: &dyn Fn(chrono::NaiveDate) -> bool| {
        let days = days.iter().flat_map(MonthOfDays::dates).filter(|(date, _)| is_in_scope(*date));
        days.flat_map(|(_, sides)| sides).map(|side| side.span).fold(None, merged_span)
    };
    let Some(all) = span_of(&|_| true) else { return (None, None) };
    let last = if all.1 < org.time_zone.start_of_day(tomorrow).timestamp_millis() {
        Some(all.1)
    } else {
        span_of(&|date| past.contains(date)).map(|span| span.1)
    };
    let time = DateTime::from_timestamp_millis;
    (time(all.0).filter(|_| last.is_some()), last.and_then(time))
}
