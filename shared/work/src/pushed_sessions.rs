//! Session events that other machines push.
//!
//! Each event belongs to the member who pushed it first. So nobody can change the rows of somebody else, although the id
//! of a response can be learnt from a shared log. An owner is a record of the store, which is written before the event
//! goes to the lake. After a crash in between there is an owner but no event. The owner pushes the event again.
//!
//! Owners expire, because the store would grow without end. An event that may have had an owner whose record expired is
//! compared with the rows of the lake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use gam_model::session_event::{combine_by_id, months_of_copies};
use gam_model::{Clock, FieldText, Month, SessionEvent};
use gam_store::{
    CommitOutcome, Error as StoreError, Expectation, KeyPart, MAX_COMMIT_WRITES, Record, RecordCommit,
    RecordCommitId, RecordKey, RecordKind, RecordStore, commit_until_answered,
};
use sha2::{Digest, Sha256};

/// How long an owner is remembered. It is longer than `COMPARED_AFTER` and a month: the sender chooses the time of an
/// event, and a merge looks for its row in the month of that time.
pub const OWNER_LIFETIME: TimeDelta = TimeDelta::days(130);
/// An event that is older than this is compared with the lake: the record of its owner may have expired.
const COMPARED_AFTER: TimeDelta = TimeDelta::days(90);
/// How many owners are read at the same time.
const CONCURRENT_READS: usize = 16;
/// How often owners are written again after others wrote some of them at the same time.
const MAX_CONFLICTS: usize = 5;
/// Digits of the hash of an id in its key.
const KEY_DIGITS: usize = 40;

/// The sessions of the lake.
#[async_trait]
pub trait SessionInbox: Send + Sync {
    /// Stores events of an organization durably. To store them again changes nothing.
    ///
    /// # Errors
    /// If the lake fails.
    async fn put(&self, org: &str, events: Vec<SessionEvent>) -> Result<(), InboxError>;

    /// Returns the members of those rows of a month that have one of these ids, also of retracted rows.
    ///
    /// # Errors
    /// If the lake fails.
    async fn members(
        &self,
        org: &str,
        month: Month,
        ids: BTreeSet<String>,
    ) -> Result<HashMap<String, String>, InboxError>;
}

/// Why the lake failed.
pub type InboxError = Box<dyn Error + Send + Sync>;

/// Why events were not stored. All of them can be pushed again.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The store failed.
    #[error("cannot read or write the owners of session events in the store")]
    Store(#[from] StoreError),
    /// The lake failed.
    #[error("cannot write session events to the lake")]
    Lake(#[source] InboxError),
    /// Others push the same events at the same time.
    #[error("others push the same session events at the same time: retry in a second")]
    Busy,
}

/// Takes session events of other machines.
#[derive(Clone)]
pub struct PushedSessions {
    records: Arc<dyn RecordStore>,
    inbox: Arc<dyn SessionInbox>,
    clock: Arc<dyn Clock>,
}

impl PushedSessions {
    /// Connects to the records of a store and to a lake.
    pub fn new(records: Arc<dyn RecordStore>, inbox: Arc<dyn SessionInbox>, clock: Arc<dyn Clock>) -> Self {
        PushedSessions { records, inbox, clock }
    }

    /// Stores the events of one member of an organization. Returns the ids of those that belong to somebody else, which
    /// are not stored.
    ///
    /// # Errors
    /// If the store or the lake fails, or others push the same events at the same time.
    pub async fn push(
        &self,
        org: &str,
        member: &str,
        events: Vec<SessionEvent>,
    ) -> Result<BTreeSet<FieldText>, PushError> {
        let mut events = combine_by_id(events);
        let keyed = events.iter().map(|event| Ok((key(org, &event.id)?, event)));
        let keyed = keyed.collect::<Result<Vec<_>, StoreError>>()?;
        let mut refused = BTreeSet::new();
        let mut without_owner = self.without_owner(member, keyed, &mut refused).await?;
        refused.extend(self.owned_in_lake(org, member, &without_owner).await?);
        without_owner.retain(|(_, event)| !refused.contains(&event.id));
        for chunk in without_owner.chunks(MAX_COMMIT_WRITES) {
            self.claim(member, chunk.to_vec(), &mut refused).await?;
        }
        events.retain(|event| !refused.contains(&event.id));
        if !events.is_empty() {
            self.inbox.put(org, events).await.map_err(PushError::Lake)?;
        }
        Ok(refused)
    }

    /// Returns the events without an owner. Adds those of others to `refused`.
    async fn without_owner<'a>(
        &self,
        member: &str,
        events: Vec<KeyedEvent<'a>>,
        refused: &mut BTreeSet<FieldText>,
    ) -> Result<Vec<KeyedEvent<'a>>, StoreError> {
        let now = self.clock.now();
        let keys: Vec<RecordKey> = events.iter().map(|(key, _)| key.clone()).collect();
        let reads = keys.into_iter().map(|key| {
            let records = self.records.clone();
            async move { records.get(&key, now).await }
        });
        let owners: Vec<Option<Record>> =
            stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        let mut without_owner = Vec::new();
        for (entry, owner) in events.into_iter().zip(owners) {
            match owner {
                None => without_owner.push(entry),
                Some(owner) if owner.body.eq_ignore_ascii_case(member) => {}
                Some(_) => {
                    refused.insert(entry.1.id.clone());
                }
            }
        }
        Ok(without_owner)
    }

    /// Returns the ids of the old events of which the lake has a row of somebody else. The sender chooses the time of an
    /// event, and a merge looks for a copy in the neighbouring month, too.
    async fn owned_in_lake(
        &self,
        org: &str,
        member: &str,
        events: &[KeyedEvent<'_>],
    ) -> Result<BTreeSet<FieldText>, PushError> {
        let before = self.clock.now() - COMPARED_AFTER;
        let mut ids_by_month: BTreeMap<Month, BTreeSet<String>> = BTreeMap::new();
        for (_, event) in events.iter().filter(|(_, event)| event.occurred_at < before) {
            for month in months_of_copies(event.occurred_at) {
                ids_by_month.entry(month).or_default().insert(event.id.to_string());
            }
        }
        let mut foreign = BTreeSet::new();
        for (month, ids) in ids_by_month {
            let members = self.inbox.members(org, month, ids).await.map_err(PushError::Lake)?;
            let others = members.into_iter().filter(|(_, owner)| !owner.eq_ignore_ascii_case(member));
            foreign.extend(others.map(|(id, _)| FieldText::new(&id)));
        }
        Ok(foreign)
    }

    /// Makes the member the owner of events without one, at most [`MAX_COMMIT_WRITES`]. Adds those that somebody else owns
    /// meanwhile to `refused`.
    async fn claim(
        &self,
        member: &str,
        mut open: Vec<KeyedEvent<'_>>,
        refused: &mut BTreeSet<FieldText>,
    ) -> Result<(), PushError> {
        let now = self.clock.now();
        for _ in 0..MAX_CONFLICTS {
            if open.is_empty() {
                return Ok(());
            }
            let commit = open.iter().fold(RecordCommit::new(RecordCommitId::random()), |commit, (key, _)| {
                commit.put_until(key.clone(), member, now + OWNER_LIFETIME, Expectation::Absent)
            });
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                return Ok(());
            }
            // Another request has made somebody the owner meanwhile.
            open = self.without_owner(member, open, refused).await?;
        }
        if open.is_empty() { Ok(()) } else { Err(PushError::Busy) }
    }
}

/// An event, with the key of its owner.
type KeyedEvent<'a> = (RecordKey, &'a SessionEvent);

fn key(org: &str, id: &FieldText) -> Result<RecordKey, StoreError> {
    let hash = hex::encode(Sha256::digest(id.as_str().as_bytes()));
    RecordKey::new(Some(org), RecordKind::SessionOwner, &[KeyPart::Text(&hash[..KEY_DIGITS])])
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chrono::{DateTime, Utc};
    use gam_model::{CodingAgent, Member, SessionEventKind, SessionFacts};
    use gam_store::MemoryStore;

    use super::*;
    use crate::conformance::TestClock;

    /// Keeps events, or fails.
    #[derive(Default)]
    struct TestInbox {
        fails: Mutex<bool>,
        events: Mutex<Vec<SessionEvent>>,
    }

    #[async_trait]
    impl SessionInbox for TestInbox {
        async fn put(&self, _: &str, events: Vec<SessionEvent>) -> Result<(), InboxError> {
            if *self.fails.lock().unwrap() {
                return Err("the lake is away".into());
            }
            self.events.lock().unwrap().extend(events);
            Ok(())
        }

        async fn members(
            &self,
            _: &str,
            month: Month,
            ids: BTreeSet<String>,
        ) -> Result<HashMap<String, String>, InboxError> {
            let events = self.events.lock().unwrap();
            let found = events.iter().filter(|it| it.month() == month && ids.contains(it.id.as_str()));
            Ok(found.map(|event| (event.id.to_string(), event.member.name.clone())).collect())
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    fn event(id: &str, member: &str) -> SessionEvent {
        SessionEvent {
            id: FieldText::new(id),
            version: 1,
            kind: SessionEventKind::AgentResponse,
            org: "acme".to_owned(),
            repo: "site".to_owned(),
            repo_id: 7,
            member: Member::account(member, None, false),
            occurred_at: now(),
            collected_at: now(),
            retracted: false,
            reading: 1,
            agent: CodingAgent::Claude,
            session: FieldText::new("s1"),
            facts: SessionFacts::default(),
        }
    }

    fn events(ids: std::ops::Range<usize>, member: &str) -> Vec<SessionEvent> {
        ids.map(|id| event(&format!("agent:claude:response:{id}"), member)).collect()
    }

    struct World {
        inbox: Arc<TestInbox>,
        clock: TestClock,
        pushed: PushedSessions,
    }

    impl World {
        fn new() -> Self {
            let (inbox, clock) = (Arc::new(TestInbox::default()), TestClock::new(now()));
            let records = Arc::new(MemoryStore::default());
            let pushed = PushedSessions::new(records, inbox.clone(), Arc::new(clock.clone()));
            World { inbox, clock, pushed }
        }

        async fn push(&self, member: &str, events: Vec<SessionEvent>) -> usize {
            self.pushed.push("acme", member, events).await.unwrap().len()
        }

        fn stored(&self) -> usize {
            self.inbox.events.lock().unwrap().len()
        }
    }

    #[tokio::test]
    async fn an_event_belongs_to_the_member_who_pushed_it_first() {
        let world = World::new();
        assert_eq!(world.push("ann", events(0..250, "ann")).await, 0);
        assert_eq!(world.stored(), 250);
        assert_eq!(world.push("bob", events(240..260, "bob")).await, 10, "ann's are refused");
        assert_eq!(world.stored(), 260);
        assert_eq!(world.push("ANN", events(0..240, "ann")).await, 0, "another token of the same person");
        let twice = [events(300..301, "ann"), events(300..301, "ann")].concat();
        assert_eq!(world.push("ann", twice).await, 0);
        assert_eq!(world.stored(), 260 + 240 + 1);
    }

    #[tokio::test]
    async fn what_the_lake_refused_can_be_pushed_again_by_its_owner() {
        let world = World::new();
        *world.inbox.fails.lock().unwrap() = true;
        let failed = world.pushed.push("acme", "ann", events(0..2, "ann")).await;
        assert!(matches!(failed, Err(PushError::Lake(_))), "{failed:?}");
        *world.inbox.fails.lock().unwrap() = false;
        assert_eq!(world.push("bob", events(0..2, "bob")).await, 2);
        assert_eq!(world.push("ann", events(0..2, "ann")).await, 0);
        assert_eq!(world.stored(), 2);
    }

    #[tokio::test]
    async fn rows_of_the_lake_keep_their_members_after_owners_expired() {
        let world = World::new();
        world.push("ann", events(0..2, "ann")).await;
        world.clock.advance(OWNER_LIFETIME + TimeDelta::days(1));
        assert_eq!(world.push("bob", events(0..3, "bob")).await, 2);
        assert_eq!(world.push("ann", events(0..2, "ann")).await, 0);
    }
    #[tokio::test]
    async fn rows_in_the_neighbouring_month_keep_their_members() {
        let world = World::new();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let event_at = |member: &str, time: &str| {
            vec![SessionEvent { occurred_at: at(time), ..event("agent:claude:response:1", member) }]
        };
        world.push("ann", event_at("ann", "2026-02-28T23:50:00Z")).await;
        world.clock.advance(OWNER_LIFETIME + TimeDelta::days(1));
        assert_eq!(
            world.push("bob", event_at("bob", "2026-03-01T00:10:00Z")).await,
            1,
            "ann's row lies before"
        );
        assert_eq!(world.push("ann", event_at("ann", "2026-03-01T00:10:00Z")).await, 0);
    }

    #[test]
    fn an_owner_is_remembered_until_every_event_of_its_month_is_compared() {
        assert!(
            OWNER_LIFETIME > COMPARED_AFTER + TimeDelta::days(31) + gam_model::session_event::MONTH_EDGE * 2
        );
    }
}
