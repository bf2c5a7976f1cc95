//! What a channel has to send, and when. Nothing here does I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::notify::{DEFAULT_INTERVAL_MINUTES, DEFAULT_WAIT_SECONDS, MAX_DIGESTS};
use gam_model::{BreakerChange, ChannelSettings, NotificationKind, Severity, TimeZone};
use serde::{Deserialize, Serialize};

use crate::breaker::ChannelBreaker;
use crate::channels::SendOutcome;
use crate::digest::{DigestContent, MAX_DIGEST_BYTES};
use crate::notification::Notification;
use crate::plain_text::cut;
use crate::schedule::{end_of_quiet, is_quiet};

/// How many notifications of a group are shown one by one. The others are counted.
pub(crate) const MAX_SHOWN: usize = 10;
/// How many digests wait for a channel. An organization can have so many, all due at the same time.
const MAX_WAITING_DIGESTS: usize = MAX_DIGESTS;
/// The greatest length of all digests that wait for a channel, as JSON, in bytes. Together with a message that is being
/// sent and the groups they fit into a record.
const MAX_WAITING_BYTES: usize = 3 * MAX_DIGEST_BYTES;
/// The longest text of a notification in a record, in characters.
const MAX_TEXT_CHARS: usize = 500;
/// How long a process has to send a message before another one sends it.
const LEASE: TimeDelta = TimeDelta::seconds(90);
/// The pause after a failure that says nothing about when to try again.
const RETRY_PAUSE: TimeDelta = TimeDelta::seconds(10);
/// The longest pause that a channel can ask for.
const MAX_RETRY_AFTER: TimeDelta = TimeDelta::hours(24);

/// After how many attempts a channel that is always busy counts as failing.
const MAX_BUSY_ATTEMPTS: u32 = 5;

/// Notifications that are sent as one message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PendingGroup {
    /// When the first one was added, UTC.
    pub since: DateTime<Utc>,
    /// The number of notifications of each kind.
    pub counts: BTreeMap<NotificationKind, u64>,
    /// The most urgent ones, and of equal ones the first, at most 10.
    pub shown: Vec<Notification>,
    /// Why they were not sent at once: the channel failed. `None` if they only waited for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

impl PendingGroup {
    fn new(since: DateTime<Utc>) -> Self {
        PendingGroup { since, ..PendingGroup::default() }
    }

    /// Returns the number of notifications.
    pub fn len(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns the greatest severity.
    pub fn severity(&self) -> Severity {
        self.shown.iter().map(|shown| shown.severity).max().unwrap_or(Severity::Info)
    }

    fn add(&mut self, notification: &Notification) {
        *self.counts.entry(notification.kind).or_default() += 1;
        self.show(notification.clone());
    }

    fn show(&mut self, mut notification: Notification) {
        notification.subject = cut(&notification.subject, MAX_TEXT_CHARS);
        notification.detail = notification.detail.map(|detail| cut(&detail, MAX_TEXT_CHARS));
        self.shown.push(notification);
        // Stable: of equally urgent ones the first stay.
        self.shown.sort_by_key(|shown| std::cmp::Reverse(shown.severity));
        self.shown.truncate(MAX_SHOWN);
    }

    /// Adds all notifications of another group.
    fn merge(&mut self, other: PendingGroup) {
        self.since = self.since.min(other.since);
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let later = std::mem::replace(&mut self.shown, other.shown);
        later.into_iter().for_each(|shown| self.show(shown));
        self.held = other.held.or(self.held.take());
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageContent {
    /// Notifications.
    Group(PendingGroup),
    /// The numbers of a period.
    Digest(Box<DigestContent>),
}

impl MessageContent {
    fn is_urgent(&self) -> bool {
        matches!(self, MessageContent::Group(group) if group.severity() == Severity::Urgent)
    }
}

/// A digest that waits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct WaitingDigest {
    /// The id of the message that said it in attempts that failed. It keeps the id, so that its receiver sees one message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// What it says.
    #[serde(flatten)]
    content: DigestContent,
}

/// A message that is being sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutgoingMessage {
    /// 32 hexadecimal digits. The same for each attempt.
    pub(crate) id: String,
    /// What it says.
    pub(crate) content: MessageContent,
    /// When it was made, UTC.
    pub(crate) made_at: DateTime<Utc>,
    /// Number of attempts that began.
    pub(crate) attempts: u32,
    /// Until when the process that sends it has time, UTC.
    pub(crate) lease_until: DateTime<Utc>,
}

/// What a channel has to send, and whether it works.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelState {
    /// Notifications that wait, unless they are urgent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingGroup>,
    /// Urgent notifications that wait. They are sent in quiet hours, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgent: Option<PendingGroup>,
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) digests: VecDeque<WaitingDigest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sending: Option<OutgoingMessage>,
    /// When the last message was sent, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<DateTime<Utc>>,
    /// Before when nothing is sent, because the channel asked for a pause, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// Whether the channel works.
    pub breaker: ChannelBreaker,
}

/// What to do with a channel now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ChannelStep {
    /// Nothing waits.
    Idle,
    /// Something waits until then.
    Wait(DateTime<Utc>),
    /// Send this, after the state was saved.
    Send(Box<OutgoingMessage>),
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttemptResult {
    /// The message, if it is done with: sent, or dropped.
    pub(crate) ended: Option<OutgoingMessage>,
    /// Digests that were dropped because newer ones wait.
    pub(crate) dropped: Vec<DigestContent>,
    /// How the breaker changed.
    pub(crate) breaker: BreakerChange,
}

impl ChannelState {
    /// Adds a notification.
    pub(crate) fn add(&mut self, notification: &Notification, now: DateTime<Utc>) {
        let is_urgent = notification.severity == Severity::Urgent;
        let group = if is_urgent { &mut self.urgent } else { &mut self.pending };
        group.get_or_insert_with(|| PendingGroup::new(now)).add(notification);
    }

    /// Adds a digest. Returns those that are dropped: the oldest ones, if too many wait.
    #[must_use]
    pub(crate) fn add_digest(&mut self, content: DigestContent) -> Vec<DigestContent> {
        self.digests.push_back(WaitingDigest { message_id: None, content });
        self.drop_old_digests()
    }

    fn drop_old_digests(&mut self) -> Vec<DigestContent> {
        let bytes = |digest: &WaitingDigest| serde_json::to_string(digest).map_or(0, |json| json.len());
        let mut total: usize = self.digests.iter().map(bytes).sum();
        let mut dropped = Vec::new();
        let is_too_much = |digests: usize, bytes| digests > MAX_WAITING_DIGESTS || bytes > MAX_WAITING_BYTES;
        while self.digests.len() > 1 && is_too_much(self.digests.len(), total) {
            let Some(oldest) = self.digests.pop_front() else { break };
            total -= bytes(&oldest);
            dropped.push(oldest.content);
        }
        dropped
    }

    /// Returns whether something waits or is being sent.
    pub fn has_work(&self) -> bool {
        self.pending.is_some() || self.urgent.is_some() || self.sending.is_some() || !self.digests.is_empty()
    }

    /// Decides what to do. `id` is the id of a new message. If the answer is to send, the state says so, and has to be
    /// saved first.
    pub(crate) fn next_step(
        &mut self,
        settings: &ChannelSettings,
        zone: TimeZone,
        now: DateTime<Utc>,
        id: &str,
    ) -> ChannelStep {
        if !self.has_work() {
            return ChannelStep::Idle;
        }
        let blocked_until = self.not_before.max(self.breaker.open_until());
        if let Some(until) = blocked_until.filter(|until| *until > now) {
            return ChannelStep::Wait(until);
        }
        if let Some(sending) = &mut self.sending {
            let awake = match sending.content.is_urgent() {
                true => now,
                false => end_of_quiet(settings.quiet_hours, zone, now),
            };
            let until = sending.lease_until.max(awake);
            if until > now {
                return ChannelStep::Wait(until);
            }
            // The process that sent it ended, or its attempt failed.
            sending.attempts += 1;
            sending.lease_until = now + LEASE;
            return ChannelStep::Send(Box::new(sending.clone()));
        }
        let due = self.due_at(settings, zone);
        if due > now {
            return ChannelStep::Wait(due);
        }
        let (content, kept_id) = self.take(is_quiet(settings.quiet_hours, zone, now));
        let (id, lease_until) = (kept_id.unwrap_or_else(|| id.to_owned()), now + LEASE);
        let message = OutgoingMessage { id, content, made_at: now, attempts: 1, lease_until };
        self.sending = Some(message.clone());
        ChannelStep::Send(Box::new(message))
    }

    /// Returns when the next message is due.
    fn due_at(&self, settings: &ChannelSettings, zone: TimeZone) -> DateTime<Utc> {
        let wait = TimeDelta::seconds(i64::from(settings.wait_seconds.unwrap_or(DEFAULT_WAIT_SECONDS)));
        let interval = settings.interval_minutes.unwrap_or(DEFAULT_INTERVAL_MINUTES);
        let earliest = self.last_sent.map(|sent| sent + TimeDelta::minutes(i64::from(interval)));
        let after = |since: DateTime<Utc>| Some(since).max(earliest).unwrap_or(since);
        let awake = |at: DateTime<Utc>| end_of_quiet(settings.quiet_hours, zone, at);
        let urgent = self.urgent.as_ref().map(|group| after(group.since + wait));
        let pending = self.pending.as_ref().map(|group| awake(after(group.since + wait)));
        let digest = self.digests.front().map(|digest| awake(after(digest.content.made_at)));
        urgent.into_iter().chain(pending).chain(digest).min().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Takes what the next message says, and its id if attempts to send it failed before.
    fn take(&mut self, is_quiet: bool) -> (MessageContent, Option<String>) {
        // Otherwise an organization where something happens all the time would never get its digest.
        let is_digest_older = !is_quiet
            && self.urgent.is_none()
            && self
                .pending
                .as_ref()
                .zip(self.digests.front())
                .is_some_and(|(group, digest)| digest.content.made_at <= group.since);
        let group = if is_digest_older { None } else { self.take_group(is_quiet) };
        match group {
            Some(group) => (MessageContent::Group(group), None),
            None => {
                let WaitingDigest { message_id, content } = self.digests.pop_front().unwrap_or_default();
                (MessageContent::Digest(Box::new(content)), message_id)
            }
        }
    }

    fn take_group(&mut self, is_quiet: bool) -> Option<PendingGroup> {
        let urgent = self.urgent.take();
        let pending = if is_quiet && urgent.is_some() { None } else { self.pending.take() };
        [pending, urgent].into_iter().flatten().reduce(|mut all, group| {
            all.merge(group);
            all
        })
    }

    /// Records how the attempt to send the message with this id ended. `None` if another process has ended it.
    pub(crate) fn finish(
        &mut self,
        id: &str,
        outcome: &SendOutcome,
        now: DateTime<Utc>,
    ) -> Option<AttemptResult> {
        let message = self.sending.take_if(|sending| sending.id == id)?;
        self.not_before = None;
        let done =
            |message, breaker| Some(AttemptResult { ended: Some(message), dropped: Vec::new(), breaker });
        match outcome {
            SendOutcome::Sent => {
                self.last_sent = Some(now);
                done(message, self.breaker.record_success())
            }
            // The channel works, but not with this message. Repeating it changes nothing.
            SendOutcome::MessageRefused { .. } => {
                self.last_sent = Some(now);
                done(message, self.breaker.record_success())
            }
            SendOutcome::Busy { after, .. } if message.attempts < MAX_BUSY_ATTEMPTS => {
                self.not_before = Some(now + pause(*after));
                self.retry(message, now);
                Some(AttemptResult { ended: None, dropped: Vec::new(), breaker: BreakerChange::None })
            }
            SendOutcome::Busy { why, after } | SendOutcome::Failed { why, after } => {
                self.not_before = Some(now + pause(*after));
                Some(self.fail(message, why, false, now))
            }
            SendOutcome::ChannelRefused { why } => Some(self.fail(message, why, true, now)),
        }
    }

    /// Records a failure. The message is tried again under the same id until the breaker opens.
    fn fail(
        &mut self,
        message: OutgoingMessage,
        why: &str,
        is_refused: bool,
        now: DateTime<Utc>,
    ) -> AttemptResult {
        let breaker = self.breaker.record_failure(why, is_refused, now);
        let dropped = if self.breaker.is_open() {
            self.hold(message, why)
        } else {
            self.retry(message, now);
            Vec::new()
        };
        AttemptResult { ended: None, dropped, breaker }
    }

    /// Keeps the message, so that the next attempt has the same id.
    fn retry(&mut self, message: OutgoingMessage, now: DateTime<Utc>) {
        self.sending = Some(OutgoingMessage { lease_until: now, ..message });
    }

    /// Puts the notifications of a message back. What comes while the channel fails is sent together with them. Returns
    /// the digests that are dropped.
    fn hold(&mut self, message: OutgoingMessage, why: &str) -> Vec<DigestContent> {
        match message.content {
            MessageContent::Group(mut group) => {
                group.held = Some(why.to_owned());
                let is_urgent = group.severity() == Severity::Urgent;
                let slot = if is_urgent { &mut self.urgent } else { &mut self.pending };
                match slot {
                    Some(later) => later.merge(group),
                    None => *slot = Some(group),
                }
            }
            MessageContent::Digest(digest) => {
                let message_id = Some(message.id);
                self.digests.push_front(WaitingDigest { message_id, content: *digest });
            }
        }
        self.drop_old_digests()
    }
}

/// Returns how long to wait after a failure.
fn pause(after: Option<Duration>) -> TimeDelta {
    let after = after.and_then(|after| TimeDelta::from_std(after).ok());
    after.map_or(RETRY_PAUSE, |after| after.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
