//! The overview of all organizations.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::period::FIRST_DAY;
use gam_model::{Range, Subject};
use gam_rollup::{Side, merged_span};
use gam_store::{Epoch, Marker, NameEntry, NameKind};

use crate::answer_stamp::AnswerStamp;
use crate::answers::{OrgSummary, OrgsAnswer};
use crate::org_reader::{OrgQuery, OrgReader, StoredOrgName, read_stored_org};
use crate::read_items::{Credited, MonthOfDays};
use crate::{QueryError, QueryPorts};

/// How many organizations are read at the same time.
const MAX_CONCURRENT_ORGS: usize = 4;

/// Returns every organization that was ever collected.
///
/// # Errors
/// If the store fails, or a stored item cannot be read.
pub async fn orgs(ports: &QueryPorts) -> Result<OrgsAnswer, QueryError> {
    orgs_with(ports, &KeptSummaries::default()).await
}

async fn orgs_with(ports: &QueryPorts, kept: &KeptSummaries) -> Result<OrgsAnswer, QueryError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let names = ports.names.orgs().await?.into_iter();
    let names = names.map(|name| StoredOrgName::new(&registry, &name));
    let summaries = stream::iter(names).map(|name| summary(ports, name, kept)).buffered(MAX_CONCURRENT_ORGS);
    let mut orgs: Vec<OrgSummary> = summaries.try_collect().await?;
    orgs.sort_by_cached_key(|summary| summary.org.to_lowercase());
    Ok(OrgsAnswer { orgs })
}

/// The overview of all organizations, kept as long as nothing has changed that it depends on.
///
/// Nothing is read from a store that notices changes in some microseconds. From another one, only the head, the markers
/// and the name of each organization are read, and what an organization ever did only if they have changed.
#[derive(Debug, Default)]
pub struct KeptOrgs {
    answer: Mutex<Option<(AnswerStamp, OrgsAnswer)>>,
    summaries: KeptSummaries,
}

/// The overviews of organizations by storage key, with what they were computed from.
#[derive(Debug, Default)]
struct KeptSummaries(Mutex<HashMap<String, (SummaryStamp, OrgSummary)>>);

/// What the overview of an organization depends on.
///
/// Items can be newer than their marker while they are written. The overview then follows with the marker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SummaryStamp {
    epoch: Option<Epoch>,
    markers: Vec<Marker>,
    /// The names of the organization. If it was removed and collected again, they are newer.
    names: Vec<NameEntry>,
    /// The current day in the organization's time zone. Events that are dated in the future depend on it.
    today: NaiveDate,
}

impl SummaryStamp {
    async fn read(org: &OrgReader<'_>) -> gam_store::Result<Self> {
        Ok(SummaryStamp {
            epoch: org.active.as_ref().map(|active| active.epoch),
            markers: org.events.markers.values().cloned().collect(),
            names: org.ports.names.names(&org.key, NameKind::Org).await?,
            today: org.today(),
        })
    }
}

impl KeptSummaries {
    fn find(&self, key: &str, stamp: &SummaryStamp) -> Option<OrgSummary> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(kept_stamp, _)| kept_stamp == stamp).map(|(_, summary)| summary.clone())
    }

    fn keep(&self, key: &str, stamp: SummaryStamp, summary: OrgSummary) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key.to_owned(), (stamp, summary));
    }
}

impl KeptOrgs {
    /// Returns what [`orgs`] returns. If nothing has changed since the last call, it reads nothing.
    ///
    /// # Errors
    /// As [`orgs`].
    pub async fn orgs(&self, ports: &QueryPorts) -> Result<OrgsAnswer, QueryError> {
        let stamp = AnswerStamp::now(ports).await;
        if let Some((kept_stamp, answer)) = &*self.lock()
            && stamp.as_ref() == Some(kept_stamp)
        {
            return Ok(answer.clone());
        }
        let answer = orgs_with(ports, &self.summaries).await?;
        if let Some(stamp) = stamp
            && AnswerStamp::now(ports).await.as_ref() == Some(&stamp)
        {
            *self.lock() = Some((stamp, answer.clone()));
        }
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(AnswerStamp, OrgsAnswer)>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the overview of an organization.
async fn summary(
    ports: &QueryPorts,
    name: StoredOrgName,
    kept: &KeptSummaries,
) -> Result<OrgSummary, QueryError> {
    match read_stored_org(ports, &name, &SummaryQuery { kept }).await {
        // One organization that is being computed must not hide the others.
        Err(QueryError::NotComputed(_)) => Ok(OrgSummary {
            org: name.display,
            repos: None,
            members: None,
            first_event: None,
            last_event: None,
        }),
        summary => summary,
    }
}

struct SummaryQuery<'a> {
    kept: &'a KeptSummaries,
}

impl OrgQuery for SummaryQuery<'_> {
    type Answer = OrgSummary;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<OrgSummary, QueryError> {
        let stamp = SummaryStamp::read(org).await?;
        if let Some(kept) = self.kept.find(&org.key, &stamp) {
            return Ok(OrgSummary { org: org.name.clone(), ..kept });
        }
        let days = org.read_all_days(&Subject::Org).await?;
        let credited = Credited::new(&days, |_| true, |_| true, |side| side == Side::People);
        let (first_event, last_event) = first_and_last_event(org, &days);
        let summary = OrgSummary {
            org: org.name.clone(),
            repos: Some(credited.repos.len() as u64),
            members: Some(credited.members.len() as u64),
            first_event,
            last_event,
        };
        self.kept.keep(&org.key, stamp, summary.clone());
        Ok(summary)
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
