//! Events of January 2025, and their fold.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use gam_fold::fold;
use gam_lake::snapshot;
use gam_model::metric::Counter;
use gam_model::period::midnight;
use gam_model::{
    Event, EventId, EventKind, Facts, FirstReview, Identity, ItemClass, ItemKey, Member, MemberKind, Month,
    Subject, SubjectKind, WeekOfMonth,
};
use gam_rollup::{BreakdownItem, DaysItem, ListItem, Rollup, StoredForm};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn january() -> Month {
    Month::parse("2025-01").unwrap()
}

pub(crate) fn member(name: &str) -> Member {
    match name.strip_prefix('~') {
        Some(_) => Member { name: name.to_owned(), id: None, kind: MemberKind::Unlinked },
        None => Member::account(name, None, false),
    }
}

/// Returns the time a number of hours after the start of January.
pub(crate) fn hour(hours: i64) -> DateTime<Utc> {
    midnight(january().first_day()) + TimeDelta::hours(hours)
}

/// Returns an event without an id.
pub(crate) fn event(kind: EventKind, repo_id: i64, name: &str, at: DateTime<Utc>) -> Event {
    Event {
        id: EventId::from_stored("set by with_ids"),
        version: 1,
        kind,
        org: "acme".into(),
        repo: format!("repo-{repo_id}"),
        repo_id,
        member: member(name),
        occurred_at: at,
        collected_at: at,
        retracted: false,
        reading: 0,
        facts: Facts { created_at: Some(at - TimeDelta::hours(5)), ..Facts::default() },
    }
}

/// Returns a commit of 10 added lines.
pub(crate) fn commit(repo_id: i64, sha: &str, name: &str, at: DateTime<Utc>) -> Event {
    let mut event = event(EventKind::Commit, repo_id, name, at);
    event.id = EventId::commit(repo_id, sha);
    event.facts.sha = Some(sha.to_owned());
    event.facts.parents = Some(1);
    event.facts.additions = Some(10);
    event
}

/// Gives each event an id of its own.
pub(crate) fn with_ids(mut events: Vec<Event>) -> Vec<Event> {
    for (n, event) in events.iter_mut().enumerate() {
        event.id = EventId::from_stored(format!("fact:{n}"));
    }
    events
}

pub(crate) fn rows(events: &[Event]) -> Vec<RecordBatch> {
    snapshot::sort_rows::<gam_lake::Events>(events.to_vec()).unwrap()
}

/// An item, decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MonthItem {
    Days(DaysItem),
    List(ListItem),
    Breakdown(BreakdownItem),
}

impl MonthItem {
    fn decode(key: &ItemKey, body: &[u8]) -> Self {
        match key.class {
            ItemClass::Days(_) => MonthItem::Days(DaysItem::decode(body).unwrap()),
            ItemClass::List(_) => MonthItem::List(ListItem::decode(body).unwrap()),
            ItemClass::Breakdown(_) => MonthItem::Breakdown(BreakdownItem::decode(body).unwrap()),
        }
    }
}

/// The items of January, decoded.
#[derive(Debug, PartialEq)]
pub(crate) struct Items(pub(crate) BTreeMap<ItemKey, MonthItem>);

impl Items {
    pub(crate) fn days(&self, subject: Subject) -> DaysItem {
        match self.0.get(&ItemKey::new(ItemClass::Days(subject), january())) {
            Some(MonthItem::Days(item)) => item.clone(),
            Some(other) => panic!("not days: {other:?}"),
            None => DaysItem::default(),
        }
    }

    pub(crate) fn list(&self, kind: SubjectKind) -> ListItem {
        match self.0.get(&ItemKey::new(ItemClass::List(kind), january())) {
            Some(MonthItem::List(item)) => item.clone(),
            Some(other) => panic!("no list: {other:?}"),
            None => ListItem::default(),
        }
    }

    pub(crate) fn breakdown(&self, subject: Subject, week: WeekOfMonth) -> BreakdownItem {
        match self.0.get(&ItemKey::breakdown(subject, january(), week)) {
            Some(MonthItem::Breakdown(item)) => item.clone(),
            Some(other) => panic!("no breakdown: {other:?}"),
            None => BreakdownItem::default(),
        }
    }
}

pub(crate) fn fold_items(rows: &[RecordBatch], identity: &Identity) -> Items {
    let fold = fold(january(), rows, identity).unwrap();
    let decoded = |(key, body): (ItemKey, Vec<u8>)| {
        let item = MonthItem::decode(&key, &body);
        (key, item)
    };
    Items(fold.items().into_iter().map(decoded).collect())
}

/// Returns the sum of the subject's days of January.
pub(crate) fn month_rollup(events: &[Event], subject: Subject) -> Rollup {
    fold_items(&rows(events), &Identity::default()).days(subject).sum_all(january())
}

/// Returns how often people count in the subject's rollup of January.
pub(crate) fn count(events: &[Event], subject: Subject, counter: Counter) -> u64 {
    month_rollup(events, subject).people.counts[counter as usize]
}

/// The first three names belong to one person, because `configured` has an alias. It also makes `ben` a bot.
const NAMES: &[&str] = &["Ann", "ANN", "~0123456789ab", "ben", "renovate[bot]", "ghost"];

pub(crate) fn configured() -> Identity {
    Identity::new(["Ben".to_owned()], [("~0123456789ab".to_owned(), "ann".to_owned())]).unwrap()
}

fn any_event() -> impl Strategy<Value = Event> {
    let co_authors = prop::collection::vec(select(NAMES), 0..3);
    let members = (select(NAMES), select(NAMES), co_authors);
    // Few distinct times make ties likely.
    (select(EventKind::ALL.to_vec()), 1i64..4, 0i64..62, 0i32..3, members).prop_map(
        |(kind, repo_id, half_days, parents, (name, author, co_authors))| {
            let mut event = event(kind, repo_id, name, hour(12 * half_days));
            event.facts.parents = Some(parents);
            event.facts.additions = (parents > 0).then_some(half_days);
            if kind.is_delivery() && half_days % 3 == 0 {
                event.member = Member::unknown();
            }
            event.facts.pr_member = Some(author.to_owned());
            event.facts.co_authors = Some(co_authors.into_iter().map(str::to_owned).collect());
            let at = event.occurred_at - TimeDelta::hours(i64::from(parents));
            let review = FirstReview { member: author.to_owned(), member_kind: MemberKind::User, at };
            event.facts.first_reviews = Some(vec![review]);
            event
        },
    )
}

/// Returns up to `max_count` events, of which each three are the same commit in three repositories, as far as
/// they are commits. Most of them are.
pub(crate) fn any_events(max_count: usize) -> impl Strategy<Value = Vec<Event>> {
    let events = prop::collection::vec((any_event(), 0u8..4), 1..=max_count);
    events.prop_map(|events| {
        let with_sha = |(n, (mut event, kind)): (usize, (Event, u8))| {
            event.facts.sha = Some(format!("{:040x}", n / 3));
            if kind > 0 || event.kind == EventKind::Commit {
                event.repo_id = 1 + n as i64 % 3;
                event.repo = format!("repo-{}", event.repo_id);
                event.kind = EventKind::Commit;
            }
            event
        };
        with_ids(events.into_iter().enumerate().map(with_sha).collect())
    })
}

pub(crate) fn any_identity() -> impl Strategy<Value = Identity> {
    any::<bool>().prop_map(|is_configured| if is_configured { configured() } else { Identity::default() })
}
