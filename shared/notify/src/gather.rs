//! From rows of the audit log and conditions to what channels have to send.
//!
//! What keeps a row from being missed or reported twice:
//!
//! * The segments of a log are read from a position on, which is saved in the commit that adds to the channels.
//! * Rows that no segment has yet are read, too, so that nobody waits for the drain. A hash of each one's id is
//!   remembered until a segment before the position has the row and the store does not have it any more.
//!
//! What is remembered fits into a record:
//!
//! * At most [`MAX_WAITING`] rows are reported before a segment has them. Others are reported when one has them.
//! * A row of a segment is forgotten when it is not among the newest [`MAX_LISTED`] rows of the store. A drain deletes
//!   the rows of a segment before it writes the next one, so such a row cannot become one of the newest
//!   [`MAX_WAITING`] rows again, which are the only ones that are reported.
//! * No segment is read further while [`MAX_SEEN`] rows are remembered: the next call goes on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_access::{AuditLog, LogFilter};
use gam_model::notify::{DEFAULT_LATE_HOURS, DEFAULT_REPEAT_HOURS};
use gam_model::{AuditEntry, LogPosition};
use gam_store::{CommitOutcome, RecordCommit, RecordCommitId, commit_until_answered};
use sha2::{Digest as _, Sha256};

use crate::audit_rows::notification_of;
use crate::channel_state::ChannelState;
use crate::condition::{Condition, OrgFacts, follow, health_conditions};
use crate::digest::{DigestContent, DigestRequest};
use crate::error::{NotifyError, Result};
use crate::health::load_health;
use crate::history::SentMessage;
use crate::notification::Notification;
use crate::notifier::{Notifier, NotifyOrg};
use crate::schedule::{DigestPlan, due_days, last_slot};
use crate::state::{Loaded, LogCursor, NotifyState, load_channel, load_state, put_channel, put_state};

/// Number of rows that are read from segments at once.
const PAGE_ROWS: usize = 1_000;
/// Number of rows that are reported before a segment has them, and of the newest rows of the store that can be.
const MAX_WAITING: usize = 3_000;
/// Number of the newest rows of the store that are compared: beyond [`MAX_WAITING`], as many as a segment has.
const MAX_LISTED: usize = MAX_WAITING + 2_000;
/// Number of rows that a cursor remembers: 25 bytes each, in a record that has two cursors.
const MAX_SEEN: usize = 6_000;
/// How old a row can be that is found in the store when notifications begin.
const MAX_AGE_AT_START: TimeDelta = TimeDelta::hours(1);
/// How often a change is tried if others change the same records.
const MAX_CONFLICTS: u32 = 10;

/// What gathering did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GatherReport {
    /// Number of notifications that were found.
    pub(crate) notifications: usize,
    /// Whether the log has more rows now.
    pub(crate) has_more: bool,
}

/// The channels of a digest that is due, and what it says.
type DueDigest = (BTreeSet<String>, DigestContent);

/// Digests that were made, by name and the day after the last one.
type MadeDigests = HashMap<(String, NaiveDate), DigestContent>;

/// What a look at the digests found.
#[derive(Debug, Default)]
struct DigestLook {
    due: Vec<DueDigest>,
    /// Whether the numbers of one could not be read.
    has_failed: bool,
}

/// When the digests of each organization have to be looked at. Only this process knows it: another one looks for itself,
/// and the record says what was sent.
#[derive(Debug, Default)]
pub(crate) struct DigestPlans(Mutex<HashMap<String, DigestPlan>>);

impl DigestPlans {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, DigestPlan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, org: &NotifyOrg, now: DateTime<Utc>) -> bool {
        self.lock().get(&org.key).is_none_or(|plan| plan.is_due((&org.settings.digests, org.zone()), now))
    }

    fn record_look(&self, org: &NotifyOrg, has_failed: bool, now: DateTime<Utc>) {
        let mut plans = self.lock();
        let digests = (&org.settings.digests[..], org.zone());
        let plan = DigestPlan::after_look(plans.get(&org.key), digests, has_failed, now);
        plans.insert(org.key.clone(), plan);
    }
}

impl Notifier {
    /// Adds what happened since the last call to the channels of an organization. `facts` are `None` if they were not
    /// looked at: then conditions stay as they are.
    pub(crate) async fn gather(&self, org: &NotifyOrg, facts: Option<&OrgFacts>) -> Result<GatherReport> {
        // Kept if another process is faster: numbers are read once.
        let mut made = MadeDigests::new();
        for _ in 0..MAX_CONFLICTS {
            let now = self.ports.clock.now();
            let mut state = load_state(&*self.ports.records, &org.key, now).await?;
            let before = state.value.clone();
            let (mut found, has_more) = self.read_logs(org, &mut state.value, now).await?;
            if let Some(facts) = facts {
                found.extend(self.follow_facts(org, &mut state.value, facts, now).await?);
            }
            let look = match self.plans.is_due(org, now) {
                true => Some(self.due_digests(org, &mut state.value, &mut made, now).await),
                false => None,
            };
            let due = look.as_ref().map_or(&[][..], |look| &look.due);
            let is_unchanged = state.value == before && found.is_empty();
            if is_unchanged || self.commit_found(org, &state, (&found, due), now).await? {
                if let Some(look) = look {
                    self.plans.record_look(org, look.has_failed, now);
                }
                return Ok(GatherReport { notifications: found.len(), has_more });
            }
        }
        Err(NotifyError::Contended { org: org.key.clone() })
    }

    async fn read_logs(
        &self,
        org: &NotifyOrg,
        state: &mut NotifyState,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Notification>, bool)> {
        let Some(log) = &self.ports.log else { return Ok((Vec::new(), false)) };
        let (mut entries, mut has_more) = read_log(&**log, Some(&org.key), &mut state.org_log, now).await?;
        let (of_service, more) = read_log(&**log, None, &mut state.service_log, now).await?;
        entries.extend(of_service);
        has_more |= more;
        Ok((entries.iter().filter_map(|entry| notification_of(entry, &org.key)).collect(), has_more))
    }

    async fn follow_facts(
        &self,
        org: &NotifyOrg,
        state: &mut NotifyState,
        facts: &OrgFacts,
        now: DateTime<Utc>,
    ) -> Result<Vec<Notification>> {
        let settings = &org.settings;
        let mut conditions: Vec<Condition> =
            facts.conditions(&org.key, settings.late_hours.unwrap_or(DEFAULT_LATE_HOURS), now);
        let jobs = load_health(&*self.ports.records, &org.key, now).await?;
        conditions.extend(health_conditions(&org.key, &jobs, now));
        let repeat = TimeDelta::hours(i64::from(settings.repeat_hours.unwrap_or(DEFAULT_REPEAT_HOURS)));
        let mut found = follow(&mut state.conditions, &conditions, repeat, now);
        let today = org.zone().day(now);
        if let Some((number, hash)) = &facts.audit_head
            && state.head_day != Some(today)
        {
            state.head_day = Some(today);
            let kind = gam_model::NotificationKind::AuditHead;
            let head = Notification::new(
                format!("audit_head:{number}:{hash}"),
                kind,
                now,
                format!("segment {number}"),
            );
            found.push(head.with_detail(hash).with_link(format!("/orgs/{}/log", org.key)));
        }
        Ok(found)
    }

    /// Makes the digests that are due.
    async fn due_digests(
        &self,
        org: &NotifyOrg,
        state: &mut NotifyState,
        made: &mut MadeDigests,
        now: DateTime<Utc>,
    ) -> DigestLook {
        let mut look = DigestLook::default();
        let Some(source) = &self.ports.digests else { return look };
        for digest in &org.settings.digests {
            let sent_for = state.digests.get(&digest.name).copied();
            if sent_for.is_none()
                && let Some(slot) = last_slot(digest, org.zone(), now)
            {
                state.digests.insert(digest.name.clone(), slot);
            }
            let Some((since, until)) = due_days(digest, org.zone(), now, sent_for) else { continue };
            let request = DigestRequest {
                org: org.key.clone(),
                every: digest.every,
                since,
                until,
                repositories: digest.repositories.clone(),
                members: digest.members.clone(),
            };
            let content = match made.entry((digest.name.clone(), until)) {
                Entry::Occupied(made) => made.get().clone(),
                Entry::Vacant(free) => match source.numbers(&request).await {
                    Ok(numbers) => {
                        free.insert(DigestContent::new(&digest.name, &request, numbers, now)).clone()
                    }
                    Err(error) => {
                        tracing::warn!(org = org.key, digest = digest.name, %error, "cannot make a digest");
                        look.has_failed = true;
                        continue;
                    }
                },
            };
            state.digests.insert(digest.name.clone(), until);
            look.due.push((digest.channels.iter().cloned().collect(), content));
        }
        let configured: HashSet<&str> =
            org.settings.digests.iter().map(|digest| digest.name.as_str()).collect();
        state.digests.retain(|name, _| configured.contains(name.as_str()));
        look
    }

    /// Adds to the channels and saves the state, in one commit. Returns whether no other process was faster.
    async fn commit_found(
        &self,
        org: &NotifyOrg,
        state: &Loaded<NotifyState>,
        (found, digests): (&[Notification], &[DueDigest]),
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut channels: BTreeMap<&str, Loaded<ChannelState>> = BTreeMap::new();
        let routed = found.iter().flat_map(|notification| {
            let kind = notification.kind;
            let names = org.settings.channels_for(kind, kind.severity(), notification.repo.as_deref());
            let allowed =
                names.into_iter().filter(|name| notification.excluded_channel.as_deref() != Some(name));
            allowed.map(move |name| (name, notification))
        });
        for (name, notification) in routed {
            self.channel_of(&mut channels, org, name, now).await?.value.add(notification, now);
        }
        let mut dropped: BTreeMap<&str, Vec<DigestContent>> = BTreeMap::new();
        for (names, digest) in digests {
            for name in names {
                let channel = self.channel_of(&mut channels, org, name, now).await?;
                dropped.entry(name).or_default().extend(channel.value.add_digest(digest.clone()));
            }
        }
        let mut commit = put_state(RecordCommit::new(RecordCommitId::random()), &org.key, state)?;
        for (name, channel) in &channels {
            commit = put_channel(commit, (&org.key, name), channel)?;
        }
        for (name, dropped) in &dropped {
            let language =
                org.settings.channel(name).map_or(org.settings.language, |channel| org.language_of(channel));
            if let Some(message) = SentMessage::of_dropped((&org.key, name), dropped, language, now) {
                tracing::warn!(org = org.key, channel = name, title = message.title, "dropped digests");
                commit = message.add_to(commit, &org.key)?;
            }
        }
        let outcome = commit_until_answered(&*self.ports.records, &commit, now).await?;
        Ok(outcome == CommitOutcome::Committed)
    }

    async fn channel_of<'a, 'b>(
        &self,
        channels: &'b mut BTreeMap<&'a str, Loaded<ChannelState>>,
        org: &NotifyOrg,
        name: &'a str,
        now: DateTime<Utc>,
    ) -> Result<&'b mut Loaded<ChannelState>> {
        if !channels.contains_key(name) {
            let loaded = load_channel(&*self.ports.records, (&org.key, name), now).await?;
            channels.insert(name, loaded);
        }
        Ok(channels.get_mut(name).expect("it was added"))
    }
}

/// Reads the rows that a cursor has not read. Returns them and whether there are more now.
async fn read_log(
    log: &dyn AuditLog,
    org: Option<&str>,
    cursor: &mut LogCursor,
    now: DateTime<Utc>,
) -> Result<(Vec<AuditEntry>, bool)> {
    let all = LogFilter::default();
    let is_start = cursor.position.is_none();
    // Before the segments: a row is in the store until a segment has it, so none is missed between the two.
    let listed = log.undrained(org, MAX_LISTED, &all).await?;
    let present: HashSet<String> = listed.iter().filter(|row| is_of_interest(row)).map(hash).collect();
    cursor.seen.retain(|hash, is_passed| !*is_passed || present.contains(hash));
    let mut found = Vec::new();
    let mut has_more = false;
    match cursor.position {
        // History is not reported.
        None => {
            let last = log.latest(org, None, 1, &all).await?;
            cursor.position = Some(last.last().map_or(LogPosition::START, |last| last.position));
        }
        Some(position) => {
            let rows = PAGE_ROWS.min(MAX_SEEN.saturating_sub(cursor.seen.len()));
            if rows > 0 {
                let page = log.page(org, position, rows, &all).await?;
                for row in page.entries.into_iter().map(|logged| logged.entry).filter(is_of_interest) {
                    // A drain may have written the segment and not yet deleted the row, so it can come once more.
                    if cursor.seen.insert(hash(&row), true).is_none() {
                        found.push(row);
                    }
                }
                cursor.position = Some(page.next);
                has_more = page.has_more;
                // No segment after the position will have it.
                if listed.len() < MAX_LISTED && !has_more {
                    cursor.seen.retain(|hash, is_passed| *is_passed || present.contains(hash));
                }
            }
        }
    }
    let waiting = cursor.seen.values().filter(|is_passed| !**is_passed).count();
    let mut left = MAX_WAITING.saturating_sub(waiting);
    let older = listed.len().saturating_sub(MAX_WAITING);
    for row in listed.into_iter().skip(older).filter(is_of_interest) {
        let key = hash(&row);
        if left == 0 || cursor.seen.contains_key(&key) {
            continue;
        }
        left -= 1;
        cursor.seen.insert(key, false);
        if !(is_start && now - row.occurred_at > MAX_AGE_AT_START) {
            found.push(row);
        }
    }
    Ok((found, has_more))
}

/// Returns whether the row can become a notification, so that it has to be remembered.
fn is_of_interest(entry: &AuditEntry) -> bool {
    notification_of(entry, "").is_some()
}

/// Returns a short hash of the row's id.
fn hash(entry: &AuditEntry) -> String {
    hex::encode(&Sha256::digest(&entry.event_id)[..8])
}
