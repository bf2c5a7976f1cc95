//! Gathers and sends, for all organizations.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use gam_access::AuditLog;
use gam_model::notify::Language;
use gam_model::{ChannelSettings, Clock, NotifySettings, TimeZone};
use gam_store::RecordStore;
use secrecy::SecretString;

use crate::channels::{SendOutcome, Transport, shows_pictures};
use crate::condition::OrgFacts;
use crate::deliver::DeliverReport;
use crate::digest::{DigestContent, DigestRequest, DigestSource};
use crate::error::Result;
use crate::gather::DigestPlans;
use crate::message::{MessageView, RichMessage, digest_message, test_message};
use crate::picture::{Picture, PictureRequest, PictureSource};
use crate::text::Texts;

/// Pause between two looks for what happened.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often conditions are looked at.
const FACTS_EVERY: TimeDelta = TimeDelta::minutes(1);

/// An organization with notifications.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifyOrg {
    /// Its storage key.
    pub key: String,
    /// Its settings.
    pub settings: NotifySettings,
    /// Its time zone.
    pub time_zone: TimeZone,
}

impl NotifyOrg {
    /// Returns the time zone of quiet hours and digests.
    pub fn zone(&self) -> TimeZone {
        self.settings.time_zone(self.time_zone)
    }

    /// Returns the language of a channel's messages.
    pub(crate) fn language_of(&self, channel: &ChannelSettings) -> Language {
        channel.language.unwrap_or(self.settings.language)
    }
}

/// The secrets of a channel, by the name in the configuration.
pub type ChannelSecrets = BTreeMap<String, SecretString>;

/// Why the secrets of a channel cannot be read. The text says which name, and contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSecret {
    /// One of them is not set. A person must set it.
    Missing(String),
    /// Trying again may help.
    Unavailable(String),
}

/// Where the secrets of channels are: variables, or secrets of the host.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// Returns the values that a channel names.
    ///
    /// # Errors
    /// If one of them cannot be read.
    async fn secrets(&self, channel: &ChannelSettings) -> Result<ChannelSecrets, NoSecret>;
}

/// Where organizations and what is the case for them come from.
#[async_trait]
pub trait FactSource: Send + Sync {
    /// Returns the organizations with channels.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn orgs(&self) -> Result<Vec<NotifyOrg>>;

    /// Returns what is the case for an organization, by its storage key.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn facts(&self, org: &str) -> Result<OrgFacts>;
}

/// What makes links with which the reader of a message decides on an action, without signing in.
#[async_trait]
pub trait ApprovalLinkSource: Send + Sync {
    /// Returns the URL for an approver, by the name of the approver's token, and an action. `None` if the action does not
    /// wait any more, or the approver cannot decide on it.
    async fn link(&self, approver: &str, action_id: &str) -> Option<String>;
}

/// What notifications need.
#[derive(Clone)]
pub struct NotifyPorts {
    /// The store.
    pub records: Arc<dyn RecordStore>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The audit log. Without it, only conditions and digests are sent.
    pub log: Option<Arc<dyn AuditLog>>,
    /// Organizations and conditions.
    pub facts: Arc<dyn FactSource>,
    /// The numbers of digests. Without it, there are none.
    pub digests: Option<Arc<dyn DigestSource>>,
    /// What makes pictures of digests. Without it, there are none.
    pub pictures: Option<Arc<dyn PictureSource>>,
    /// The secrets of channels.
    pub secrets: Arc<dyn SecretSource>,
    /// What makes links to approvals. Without it, messages link to the page of actions.
    pub approval_links: Option<Arc<dyn ApprovalLinkSource>>,
}

/// What [`Notifier::run_once`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunReport {
    /// Number of attempts to send.
    pub attempts: usize,
    /// Number of messages that services took.
    pub sent: usize,
    /// Number of channels whose circuit breaker is open now.
    pub broken: usize,
    /// Number of organizations of which something could not be read or saved. The log says why.
    pub failed: usize,
}

/// Gathers what happened and sends it.
#[derive(Clone)]
pub struct Notifier {
    pub(crate) ports: NotifyPorts,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) plans: Arc<DigestPlans>,
}

impl Notifier {
    /// Connects the ports and what sends.
    pub fn new(ports: NotifyPorts, transport: Arc<dyn Transport>) -> Self {
        Notifier { ports, transport, plans: Arc::default() }
    }

    /// Returns the organizations with channels.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn orgs(&self) -> Result<Vec<NotifyOrg>> {
        self.ports.facts.orgs().await
    }

    /// Sends a test message at once, whatever the breaker and the quiet hours say. Nothing is recorded.
    pub async fn test(&self, org: &NotifyOrg, channel: &ChannelSettings) -> SendOutcome {
        let language = org.language_of(channel);
        let id = gam_store::RecordCommitId::random().to_string();
        let message = test_message(&org.key, &channel.name, id, language, self.ports.clock.now());
        self.send(channel, &message).await
    }

    /// Makes a digest now. `None` if there is no source of numbers.
    ///
    /// # Errors
    /// If the numbers cannot be read.
    pub async fn make_digest(&self, name: &str, request: &DigestRequest) -> Result<Option<DigestContent>> {
        let Some(source) = &self.ports.digests else { return Ok(None) };
        let numbers = source.numbers(request).await?;
        Ok(Some(DigestContent::new(name, request, numbers, self.ports.clock.now())))
    }

    /// Sends a digest at once, whatever the breaker and the quiet hours say. Nothing is recorded.
    pub async fn send_digest(
        &self,
        org: &NotifyOrg,
        channel: &ChannelSettings,
        digest: &DigestContent,
    ) -> SendOutcome {
        let mut message = self.digest_for(org, channel, digest).await;
        message.id = gam_store::RecordCommitId::random().to_string();
        self.send(channel, &message).await
    }

    /// Returns what a digest says to a channel, with a picture if the channel shows one.
    pub(crate) async fn digest_for(
        &self,
        org: &NotifyOrg,
        channel: &ChannelSettings,
        digest: &DigestContent,
    ) -> RichMessage {
        let language = org.language_of(channel);
        let mut message = self.digest_message(org, digest, language);
        if shows_pictures(channel.kind) {
            message.picture = self.picture(org, digest, language).await;
        }
        message
    }

    /// Makes the picture of a digest. A digest whose picture cannot be made is sent without one.
    async fn picture(&self, org: &NotifyOrg, digest: &DigestContent, language: Language) -> Option<Picture> {
        let source = self.ports.pictures.as_ref()?;
        let request = PictureRequest::of_digest(digest, &org.key, language)?;
        match source.png(&request).await {
            Ok(png) => Some(Picture { png, description: Texts(language).picture(&request) }),
            Err(error) => {
                tracing::warn!(org = org.key, digest = digest.name, %error, "a digest gets no picture");
                None
            }
        }
    }

    /// Returns what a digest says.
    pub fn digest_message(&self, org: &NotifyOrg, digest: &DigestContent, language: Language) -> RichMessage {
        let base_url = org.settings.base_url.as_deref();
        let view = MessageView { org: &org.key, language, base_url, approval_links: BTreeMap::new() };
        digest_message(digest, &view)
    }

    /// Gathers and sends once for all organizations: what a function that runs each minute does. Channels are sent to at
    /// the same time.
    ///
    /// # Errors
    /// If the organizations cannot be read. What fails for one organization is logged and counted, and does not stop others.
    pub async fn run_once(&self) -> Result<RunReport> {
        let orgs = self.orgs().await?;
        let (mut report, mut failed) = (RunReport::default(), HashSet::new());
        let mut deliveries = FuturesUnordered::new();
        for org in &orgs {
            if !self.gather_all(org, true).await {
                failed.insert(org.key.as_str());
            }
            let channels = org.settings.channels.iter();
            deliveries.extend(
                channels.map(|channel| async move { (org, self.deliver_logged(org, channel).await) }),
            );
        }
        while let Some((org, delivered)) = deliveries.next().await {
            match delivered {
                Some(DeliverReport { has_attempted, is_sent, is_broken }) => {
                    report.attempts += usize::from(has_attempted);
                    report.sent += usize::from(is_sent);
                    report.broken += usize::from(is_broken);
                }
                None => {
                    failed.insert(org.key.as_str());
                }
            }
        }
        Ok(RunReport { failed: failed.len(), ..report })
    }

    /// Gathers and sends until the future is dropped. A channel that does not answer delays no other.
    pub async fn run(&self) {
        let mut in_flight = FuturesUnordered::new();
        let mut busy: HashSet<(String, String)> = HashSet::new();
        let mut facts_at: Option<DateTime<Utc>> = None;
        loop {
            let now = self.ports.clock.now();
            let wants_facts = facts_at.is_none_or(|at| now - at >= FACTS_EVERY);
            match self.orgs().await {
                Ok(orgs) => {
                    for org in orgs {
                        self.gather_all(&org, wants_facts).await;
                        for channel in &org.settings.channels {
                            let name = (org.key.clone(), channel.name.clone());
                            if busy.insert(name.clone()) {
                                let (org, channel) = (org.clone(), channel.clone());
                                in_flight.push(async move {
                                    self.deliver_logged(&org, &channel).await;
                                    name
                                });
                            }
                        }
                    }
                    if wants_facts {
                        facts_at = Some(now);
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot read which organizations have channels"),
            }
            let pause = tokio::time::sleep(LOOK_EVERY);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(name) = in_flight.next() => {
                        busy.remove(&name);
                    }
                }
            }
        }
    }

    /// Gathers until the log has no more rows. Returns whether nothing failed. A failure is logged: the next call goes on.
    async fn gather_all(&self, org: &NotifyOrg, wants_facts: bool) -> bool {
        let (mut facts, mut is_complete) = (None, true);
        if wants_facts {
            match self.ports.facts.facts(&org.key).await {
                Ok(read) => facts = Some(read),
                Err(error) => {
                    is_complete = false;
                    tracing::warn!(org = org.key, %error, "cannot look for conditions");
                }
            }
        }
        loop {
            match self.gather(org, facts.as_ref()).await {
                Ok(report) if report.has_more => {}
                Ok(_) => return is_complete,
                Err(error) => {
                    tracing::warn!(org = org.key, %error, "cannot gather notifications");
                    return false;
                }
            }
        }
    }

    /// Sends the next message of a channel. `None` if that failed, which is logged.
    async fn deliver_logged(&self, org: &NotifyOrg, channel: &ChannelSettings) -> Option<DeliverReport> {
        let delivered = self.deliver(org, channel).await.inspect_err(
            |error| tracing::warn!(org = org.key, channel = channel.name, %error, "cannot send notifications"),
        );
        delivered.ok()
    }
}
