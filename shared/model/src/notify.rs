//! Where an organization's notifications go: the part `[notify]` of its configuration.
//!
//! The configuration is stored in the lake, so it holds no secret and no address: a channel names the variables that
//! hold them ([`SecretName`]).

use std::collections::BTreeSet;

use chrono::{NaiveTime, Weekday};
use serde::{Deserialize, Serialize};

use crate::policy::matches_glob;
use crate::time_zone::TimeZone;

/// The most channels of an organization.
pub const MAX_CHANNELS: usize = 20;
/// The most rules of an organization.
pub const MAX_RULES: usize = 50;
/// The most digests of an organization.
pub const MAX_DIGESTS: usize = 20;
/// How many seconds the first notification waits for others, by default.
pub const DEFAULT_WAIT_SECONDS: u32 = 30;
/// How many minutes pass between two messages of a channel at least, by default.
pub const DEFAULT_INTERVAL_MINUTES: u32 = 5;
/// After how many hours a condition that lasts is reported again, by default.
pub const DEFAULT_REPEAT_HOURS: u32 = 24;
/// After how many hours without new data an organization's data is late, by default.
pub const DEFAULT_LATE_HOURS: u32 = 26;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    /// A worker reported that a task failed.
    TaskFailed,
    /// A task failed so often that no worker gets it any more.
    TaskPoisoned,
    /// An action waits for an approval.
    ApprovalWanted,
    /// An action failed.
    ActionFailed,
    /// Nobody knows whether an action is done.
    ActionUnknown,
    /// Deliveries of a webhook did not arrive.
    HookGap,
    /// The data of the organization is older than it should be.
    DataLate,
    /// Something could not be read from GitHub.
    DataIncomplete,
    /// Little is left of GitHub's rate limits.
    BudgetLow,
    /// A circuit breaker opened: a service or a channel does not answer.
    BreakerOpened,
    /// The head of the audit log, once a day, for a channel that serves as a witness.
    AuditHead,
    /// Collecting or ingesting failed several times.
    IngestFailed,
}

impl NotificationKind {
    /// All kinds.
    pub const ALL: [NotificationKind; 12] = [
        NotificationKind::TaskFailed,
        NotificationKind::TaskPoisoned,
        NotificationKind::ApprovalWanted,
        NotificationKind::ActionFailed,
        NotificationKind::ActionUnknown,
        NotificationKind::HookGap,
        NotificationKind::DataLate,
        NotificationKind::DataIncomplete,
        NotificationKind::BudgetLow,
        NotificationKind::BreakerOpened,
        NotificationKind::AuditHead,
        NotificationKind::IngestFailed,
    ];

    /// Returns the name in configurations and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            NotificationKind::TaskFailed => "task_failed",
            NotificationKind::TaskPoisoned => "task_poisoned",
            NotificationKind::ApprovalWanted => "approval_wanted",
            NotificationKind::ActionFailed => "action_failed",
            NotificationKind::ActionUnknown => "action_unknown",
            NotificationKind::HookGap => "hook_gap",
            NotificationKind::DataLate => "data_late",
            NotificationKind::DataIncomplete => "data_incomplete",
            NotificationKind::BudgetLow => "budget_low",
            NotificationKind::BreakerOpened => "breaker_opened",
            NotificationKind::AuditHead => "audit_head",
            NotificationKind::IngestFailed => "ingest_failed",
        }
    }

    /// Returns how urgent notifications of the kind are.
    pub fn severity(self) -> Severity {
        match self {
            NotificationKind::AuditHead => Severity::Info,
            NotificationKind::TaskFailed
            | NotificationKind::HookGap
            | NotificationKind::DataLate
            | NotificationKind::DataIncomplete
            | NotificationKind::BudgetLow => Severity::Warning,
            NotificationKind::TaskPoisoned
            | NotificationKind::ActionFailed
            | NotificationKind::BreakerOpened
            | NotificationKind::IngestFailed => Severity::Error,
            NotificationKind::ApprovalWanted | NotificationKind::ActionUnknown => Severity::Urgent,
        }
    }
}

/// How urgent a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know. Sent only by rules that name the kind or this severity.
    Info,
    /// Should be looked at.
    Warning,
    /// Does not work.
    Error,
    /// Waits for somebody. Sent in quiet hours, too.
    Urgent,
}

/// The language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Japanese.
    #[serde(rename = "ja")]
    Japanese,
}

/// What a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A URL that gets JSON, signed as Standard Webhooks defines.
    Webhook,
    /// Mail by SMTP.
    Email,
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of a Discord channel.
    Discord,
    /// Push messages of the LINE Messaging API.
    Line,
}

impl ChannelKind {
    /// Returns the name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Email => "email",
            ChannelKind::Slack => "slack",
            ChannelKind::Discord => "discord",
            ChannelKind::Line => "line",
        }
    }

    /// Returns whether a channel of the kind can have a field that it does not need: the address of an API that stands in
    /// for the one of LINE.
    fn is_optional(self, field: &str) -> bool {
        self == ChannelKind::Line && field == "url"
    }

    /// Returns the fields that a channel of the kind needs.
    fn needed(self) -> &'static [&'static str] {
        match self {
            ChannelKind::Webhook => &["url", "signing_secrets"],
            ChannelKind::Email => &["url", "from", "to"],
            ChannelKind::Slack | ChannelKind::Discord => &["url"],
            ChannelKind::Line => &["token", "to"],
        }
    }
}

/// The name of a variable, or of an entry of the host's secret, that holds a secret or an address. It begins with
/// `NOTIFY_`, so that a configuration cannot send another secret of the host anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretName(String);

impl SecretName {
    /// The beginning of every name.
    pub const PREFIX: &str = "NOTIFY_";

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_valid(&self) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        self.0.len() <= 100
            && self
                .0
                .strip_prefix(Self::PREFIX)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_allowed))
    }
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// The name, unique within the organization.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ChannelKind,
    /// The variable with the URL: of the webhook, or `smtps://USER:PASSWORD@HOST` of the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretName>,
    /// The variables with the secrets that sign (`whsec_` and base64). Several while one replaces another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_secrets: Vec<SecretName>,
    /// The variable with the channel access token of LINE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretName>,
    /// The variable with the sender's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SecretName>,
    /// The variable with the receivers' addresses, separated by commas, or with the id of a user or group of LINE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SecretName>,
    /// The name of the token of the only reader, who gets links that decide on actions in that reader's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// Hours without messages, local time, such as `22:00-07:00`. Urgent notifications are sent all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// As [`NotifySettings::language`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// How many seconds the first notification waits for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u32>,
    /// How many minutes pass between two messages at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_minutes: Option<u32>,
}

impl ChannelSettings {
    /// Returns the names of all variables of the channel, in order.
    pub fn secret_names(&self) -> BTreeSet<&SecretName> {
        let single = [&self.url, &self.token, &self.from, &self.to];
        single.into_iter().flatten().chain(&self.signing_secrets).collect()
    }

    fn validate(&self) -> Result<(), String> {
        let ChannelSettings { name, kind, .. } = self;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 40 || !name.bytes().all(is_name) {
            return Err(format!(
                "invalid name {name:?} in [[notify.channels]]: expected 1 to 40 of a-z, 0-9 and \"-\", such as \"ops\""
            ));
        }
        // The text of an invalid name may be the secret itself, so it is not quoted.
        if self.secret_names().iter().any(|secret| !secret.is_valid()) {
            return Err(format!(
                "invalid secret of the channel {name:?}: write the name of an environment variable that begins with \
                 {}, such as \"NOTIFY_OPS_URL\", and set its value where github-metrics runs",
                SecretName::PREFIX
            ));
        }
        let present = [
            ("url", self.url.is_some()),
            ("signing_secrets", !self.signing_secrets.is_empty()),
            ("token", self.token.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
        ];
        let needed = kind.needed();
        for (field, is_present) in present {
            if needed.contains(&field) != is_present && !kind.is_optional(field) {
                let problem = if is_present { "does not use" } else { "lacks" };
                return Err(format!(
                    "the channel {name:?} of the type {} {problem} {field}: it needs {}",
                    kind.as_str(),
                    needed.join(", ")
                ));
            }
        }
        if self.wait_seconds.is_some_and(|seconds| seconds > 3_600) {
            return Err(format!("invalid wait_seconds of the channel {name:?}: expected 0 to 3600"));
        }
        if self.interval_minutes.is_some_and(|minutes| minutes > 1_440) {
            return Err(format!("invalid interval_minutes of the channel {name:?}: expected 0 to 1440"));
        }
        Ok(())
    }
}

/// Hours without messages. They may include midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours {
    /// When they begin, local time, inclusive.
    pub from: NaiveTime,
    /// When they end, local time, exclusive.
    pub until: NaiveTime,
}

impl TryFrom<String> for QuietHours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let parsed = text.split_once('-').and_then(|(from, until)| Some((time(from)?, time(until)?)));
        match parsed.filter(|(from, until)| from != until) {
            Some((from, until)) => Ok(QuietHours { from, until }),
            None => Err(format!("invalid quiet_hours {text:?}: expected two times, such as \"22:00-07:00\"")),
        }
    }
}

impl From<QuietHours> for String {
    fn from(hours: QuietHours) -> String {
        format!("{}-{}", hours.from.format("%H:%M"), hours.until.format("%H:%M"))
    }
}

impl QuietHours {
    /// Returns whether a local time is within the hours.
    pub fn contains(self, time: NaiveTime) -> bool {
        match self.from < self.until {
            true => (self.from..self.until).contains(&time),
            false => time >= self.from || time < self.until,
        }
    }
}

/// A rule: which notifications go to which channels. A notification goes to the channels of every rule that matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingRule {
    /// The kinds. All if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<NotificationKind>,
    /// Names of repositories without the owner, in any case. `*` stands for any characters. If it is empty, all, and
    /// what is about no repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// The least severity. Without one it is `warning`, or everything if the rule names kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The names of the channels.
    pub channels: Vec<String>,
}

impl RoutingRule {
    /// Returns whether the rule is about a notification.
    pub fn matches(&self, kind: NotificationKind, severity: Severity, repo: Option<&str>) -> bool {
        let default = if self.kinds.is_empty() { Severity::Warning } else { Severity::Info };
        let is_listed = |pattern: &String| {
            repo.is_some_and(|repo| matches_glob(&pattern.to_lowercase(), &repo.to_lowercase()))
        };
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && severity >= self.severity.unwrap_or(default)
            && (self.repositories.is_empty() || self.repositories.iter().any(is_listed))
    }
}

/// How often a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestPeriod {
    /// Each day, about the day before.
    Day,
    /// Each week, about the seven days before.
    Week,
}

impl DigestPeriod {
    /// Returns the number of days that a digest is about.
    pub fn days(self) -> u32 {
        match self {
            DigestPeriod::Day => 1,
            DigestPeriod::Week => 7,
        }
    }
}

/// A digest: numbers of an organization, of repositories or of members, sent regularly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSettings {
    /// The name, unique within the organization.
    pub name: String,
    /// How often it is sent.
    pub every: DigestPeriod,
    /// When it is sent, local time, such as `09:00`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DigestTime>,
    /// On which day a weekly digest is sent. The default is Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<Weekday>,
    /// Repositories that it has numbers of, without the owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// Members that it has numbers of. Nothing is said about a person whom no digest names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The names of the channels.
    pub channels: Vec<String>,
}

/// A local time of day in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DigestTime(pub NaiveTime);

impl Default for DigestTime {
    fn default() -> Self {
        DigestTime(NaiveTime::from_hms_opt(9, 0, 0).expect("nine o'clock exists"))
    }
}

impl TryFrom<String> for DigestTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        time.map(DigestTime)
            .ok_or_else(|| format!("invalid time {text:?}: expected hours and minutes, such as \"09:00\""))
    }
}

impl From<DigestTime> for String {
    fn from(time: DigestTime) -> String {
        time.0.format("%H:%M").to_string()
    }
}

/// What an organization configures about notifications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifySettings {
    /// The time zone of quiet hours and digests. The default is that of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The language of messages, unless the channel has another one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub language: Language,
    /// The address of the page, for links, such as `https://metrics.example.com`. Without it there are links to GitHub
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// After how many hours a condition that lasts is reported again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_hours: Option<u32>,
    /// After how many hours without new data the data is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_hours: Option<u32>,
    /// The channels, as `[[notify.channels]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelSettings>,
    /// The rules, as `[[notify.rules]]`. Without any, everything from `warning` on goes to every channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RoutingRule>,
    /// The digests, as `[[notify.digests]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<DigestSettings>,
}

fn is_default(language: &Language) -> bool {
    *language == Language::default()
}

impl NotifySettings {
    /// Returns whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        *self == NotifySettings::default()
    }

    /// Returns the channel with this name.
    pub fn channel(&self, name: &str) -> Option<&ChannelSettings> {
        self.channels.iter().find(|channel| channel.name == name)
    }

    /// Returns the time zone of quiet hours and digests. `of_org` is that of the organization.
    pub fn time_zone(&self, of_org: TimeZone) -> TimeZone {
        self.timezone.as_deref().and_then(TimeZone::parse).unwrap_or(of_org)
    }

    /// Returns the names of the channels that a notification goes to.
    pub fn channels_for(
        &self,
        kind: NotificationKind,
        severity: Severity,
        repo: Option<&str>,
    ) -> BTreeSet<&str> {
        if self.rules.is_empty() {
            let is_sent = severity >= Severity::Warning;
            return self.channels.iter().filter(|_| is_sent).map(|channel| channel.name.as_str()).collect();
        }
        let matching = self.rules.iter().filter(|rule| rule.matches(kind, severity, repo));
        matching.flat_map(|rule| rule.channels.iter().map(String::as_str)).collect()
    }

    /// Checks names and bounds.
    ///
    /// # Errors
    /// If one of them is invalid. The message says which, and contains no secret.
    pub fn validate(&self) -> Result<(), String> {
        for (count, max, what) in [
            (self.channels.len(), MAX_CHANNELS, "channels"),
            (self.rules.len(), MAX_RULES, "rules"),
            (self.digests.len(), MAX_DIGESTS, "digests"),
        ] {
            if count > max {
                return Err(format!("[notify] has {count} {what}: expected at most {max}"));
            }
        }
        if let Some(name) = self.timezone.as_ref().filter(|name| TimeZone::parse(name).is_none()) {
            return Err(format!(
                "invalid timezone {name:?} in [notify]: write a name of the IANA database, such as \"Asia/Tokyo\""
            ));
        }
        if let Some(url) = self.base_url.as_ref().filter(|url| !is_base_url(url)) {
            return Err(format!(
                "invalid base_url {url:?} in [notify]: expected the address of the page, such as \
                 \"https://metrics.example.com\""
            ));
        }
        for (name, hours) in [("repeat_hours", self.repeat_hours), ("late_hours", self.late_hours)] {
            if hours.is_some_and(|hours| !(1..=720).contains(&hours)) {
                return Err(format!("invalid {name} in [notify]: expected 1 to 720"));
            }
        }
        let mut names = BTreeSet::new();
        for channel in &self.channels {
            channel.validate()?;
            if !names.insert(channel.name.as_str()) {
                return Err(format!("two channels in [notify] are named {:?}: rename one", channel.name));
            }
        }
        for rule in &self.rules {
            self.check_channels("[[notify.rules]]", &rule.channels)?;
            check_repositories("[[notify.rules]]", &rule.repositories)?;
        }
        let mut digests = BTreeSet::new();
        for digest in &self.digests {
            self.check_channels("[[notify.digests]]", &digest.channels)?;
            check_repositories("[[notify.digests]]", &digest.repositories)?;
            if digest.name.trim().is_empty() || !digests.insert(digest.name.as_str()) {
                return Err(format!(
                    "the name {:?} of a digest is empty or used twice: write another",
                    digest.name
                ));
            }
            if digest.weekday.is_some() && digest.every == DigestPeriod::Day {
                return Err(format!(
                    "the digest {:?} is daily: remove weekday, or write every = \"week\"",
                    digest.name
                ));
            }
        }
        Ok(())
    }

    fn check_channels(&self, table: &str, channels: &[String]) -> Result<(), String> {
        if channels.is_empty() {
            return Err(format!("channels in {table} is empty: name a channel"));
        }
        match channels.iter().find(|name| self.channel(name).is_none()) {
            Some(name) => Err(format!(
                "{table} names the channel {name:?}, which [[notify.channels]] does not have: add it, or correct the name"
            )),
            None => Ok(()),
        }
    }
}

fn check_repositories(table: &str, repositories: &[String]) -> Result<(), String> {
    match repositories.iter().find(|name| name.trim().is_empty() || name.contains('/')) {
        Some(name) => Err(format!(
            "invalid repository {name:?} in {table}: write a name without the owner, such as \"site\""
        )),
        None => Ok(()),
    }
}

fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| {
                byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'"' | b'<' | b'>')
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NotifySettings, String> {
        let settings: NotifySettings = toml::from_str(text).map_err(|error| error.to_string())?;
        settings.validate().map(|()| settings)
    }

    const OPS: &str = "[[channels]]\nname = \"ops\"\ntype = \"slack\"\nurl = \"NOTIFY_OPS\"\nquiet_hours = \"22:00-07:00\"\n\
                       [[channels]]\nname = \"log\"\ntype = \"webhook\"\nurl = \"NOTIFY_LOG\"\n\
                       signing_secrets = [\"NOTIFY_LOG_KEY\"]\n";

    #[test]
    fn settings_survive_a_round_trip() {
        let text = format!(
            "timezone = \"Asia/Tokyo\"\nlanguage = \"ja\"\nbase_url = \"https://m.example.com\"\n{OPS}\
             [[rules]]\nkinds = [\"action_failed\"]\nrepositories = [\"infra-*\"]\nchannels = [\"ops\"]\n\
             [[digests]]\nname = \"weekly\"\nevery = \"week\"\nat = \"08:30\"\nweekday = \"Tue\"\nchannels = [\"ops\"]\n"
        );
        let settings = parse(&text).unwrap();
        assert_eq!(parse(&toml::to_string(&settings).unwrap()).unwrap(), settings);
        assert_eq!(settings.time_zone(TimeZone::UTC).name(), "Asia/Tokyo");
        assert_eq!(settings.digests[0].every.days(), 7);
        assert!(!settings.is_empty() && NotifySettings::default().is_empty());
    }

    #[test]
    fn every_matching_rule_adds_its_channels() {
        use NotificationKind::{ActionFailed, AuditHead, DataLate};
        let of = |settings: &NotifySettings, kind: NotificationKind, repo: Option<&str>| {
            let names = settings.channels_for(kind, kind.severity(), repo);
            names.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let open = parse(OPS).unwrap();
        assert_eq!(of(&open, DataLate, None), ["log", "ops"]);
        assert!(of(&open, AuditHead, None).is_empty(), "information needs a rule");
        let rules = "[[rules]]\nrepositories = [\"Infra-*\"]\nchannels = [\"ops\"]\n[[rules]]\nkinds = \
                     [\"audit_head\", \"data_late\"]\nchannels = [\"log\"]\n[[rules]]\nseverity = \"urgent\"\nchannels = \
                     [\"ops\"]\n";
        let ruled = parse(&format!("{OPS}{rules}")).unwrap();
        assert_eq!(of(&ruled, ActionFailed, Some("infra-dns")), ["ops"]);
        assert!(of(&ruled, ActionFailed, Some("site")).is_empty());
        assert_eq!(of(&ruled, AuditHead, None), ["log"]);
        assert_eq!(of(&ruled, NotificationKind::ActionUnknown, None), ["ops"]);
    }

    #[test]
    fn quiet_hours_can_include_midnight() {
        let hours = |text: &str| QuietHours::try_from(text.to_owned()).unwrap();
        let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
        let night = hours("22:00-07:00");
        assert_eq!([21, 22, 0, 6, 7].map(|hour| night.contains(at(hour))), [false, true, true, true, false]);
        let noon = hours("12:00-13:00");
        assert_eq!([11, 12, 13].map(|hour| noon.contains(at(hour))), [false, true, false]);
        assert!(QuietHours::try_from("22:00".to_owned()).is_err());
        assert!(QuietHours::try_from("07:00-07:00".to_owned()).is_err());
    }

    #[test]
    fn invalid_settings_are_refused_without_their_secrets() {
        let slack = |rest: &str| format!("[[channels]]\nname = \"ops\"\ntype = \"slack\"\n{rest}");
        for (text, expected) in [
            (slack("url = \"https://hooks.example/hunter2\""), "name of an environment variable"),
            (slack("url = \"GITHUB_TOKEN\""), "begins with NOTIFY_"),
            (slack(""), "lacks url"),
            (slack("url = \"NOTIFY_A\"\ntoken = \"NOTIFY_B\""), "does not use token"),
            (slack("url = \"NOTIFY_A\"\nquiet_hours = \"late\""), "quiet_hours"),
            (format!("{OPS}[[rules]]\nchannels = [\"opps\"]"), "names the channel \"opps\""),
            (format!("{OPS}[[rules]]\nchannels = []"), "is empty"),
            (format!("{OPS}[[rules]]\nkind = \"x\"\nchannels = [\"ops\"]"), "unknown field"),
            (format!("{OPS}{OPS}"), "two channels"),
            ("timezone = \"Asia/Tokio\"".to_owned(), "IANA"),
            ("base_url = \"https://user@host\"".to_owned(), "base_url"),
            ("repeat_hours = 0".to_owned(), "repeat_hours"),
            (
                format!(
                    "{OPS}[[digests]]\nname = \"d\"\nevery = \"day\"\nweekday = \"Mon\"\nchannels = [\"ops\"]"
                ),
                "daily",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn kinds_have_the_names_of_the_stored_form() {
        for kind in NotificationKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
