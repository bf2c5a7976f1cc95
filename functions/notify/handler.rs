//! Gathers and sends, within the time of an invocation.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use gam_functions::channel_secrets::StoredSecrets;
use gam_functions::{Deadline, FunctionMetric, LambdaContext};
use gam_model::ChannelSettings;
use gam_notify::{Notifier, NotifyOrg, NotifyPorts, Transport};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

/// What the schedule and people send, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum NotifyCommand {
    /// Gather what happened, and send what is due.
    Run {},
    /// Send a message to a channel at once.
    Test {
        /// The name of the channel.
        channel: String,
        /// Its organization. Needed only if several have a channel of this name.
        org: Option<String>,
    },
}

impl NotifyCommand {
    /// Parses an event.
    ///
    /// # Errors
    /// If it is no command. The text says what one looks like.
    fn parse(event: &Value) -> anyhow::Result<Self> {
        NotifyCommand::deserialize(event).with_context(|| {
            format!(
                "invalid command {event}: expected {{\"action\": \"run\"}}, or {{\"action\": \"test\", \"channel\": \"NAME\"}} \
                 with \"org\" if several organizations have the channel"
            )
        })
    }
}

/// The function `notify`.
pub(crate) struct Sender {
    context: LambdaContext,
    notifier: Notifier,
    secrets: Arc<StoredSecrets>,
}

/// What the rounds of an invocation did.
#[derive(Default)]
struct RunTotal {
    sent: usize,
    /// Number of broken channels after the last complete round.
    broken: Option<usize>,
    failed: usize,
}

impl Sender {
    pub(crate) fn new(
        context: LambdaContext,
        ports: NotifyPorts,
        secrets: Arc<StoredSecrets>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Sender { context, notifier: Notifier::new(ports, transport), secrets }
    }

    /// Does what a command says.
    ///
    /// # Errors
    /// If the event is no command, something could not be read or saved, or a test was not sent. A channel that fails is
    /// no error: its circuit breaker is a metric, and other channels report it.
    pub(crate) async fn handle(&self, event: &Value, deadline_ms: u64) -> anyhow::Result<()> {
        let deadline = Deadline::new(deadline_ms, self.context.clock.now());
        match NotifyCommand::parse(event)? {
            NotifyCommand::Run {} => self.run(deadline).await,
            NotifyCommand::Test { channel, org } => self.test(&channel, org.as_deref()).await,
        }
    }

    /// Sends until nothing is due, or the time to begin something is over.
    async fn run(&self, deadline: Deadline) -> anyhow::Result<()> {
        let mut total = RunTotal::default();
        let done = timeout_at(deadline.cancel_at(), self.run_until_idle(deadline, &mut total)).await;
        let mut values = vec![(FunctionMetric::MessagesSent, total.sent as f64)];
        // A round that was cut knows nothing of the channels.
        values.extend(total.broken.map(|broken| (FunctionMetric::ChannelsBroken, broken as f64)));
        self.context.metrics.write(self.context.clock.now(), &values);
        match done {
            Ok(done) => done?,
            // A message without an answer is sent again under its id when its lease ends.
            Err(_) => tracing::warn!("the time of the invocation is over; the next one goes on"),
        }
        if total.failed > 0 {
            bail!("cannot notify {} of the organizations: the lines above say why", total.failed);
        }
        Ok(())
    }

    async fn run_until_idle(&self, deadline: Deadline, total: &mut RunTotal) -> anyhow::Result<()> {
        loop {
            let report = self.notifier.run_once().await?;
            total.sent += report.sent;
            total.broken = Some(report.broken);
            total.failed = total.failed.max(report.failed);
            if report.attempts == 0 || Instant::now() >= deadline.stop_at() {
                return Ok(());
            }
        }
    }

    async fn test(&self, name: &str, org: Option<&str>) -> anyhow::Result<()> {
        let key = match org {
            Some(org) => Some(self.context.registry.get().await?.key_of(org)),
            None => None,
        };
        let orgs = self.notifier.orgs().await?;
        let (org, channel) = find_channel(&orgs, name, key.as_deref())?;
        // Whoever has just changed a secret tests it.
        self.secrets.forget();
        match self.notifier.test(org, channel).await.why() {
            None => Ok(()),
            Some(why) => bail!("cannot send to the channel {name}: {why}"),
        }
    }
}

/// Returns the only channel of a name. `key` is the storage key of its organization.
fn find_channel<'a>(
    orgs: &'a [NotifyOrg],
    name: &str,
    key: Option<&str>,
) -> anyhow::Result<(&'a NotifyOrg, &'a ChannelSettings)> {
    let channels = orgs.iter().filter(|org| key.is_none_or(|key| key == org.key));
    let channels: Vec<_> =
        channels.flat_map(|org| org.settings.channels.iter().map(move |channel| (org, channel))).collect();
    let mut found = channels.iter().filter(|(_, channel)| channel.name == name);
    match (found.next(), found.next()) {
        (Some(channel), None) => Ok(*channel),
        (Some(_), Some(_)) => bail!("several organizations have a channel {name:?}: name one with \"org\""),
        (None, _) => {
            let names: Vec<&str> = channels.iter().map(|(_, channel)| channel.name.as_str()).collect();
            bail!("there is no channel {name:?}: the channels are {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use gam_model::TimeZone;
    use gam_model::configuration::Configuration;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schedule_and_people_send_commands() {
        let test = |org: Option<&str>| NotifyCommand::Test {
            channel: "ops".to_owned(),
            org: org.map(str::to_owned),
        };
        for (event, command) in [
            (json!({ "action": "run" }), NotifyCommand::Run {}),
            (json!({ "action": "test", "channel": "ops" }), test(None)),
            (json!({ "action": "test", "channel": "ops", "org": "acme" }), test(Some("acme"))),
        ] {
            assert_eq!(NotifyCommand::parse(&event).unwrap(), command);
        }
        for event in [json!({}), json!(null), json!({ "action": "test" }), json!({ "action": "drain" })] {
            let why = NotifyCommand::parse(&event).unwrap_err().to_string();
            assert!(why.contains("{\"action\": \"run\"}"), "{why}");
        }
    }

    #[test]
    fn a_channel_is_found_by_its_name_or_all_names_are_said() {
        let org = |key: &str, names: &[&str]| {
            let channel = |name: &&str| {
                format!("[[notify.channels]]\nname = \"{name}\"\ntype = \"slack\"\nurl = \"NOTIFY_A\"\n")
            };
            let text: String = names.iter().map(channel).collect();
            let settings = Configuration::parse_stored(&text).unwrap().notify;
            NotifyOrg { key: key.to_owned(), settings, time_zone: TimeZone::UTC }
        };
        let orgs = [org("acme", &["ops", "team"]), org("beta", &["ops"])];
        let found =
            |name, key| find_channel(&orgs, name, key).map(|(org, channel)| (&*org.key, &*channel.name));
        assert_eq!(found("team", None).unwrap(), ("acme", "team"));
        assert_eq!(found("ops", Some("beta")).unwrap(), ("beta", "ops"));
        assert!(found("ops", None).unwrap_err().to_string().contains("\"org\""));
        assert!(found("opps", Some("acme")).unwrap_err().to_string().ends_with("ops, team"));
    }
}
