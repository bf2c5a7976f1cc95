//! Sends what a channel has to send.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_access::{AuditKind, AuditRow};
use gam_model::{BreakerChange, ChannelSettings};
use gam_store::{CommitOutcome, RecordCommit, RecordCommitId, commit_until_answered};

use crate::audit_rows::CHANNEL_DETAIL;
use crate::channel_state::{ChannelStep, MessageContent, OutgoingMessage, PendingGroup};
use crate::channels::{SendOutcome, send};
use crate::error::{NotifyError, Result};
use crate::history::SentMessage;
use crate::message::{MessageView, RichMessage, group_message};
use crate::notifier::{NoSecret, Notifier, NotifyOrg};
use crate::state::{load_channel, put_channel};

/// Who audit rows say changed a breaker.
const SERVICE: &str = "notify";
/// How often a change is tried if others change the same records.
const MAX_CONFLICTS: u32 = 10;

/// What a look at a channel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DeliverReport {
    /// Whether an attempt was made, or another process made one.
    pub(crate) has_attempted: bool,
    /// Whether the service took a message.
    pub(crate) is_sent: bool,
    /// Whether the breaker is open now.
    pub(crate) is_broken: bool,
}

impl Notifier {
    /// Sends the next message of a channel, if one is due.
    pub(crate) async fn deliver(&self, org: &NotifyOrg, channel: &ChannelSettings) -> Result<DeliverReport> {
        let name = (org.key.as_str(), channel.name.as_str());
        let now = self.ports.clock.now();
        let mut state = load_channel(&*self.ports.records, name, now).await?;
        let commit = RecordCommit::new(RecordCommitId::random());
        let id = commit.id().to_string();
        let message = match state.value.next_step(channel, org.zone(), now, &id) {
            ChannelStep::Idle | ChannelStep::Wait(_) => {
                let is_broken = state.value.breaker.is_open();
                return Ok(DeliverReport { is_broken, ..DeliverReport::default() });
            }
            ChannelStep::Send(message) => message,
        };
        let attempted = DeliverReport { has_attempted: true, ..DeliverReport::default() };
        let commit = put_channel(commit, name, &state)?;
        // Another process sends it, or something was added meanwhile: the next call decides again.
        if commit_until_answered(&*self.ports.records, &commit, now).await? != CommitOutcome::Committed {
            return Ok(attempted);
        }
        let rich = self.rich_message(org, channel, &message).await;
        let outcome = self.send(channel, &rich).await;
        let is_broken = self.settle(org, channel, (&message, &rich), &outcome).await?;
        Ok(DeliverReport { is_sent: outcome == SendOutcome::Sent, is_broken, ..attempted })
    }

    /// Returns what a message says, in the language of its channel.
    async fn rich_message(
        &self,
        org: &NotifyOrg,
        channel: &ChannelSettings,
        message: &OutgoingMessage,
    ) -> RichMessage {
        let language = org.language_of(channel);
        let mut rich = match &message.content {
            MessageContent::Group(group) => {
                let base_url = org.settings.base_url.as_deref();
                let approval_links = self.approval_links(channel, group).await;
                group_message(group, &MessageView { org: &org.key, language, base_url, approval_links })
            }
            MessageContent::Digest(digest) => self.digest_for(org, channel, digest).await,
        };
        rich.id.clone_from(&message.id);
        rich.made_at = message.made_at;
        rich
    }

    /// Makes the links with which the reader of a channel decides on actions, by the actions' ids. A channel without an
    /// approver has none: whoever has such a link decides in the approver's name.
    async fn approval_links(
        &self,
        channel: &ChannelSettings,
        group: &PendingGroup,
    ) -> BTreeMap<String, String> {
        let mut links = BTreeMap::new();
        let (Some(source), Some(approver)) = (&self.ports.approval_links, &channel.approver) else {
            return links;
        };
        for action in group.shown.iter().filter_map(|notification| notification.action_id.as_ref()) {
            if let Some(link) = source.link(approver, action).await {
                links.insert(action.clone(), link);
            }
        }
        links
    }

    /// Sends a message. What the secrets lack is a refusal that a person must fix.
    pub(crate) async fn send(&self, channel: &ChannelSettings, message: &RichMessage) -> SendOutcome {
        match self.ports.secrets.secrets(channel).await {
            Ok(secrets) => send(&*self.transport, channel, &secrets, message, self.ports.clock.now()).await,
            Err(NoSecret::Missing(why)) => SendOutcome::ChannelRefused { why },
            Err(NoSecret::Unavailable(why)) => SendOutcome::failed(why),
        }
    }

    /// Records how an attempt ended, with the change of the breaker and its audit row. Returns whether the breaker is open.
    async fn settle(
        &self,
        org: &NotifyOrg,
        channel: &ChannelSettings,
        (message, rich): (&OutgoingMessage, &RichMessage),
        outcome: &SendOutcome,
    ) -> Result<bool> {
        let name = (org.key.as_str(), channel.name.as_str());
        for _ in 0..MAX_CONFLICTS {
            let now = self.ports.clock.now();
            let mut state = load_channel(&*self.ports.records, name, now).await?;
            let Some(result) = state.value.finish(&message.id, outcome, now) else {
                return Ok(state.value.breaker.is_open());
            };
            let mut commit = RecordCommit::new(RecordCommitId::random());
            if result.ended.is_some() {
                let refused = outcome.why().map(str::to_owned);
                commit = sent_message(channel, message, rich, now, refused).add_to(commit, &org.key)?;
            }
            let language = org.language_of(channel);
            let of_dropped = SentMessage::of_dropped(name, &result.dropped, language, now);
            if let Some(of_dropped) = of_dropped {
                commit = of_dropped.add_to(commit, &org.key)?;
            }
            if let Some(row) = breaker_row(org, channel, result.breaker, outcome, now) {
                commit = row(commit.id()).add_to(commit)?;
            }
            commit = put_channel(commit, name, &state)?;
            if commit_until_answered(&*self.ports.records, &commit, now).await? == CommitOutcome::Committed {
                self.log_outcome(org, channel, message, outcome);
                return Ok(state.value.breaker.is_open());
            }
        }
        Err(NotifyError::Contended { org: org.key.clone() })
    }

    fn log_outcome(
        &self,
        org: &NotifyOrg,
        channel: &ChannelSettings,
        message: &OutgoingMessage,
        outcome: &SendOutcome,
    ) {
        let (org, channel, attempts) = (org.key.as_str(), channel.name.as_str(), message.attempts);
        match outcome.why() {
            None => tracing::info!(org, channel, message = message.id, attempts, "message sent"),
            Some(why) => {
                tracing::warn!(org, channel, message = message.id, attempts, why, "message not sent")
            }
        }
    }
}

fn sent_message(
    channel: &ChannelSettings,
    message: &OutgoingMessage,
    rich: &RichMessage,
    now: DateTime<Utc>,
    refused: Option<String>,
) -> SentMessage {
    let notifications = match &message.content {
        MessageContent::Group(group) => group.len(),
        MessageContent::Digest(_) => 0,
    };
    SentMessage {
        id: message.id.clone(),
        channel: channel.name.clone(),
        at: now,
        title: rich.title.clone(),
        notifications,
        attempts: message.attempts,
        refused,
    }
}

/// Returns what makes the audit row of a breaker's change, from the id of the commit.
fn breaker_row(
    org: &NotifyOrg,
    channel: &ChannelSettings,
    change: BreakerChange,
    outcome: &SendOutcome,
    now: DateTime<Utc>,
) -> Option<impl Fn(RecordCommitId) -> AuditRow> {
    let kind = match change {
        BreakerChange::None => return None,
        BreakerChange::Opened => AuditKind::BreakerOpened,
        BreakerChange::Closed => AuditKind::BreakerClosed,
    };
    let (key, name) = (org.key.clone(), channel.name.clone());
    let why = outcome.why().unwrap_or("ok").to_owned();
    Some(move |commit| {
        let id = format!("notify_breaker:{name}:{commit}");
        AuditRow::new(id, Some(&key), now, SERVICE, kind, format!("notification channel {name}"))
            .with_outcome(&why)
            .with_detail(CHANNEL_DETAIL, name.clone())
    })
}
