//! From rows of the audit log and conditions to what channels have to send.
//!
//! What keeps a row from being missed or reported twice:
//!
//! * The segments of a log are read from a position on, which is saved in the commit that adds to the channels.
//! * Rows that no segment has yet are read, too, so that nobody waits for the drain. A hash of each one's id is
//!   remembered until a segment before the position has the row and the store does not have it any more.
//! * If more rows wait for the drain than can be remembered, the others are reported when a segment has them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
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
use crate::notification::Notification;
use crate::notifier::{Notifier, NotifyOrg};
use crate::schedule::{due_days, last_slot};
use crate::state::{Loaded, LogCursor, NotifyState, load_channel, load_state, put_channel, put_state};

/// Number of rows that are read from segments at once.
const PAGE_ROWS: usize = 1_000;
/// Number of rows that are read before a segment has them.
const MAX_UNDRAINED: usize = 5_000;
/// Number of hashes that a cursor remembers.
const MAX_SEEN: usize = 8_000;
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

impl Notifier {
    /// Adds what happened since the last call to the channels of an organization. `facts` are `None` if they were not
    /// looked at: then conditions stay as they are.
    pub(crate) async fn gather(&self, org: &NotifyOrg, facts: Option<&OrgFacts>) -> Result<GatherReport> {
        for _ in 0..MAX_CONFLICTS {
            let now = self.ports.clock.now();
            let mut state = load_state(&*self.ports.records, &org.key, now).await?;
            let before = state.value.clone();
            let (mut found, has_more) = self.read_logs(org, &mut state.value, now).await?;
            if let Some(facts) = facts {
                found.extend(self.follow_facts(org, &mut state.value, facts, now).await?);
            }
            let digests = self.due_digests(org, &mut state.value, now).await?;
            if state.value == before && found.is_empty() {
                return Ok(GatherReport { notifications: 0, has_more });
            }
            if self.commit_found(org, &state, (&found, digests), now).await? {
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

    /// Makes the digests that are due, by the names of their channels.
    async fn due_digests(
        &self,
        org: &NotifyOrg,
        state: &mut NotifyState,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Vec<String>, DigestContent)>> {
        let Some(source) = &self.ports.digests else { return Ok(Vec::new()) };
        let mut made = Vec::new();
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
            // A digest that cannot be made now is due again with the next call.
            match source.numbers(&request).await {
                Ok((numbers, notes)) => {
                    state.digests.insert(digest.name.clone(), until);
                    let name = digest.name.clone();
                    let content = DigestContent { name, made_at: now, since, until, numbers, notes };
                    made.push((digest.channels.clone(), content));
                }
                Err(error) => {
                    tracing::warn!(org = org.key, digest = digest.name, %error, "cannot make a digest");
                }
            }
        }
        let configured: HashSet<&str> =
            org.settings.digests.iter().map(|digest| digest.name.as_str()).collect();
        state.digests.retain(|name, _| configured.contains(name.as_str()));
        Ok(made)
    }

    /// Adds to the channels and saves the state, in one commit. Returns whether no other process was faster.
    async fn commit_found(
        &self,
        org: &NotifyOrg,
        state: &Loaded<NotifyState>,
        (found, digests): (&[Notification], Vec<(Vec<String>, DigestContent)>),
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
        for (names, digest) in &digests {
            for name in names {
                let channel = self.channel_of(&mut channels, org, name, now).await?;
                channel.value.add_digest(digest.clone());
            }
        }
        let mut commit = put_state(RecordCommit::new(RecordCommitId::random()), &org.key, state)?;
        for (name, channel) in &channels {
            commit = put_channel(commit, (&org.key, name), channel)?;
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
    let undrained = log.undrained(org, MAX_UNDRAINED, &all).await?;
    let mut found = Vec::new();
    let mut has_more = false;
    match cursor.position {
        // History is not reported.
        None => {
            let last = log.latest(org, None, 1, &all).await?;
            cursor.position = Some(last.last().map_or(LogPosition::START, |last| last.position));
        }
        Some(position) => {
            let page = log.page(org, position, PAGE_ROWS, &all).await?;
            for logged in page.entries {
                match cursor.seen.get_mut(&hash(&logged.entry)) {
                    Some(is_passed) => *is_passed = true,
                    None => found.push(logged.entry),
                }
            }
            cursor.position = Some(page.next);
            has_more = page.has_more;
        }
    }
    let present: HashSet<String> = undrained.iter().filter(|row| is_of_interest(row)).map(hash).collect();
    if undrained.len() < MAX_UNDRAINED {
        cursor.seen.retain(|hash, is_passed| !*is_passed || present.contains(hash));
    }
    // A drain may have written the segment and not yet deleted the rows, so they can come once more.
    let passed = found.iter().filter(|row| is_of_interest(row)).map(|row| (hash(row), true));
    cursor.seen.extend(passed);
    for row in undrained.into_iter().filter(is_of_interest) {
        let key = hash(&row);
        if cursor.seen.contains_key(&key) || cursor.seen.len() >= MAX_SEEN {
            continue;
        }
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
