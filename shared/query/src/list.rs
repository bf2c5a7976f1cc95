//! Listings of members and repositories, sorted by a metric, page by page.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gam_model::metric::Metric;
use gam_model::{Range, Subject, SubjectKind};
use gam_rollup::Rollup;

use crate::MAX_LIMIT;
use crate::QueryPorts;
use crate::answer::{BotFilter, ListAnswer, ListEntry, ListKind, Order, QueryError, Value};
use crate::read::{Org, value, values};

/// What a listing is asked for.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// What is listed.
    pub kind: ListKind,
    /// Over which days.
    pub range: Range,
    /// Which members' work counts.
    pub bots: BotFilter,
    /// By which metric; a distribution sorts by its median.
    pub sort: &'static Metric,
    /// In which direction; equals are ordered by name.
    pub order: Order,
    /// How many entries a page has, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Where the page starts: the `next` of the page before.
    pub cursor: Option<String>,
}

/// Where an entry stands: by value, then by name. Entries without a value come last either way.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    value: Option<f64>,
    name: String,
}

impl Place {
    fn cmp(&self, other: &Place, order: Order) -> Ordering {
        let by_value = match (self.value, other.value) {
            (Some(a), Some(b)) if order == Order::Desc => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let folded = |name: &str| name.to_lowercase();
        by_value
            .then_with(|| folded(&self.name).cmp(&folded(&other.name)))
            .then_with(|| self.name.cmp(&other.name))
    }

    /// The value goes by its bits, because a number read back from its decimals may be another one.
    fn cursor(&self) -> String {
        let place = (self.value.map(f64::to_bits), &self.name);
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).expect("a number and a text"))
    }

    fn parse(cursor: &str) -> Result<Self, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice::<(Option<u64>, String)>(&bytes).ok());
        place.map(|(bits, name)| Place { value: bits.map(f64::from_bits), name }).ok_or_else(|| {
            QueryError::Invalid(format!(
                "cursor {cursor:?} is none that a listing gave: take it from `next`, or leave it out"
            ))
        })
    }
}

/// The members or repositories credited with something in the range.
///
/// # Errors
/// Where the organization was never seen, the cursor is none of ours, or the store fails.
pub async fn list(ports: &QueryPorts, org: &str, request: &ListRequest) -> Result<ListAnswer, QueryError> {
    let after = request.cursor.as_deref().map(Place::parse).transpose()?;
    let org = Org::open(ports, org).await?;
    let kind = match request.kind {
        ListKind::Members => SubjectKind::Member,
        ListKind::Repos => SubjectKind::Repo,
    };
    let mut subjects: BTreeMap<Subject, Rollup> = BTreeMap::new();
    for (key, rollup) in org.cover_all(kind, request.range).await? {
        subjects.entry(key.subject).or_default().merge(&rollup);
    }
    let names = org.repo_names().await?;
    let mut found: Vec<(Place, Subject, Rollup)> = subjects
        .into_iter()
        .filter(|(_, rollup)| request.bots.of(rollup).has_credited_events())
        .map(|(subject, rollup)| {
            // Filtered by `bots` already, a member answers everything it is credited with.
            let place = Place {
                value: sort_value(request, &subject, &rollup),
                name: name(&subject, &rollup, &names),
            };
            (place, subject, rollup)
        })
        .filter(|(place, ..)| after.as_ref().is_none_or(|after| place.cmp(after, request.order).is_gt()))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0, request.order));
    let limit = request.limit.clamp(1, MAX_LIMIT);
    let next = (found.len() > limit).then(|| found[limit - 1].0.cursor());
    found.truncate(limit);
    let entries =
        found.into_iter().map(|(place, subject, rollup)| entry(request, place.name, &subject, &rollup));
    Ok(ListAnswer { kind: request.kind, entries: entries.collect(), next })
}

fn sort_value(request: &ListRequest, subject: &Subject, rollup: &Rollup) -> Option<f64> {
    match value(request.sort, subject, rollup, request.bots) {
        Value::Count(count) => Some(count as f64),
        Value::Distribution { p50, .. } => p50,
    }
}

fn name(subject: &Subject, rollup: &Rollup, repos: &std::collections::HashMap<i64, String>) -> String {
    match (subject, &rollup.member) {
        (Subject::Repo(id), _) => repos.get(id).cloned().unwrap_or_else(|| id.to_string()),
        (_, Some((name, _))) => name.clone(),
        (subject, None) => subject.name(),
    }
}

fn entry(request: &ListRequest, name: String, subject: &Subject, rollup: &Rollup) -> ListEntry {
    let metrics = values(subject, rollup, request.bots);
    match request.kind {
        ListKind::Repos => ListEntry { repo: Some(name), member: None, kind: None, metrics },
        ListKind::Members => {
            let kind = rollup.member.as_ref().map(|(_, kind)| *kind);
            ListEntry { repo: None, member: Some(name), kind, metrics }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_the_place_it_was() {
        let thirds = (1..2_000).map(|seconds| Some(f64::from(seconds) / 3600.0));
        for value in thirds.chain([None, Some(0.0)]) {
            let place = Place { value, name: "Ann[bot]".to_owned() };
            assert_eq!(Place::parse(&place.cursor()).unwrap(), place);
        }
        for bad in ["", "nonsense", "e30", "WzEsMl0"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }
}
