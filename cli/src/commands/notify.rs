//! `notify`: the channels of notifications.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use clap::{Args, Subcommand};
use gam_model::ChannelSettings;
use gam_model::notify::{DigestPeriod, SecretName};
use gam_notify::{
    ChannelStatus, DigestRequest, FactSource as _, NotifyOrg, SendOutcome, SentMessage, channel_status,
    list_messages,
};
use gam_store::RecordStore;
use serde_json::{Value, json};

use crate::args::{self, OutputFormat};
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::{csv_text, tsv_text, utc};
use crate::notify::{EnvironmentSecrets, facts, notifier};
use crate::open::OpenStore;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics notify list
  github-metrics notify test ops             sends a message to the channel ops at once
  github-metrics notify digest acme          the numbers of the last seven days
  github-metrics notify history acme         what was sent, and what was refused

`github-metrics config set FILE` sets channels and rules: [notify], [[notify.channels]],
[[notify.rules]], [[notify.digests]]. Secrets are variables that it names, such as NOTIFY_OPS_URL.
`up` and `serve` send notifications.";

/// Number of messages that `history` prints.
const MAX_MESSAGES: usize = 100;

/// Arguments of `notify`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    action: NotifyAction,
}

#[derive(Subcommand)]
enum NotifyAction {
    /// List channels: whether they work, and what waits
    List {
        /// Organization [default: all]
        #[arg(value_name = "ORG", value_parser = args::org)]
        org: Option<String>,
    },
    /// Send a message to a channel at once
    Test {
        /// Name of the channel
        #[arg(value_name = "CHANNEL")]
        channel: String,
        /// Organization [default: the one that has the channel]
        #[arg(long, value_name = "ORG", value_parser = args::org)]
        org: Option<String>,
    },
    /// Print a digest of the last complete day or week, or send it to a channel at once
    Digest(NotifyDigestArgs),
    /// List the messages of the last 30 days, the newest first
    History {
        /// Organization
        #[arg(value_name = "ORG", value_parser = args::org)]
        org: String,
    },
}

#[derive(Args)]
struct NotifyDigestArgs {
    /// Organization
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: String,
    /// Length of the period
    #[arg(long, value_name = "day|week", default_value = "week", value_parser = period)]
    every: DigestPeriod,
    /// Day after the last one [default: today, in the time zone of digests]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    until: Option<NaiveDate>,
    /// Only this repository; can be repeated
    #[arg(long = "repo", value_name = "REPO", value_parser = args::repo)]
    repos: Vec<String>,
    /// Only this member; can be repeated
    #[arg(long = "member", value_name = "LOGIN")]
    members: Vec<String>,
    /// Channel to send it to
    #[arg(long, value_name = "CHANNEL")]
    send: Option<String>,
}

fn period(text: &str) -> Result<DigestPeriod, String> {
    match text {
        "day" => Ok(DigestPeriod::Day),
        "week" => Ok(DigestPeriod::Week),
        _ => Err("expected day or week".to_owned()),
    }
}

/// Lists channels or messages, or sends a test.
pub(crate) async fn run(session: &CliSession, args: NotifyArgs) -> anyhow::Result<Exit> {
    let store = match args.action {
        NotifyAction::Test { .. } | NotifyAction::Digest(_) => {
            OpenStore::open_existing_for_writing(&session.settings).await?
        }
        _ => OpenStore::open_existing(&session.settings).await?,
    };
    let done = match args.action {
        NotifyAction::List { org } => list(session, &store, org.as_deref()).await,
        NotifyAction::Test { channel, org } => test(session, &store, (&channel, org.as_deref())).await,
        NotifyAction::Digest(args) => digest(session, &store, args).await,
        NotifyAction::History { org } => history(session, &store, &org).await,
    };
    store.close().await;
    done
}

/// A channel with its organization and its status.
pub(crate) struct ListedChannel {
    /// The organization.
    pub(crate) org: NotifyOrg,
    /// The channel.
    pub(crate) settings: ChannelSettings,
    /// Whether it works.
    pub(crate) status: ChannelStatus,
    /// Whether another process may send, which has the secrets: a function on AWS.
    may_send_elsewhere: bool,
}

impl ListedChannel {
    /// Returns why the channel does not work, or `None` if nothing is known to be wrong.
    pub(crate) fn problem(&self) -> Option<String> {
        let broken = self.status.why.clone().filter(|_| self.status.is_broken);
        // Whoever sends has the secrets, even if this process does not.
        if self.may_send_elsewhere {
            return broken;
        }
        let missing =
            self.settings.secret_names().into_iter().find_map(|name| EnvironmentSecrets::value(name).err());
        missing.or(broken)
    }
}

/// Returns what is wrong with channels of the store, and their number; `None` if there is none.
pub(crate) async fn problems(store: &OpenStore) -> anyhow::Result<Option<(usize, Vec<String>)>> {
    let listed = channels(store, None).await?;
    let problem = |channel: &ListedChannel| {
        let why = channel.problem()?;
        Some(format!("the channel {} of {} does not work: {why}", channel.settings.name, channel.org.key))
    };
    Ok((!listed.is_empty()).then(|| (listed.len(), listed.iter().filter_map(problem).collect())))
}

/// Returns the channels of all organizations, or of one.
pub(crate) async fn channels(store: &OpenStore, org: Option<&str>) -> anyhow::Result<Vec<ListedChannel>> {
    let key = match org {
        Some(org) => Some(store.registry().await?.key_of(org)),
        None => None,
    };
    let ports = store.audit_ports_for_reading();
    let now = ports.clock.now();
    let mut listed = Vec::new();
    for org in facts(store, ports.records.clone()).orgs().await? {
        if key.as_ref().is_some_and(|key| *key != org.key) {
            continue;
        }
        for settings in &org.settings.channels {
            let status = channel_status(&*ports.records, (&org.key, &settings.name), now).await?;
            let may_send_elsewhere = store.is_table();
            listed.push(ListedChannel {
                org: org.clone(),
                settings: settings.clone(),
                status,
                may_send_elsewhere,
            });
        }
    }
    Ok(listed)
}

async fn list(session: &CliSession, store: &OpenStore, org: Option<&str>) -> anyhow::Result<Exit> {
    let listed = channels(store, org).await?;
    if session.wants_json() {
        let channels: Vec<Value> = listed.iter().map(as_json).collect();
        session.console.write_result(json!({ "channels": channels }).to_string())?;
        return Ok(Exit::Success);
    }
    if listed.is_empty() {
        session.console.print_info(
            "there are no channels: add [[notify.channels]] to the configuration; `github-metrics help notify` shows how",
        );
    }
    let rows = listed.iter().map(|channel| {
        let ListedChannel { org, settings, status, .. } = channel;
        let state = match channel.problem() {
            Some(why) => format!("broken: {why}"),
            None if status.paused_until.is_some() => "paused".to_owned(),
            None => "works".to_owned(),
        };
        vec![
            org.key.clone(),
            settings.name.clone(),
            settings.kind.as_str().to_owned(),
            state,
            (status.waiting + status.digests as u64).to_string(),
            status.last_sent.map_or_else(|| "never".to_owned(), utc),
        ]
    });
    print_rows(session, &["ORG", "CHANNEL", "TYPE", "STATE", "WAITING", "LAST SENT"], rows.collect())
}

fn as_json(channel: &ListedChannel) -> Value {
    let ListedChannel { org, settings, status, .. } = channel;
    let secrets: Vec<&str> = settings.secret_names().into_iter().map(SecretName::as_str).collect();
    json!({
        "org": org.key,
        "channel": settings.name,
        "type": settings.kind.as_str(),
        "secrets": secrets,
        "problem": channel.problem(),
        "status": status,
    })
}

fn print_rows(session: &CliSession, header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<Exit> {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let text = match session.settings.format {
        Some(OutputFormat::Csv) => csv_text(&header, rows)?,
        _ => tsv_text(&header, &rows),
    };
    session.console.write_data(session.for_stdout(text))?;
    Ok(Exit::Success)
}

async fn test(
    session: &CliSession,
    store: &OpenStore,
    (name, org): (&str, Option<&str>),
) -> anyhow::Result<Exit> {
    let listed = channels(store, org).await?;
    let mut found = listed.iter().filter(|channel| channel.settings.name == name);
    let Some(channel) = found.next() else {
        let names: Vec<&str> = listed.iter().map(|channel| channel.settings.name.as_str()).collect();
        return Err(usage_error(format!(
            "there is no channel {name:?}: the channels are {}",
            names.join(", ")
        )));
    };
    if found.next().is_some() {
        return Err(usage_error(format!(
            "several organizations have a channel {name:?}: name one with --org"
        )));
    }
    let notifier = notifier(&session.settings, store)?
        .ok_or_else(|| failure("the store cannot be written: give this user permission"))?;
    match notifier.test(&channel.org, &channel.settings).await {
        SendOutcome::Sent => {
            session.console.print_info(format!("sent a test to the channel {name}: look whether it arrived"));
            Ok(Exit::Success)
        }
        outcome => Err(failure(format!(
            "cannot send to the channel {name}: {}",
            outcome.why().unwrap_or("for an unknown reason")
        ))),
    }
}

/// Prints a digest, and sends it if a channel is named.
async fn digest(session: &CliSession, store: &OpenStore, args: NotifyDigestArgs) -> anyhow::Result<Exit> {
    let notifier = notifier(&session.settings, store)?
        .ok_or_else(|| failure("the store cannot be written: give this user permission"))?;
    let key = store.registry().await?.key_of(&args.org);
    // Also of an organization without channels.
    let org = facts(store, store.audit_ports_for_reading().records).settings(&key).await?;
    let until = args.until.unwrap_or_else(|| org.zone().day(store.clock().now()));
    let request = DigestRequest {
        org: org.key.clone(),
        every: args.every,
        since: until - Days::new(u64::from(args.every.days())),
        until,
        repositories: args.repos,
        members: args.members,
    };
    let content =
        notifier.make_digest("now", &request).await?.ok_or_else(|| failure("there are no numbers"))?;
    if session.wants_json() {
        session.console.write_result(json!(content).to_string())?;
    } else {
        let message = notifier.digest_message(&org, &content, org.settings.language);
        let lines = message
            .lines
            .iter()
            .map(|line| if line.is_heading { line.text.clone() } else { format!("  {}", line.text) });
        let text: Vec<String> = std::iter::once(message.title.clone()).chain(lines).collect();
        session.console.write_data(session.for_stdout(text.join("\n") + "\n"))?;
    }
    let Some(name) = args.send else { return Ok(Exit::Success) };
    let Some(channel) = org.settings.channel(&name) else {
        return Err(usage_error(format!(
            "there is no channel {name:?}: `github-metrics notify list` lists the channels"
        )));
    };
    match notifier.send_digest(&org, channel, &content).await.why() {
        None => Ok(Exit::Success),
        Some(why) => Err(failure(format!("cannot send to the channel {name}: {why}"))),
    }
}

async fn history(session: &CliSession, store: &OpenStore, org: &str) -> anyhow::Result<Exit> {
    let ports = store.audit_ports_for_reading();
    let key = store.registry().await?.key_of(org);
    let records: Arc<dyn RecordStore> = ports.records;
    let messages = list_messages(&*records, &key, MAX_MESSAGES, ports.clock.now()).await?;
    if session.wants_json() {
        session.console.write_result(json!({ "messages": messages }).to_string())?;
        return Ok(Exit::Success);
    }
    let row = |message: SentMessage| {
        let result = message.refused.map_or_else(|| "sent".to_owned(), |why| format!("refused: {why}"));
        vec![utc(message.at), message.channel, result, message.title]
    };
    print_rows(session, &["TIME", "CHANNEL", "RESULT", "TITLE"], messages.into_iter().map(row).collect())
}
