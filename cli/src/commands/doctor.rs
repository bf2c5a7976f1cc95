//! `doctor`: checks what the other commands need. Each line says what to do about a problem.

mod sessions;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use gam_aggregate::orgs_in_lake;
use gam_github::{AppDiagnosis, Client, Diagnosis, Permissions, Quota};
use gam_lake::{configuration, paths, registry, snapshot};
use gam_model::{Clock, SystemClock};
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, OrgCheckpoint};
use serde_json::json;

use super::{hook, notify};
use crate::answer;
use crate::args::{self, GitHubOptions};
use crate::config;
use crate::error::one_line;
use crate::exit::Exit;
use crate::format::{count, duration, integer, utc_from};
use crate::location::{LakeLocation, StoreLocation};
use crate::open::{OpenStore, open_lake, open_lake_for_reading, store_exists};
use crate::session::CliSession;
use crate::settings::CliSettings;
use crate::terminal_text::escaped;

const EXAMPLES: &str = "\
Examples:
  github-metrics doctor
  github-metrics doctor acme          also the permissions of the token in acme
  github-metrics doctor --data-dir /srv/metrics --format json";

/// The time limit of all requests to GitHub together.
const GITHUB_TIMEOUT: Duration = Duration::from_secs(10);
/// The permission that collecting works without.
const MEMBERS: &str = "Members";
/// The difference from GitHub's clock, in seconds, from which on tokens and windows may fail.
const MAX_CLOCK_SKEW_SECONDS: i64 = 60;

/// Arguments of `doctor`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Organization in which to check the token's permissions
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckState {
    Fine,
    /// It works, but perhaps not as intended.
    Doubtful,
    Broken,
}

impl CheckState {
    fn as_str(self) -> &'static str {
        match self {
            CheckState::Fine => "fine",
            CheckState::Doubtful => "doubtful",
            CheckState::Broken => "broken",
        }
    }

    /// Returns a character that shows the state. The locale may have no characters beyond ASCII.
    fn symbol(self, has_unicode: bool) -> &'static str {
        match self {
            CheckState::Fine if has_unicode => "✓",
            CheckState::Fine => "+",
            CheckState::Doubtful => "!",
            CheckState::Broken if has_unicode => "✗",
            CheckState::Broken => "x",
        }
    }
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    state: CheckState,
    check: &'static str,
    text: String,
}

/// Reads the footer of every snapshot, and looks for months that the store knows and the lake has lost. `None` if
/// there is nothing to check, or the lake or the store cannot be opened, which other checks report.
async fn check_snapshots(settings: &CliSettings) -> Option<Finding> {
    let objects = open_lake_for_reading(&settings.lake).await.ok()?;
    let orgs = orgs_in_lake(&*objects).await.ok()?;
    // Another check reports a registry that cannot be read.
    let registry = registry::read(&*objects).await.unwrap_or_default();
    let store = OpenStore::open_existing(settings).await.ok();
    let (mut readable, mut problems) = (0, Vec::new());
    for key in &orgs {
        let org = registry.name_of_stored(key);
        let months = snapshot::months::<gam_lake::Events>(&*objects, key).await.ok()?;
        for month in &months {
            match snapshot::read_stamp::<gam_lake::Events>(&*objects, key, *month).await {
                Ok(_) => readable += 1,
                Err(error) => problems.push(format!("{org}: {}", one_line(&error.into()))),
            }
        }
        let folded = match &store {
            Some(store) => store.folded_months(key).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let lost = folded.into_iter().filter(|month| !months.contains(month));
        problems.extend(lost.map(|month| {
            format!(
                "{org}: the lake has lost the snapshot of {month}: restore it from a backup, or run `github-metrics \
                 collect {org} --again --since {} --until {}`",
                month.first_day(),
                month.end()
            )
        }));
    }
    if let Some(store) = store {
        store.close().await;
    }
    match problems.as_slice() {
        [] if readable == 0 => None,
        [] => Some(fine("snapshots", format!("{} can be read", count(readable, "month", "months")))),
        [first, others @ ..] => {
            let more =
                if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
            Some(broken("snapshots", format!("{first}{more}")))
        }
    }
}

fn fine(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { state: CheckState::Fine, check, text: text.into() }
}

fn doubtful(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { state: CheckState::Doubtful, check, text: text.into() }
}

fn broken(check: &'static str, text: impl Into<String>) -> Finding {
    Finding { state: CheckState::Broken, check, text: text.into() }
}

impl Finding {
    /// Returns the finding on one line. Some of the text comes from GitHub.
    fn line(&self, has_unicode: bool) -> String {
        format!("{} {:<13} {}", self.state.symbol(has_unicode), self.check, escaped(&self.text))
    }
}

/// Runs all checks and prints a line for each.
pub(crate) async fn run(session: &CliSession, args: DoctorArgs) -> anyhow::Result<Exit> {
    let settings = &session.settings;
    let org = match args.org {
        Some(org) => Some(current_name(settings, org).await),
        None => None,
    };
    let mut findings = check_github(settings, org.as_deref()).await;
    findings.push(check_webhooks(settings, org.as_deref()).await);
    findings.push(check_configuration(settings).await);
    findings.push(check_lake(&settings.lake).await);
    findings.extend(check_store(settings).await);
    findings.extend(check_snapshots(settings).await);
    findings.push(check_channels(settings).await);
    findings.extend(sessions::check(session).await);
    if session.wants_json() {
        let checks: Vec<_> = findings
            .iter()
            .map(|it| json!({"check": it.check, "state": it.state.as_str(), "text": it.text}))
            .collect();
        session.console.write_line(json!({ "checks": checks }).to_string())?;
    } else {
        for finding in &findings {
            session.console.write_line(finding.line(session.console.output().has_unicode))?;
        }
    }
    let is_broken = findings.iter().any(|finding| finding.state == CheckState::Broken);
    Ok(if is_broken { Exit::Failed } else { Exit::Success })
}

/// Returns the current name of an organization. Another check reports a registry that cannot be read.
async fn current_name(settings: &CliSettings, org: String) -> String {
    let Ok(objects) = open_lake_for_reading(&settings.lake).await else { return org };
    let registry = registry::read(&*objects).await.unwrap_or_default();
    registry.current_name(&org).to_owned()
}

/// Checks the secret of webhooks, and the webhooks of the organization.
async fn check_webhooks(settings: &CliSettings, org: Option<&str>) -> Finding {
    let org = match (settings.webhook_secrets.read(), org) {
        (Err(error), _) => return broken("webhooks", one_line(&error)),
        (Ok(None), _) => return fine("webhooks", "none: with GITHUB_WEBHOOK_SECRET, a server takes them"),
        (Ok(Some(_)), None) => return fine("webhooks", "there is a secret; run `doctor ORG` to test them"),
        (Ok(Some(_)), Some(org)) => org,
    };
    let checked = tokio::time::timeout(GITHUB_TIMEOUT, hook::problems(settings, org)).await;
    match checked {
        Ok(Ok(Ok(events))) => fine("webhooks", format!("{} in three days", count(events, "event", "events"))),
        Ok(Ok(Err(problems))) => doubtful("webhooks", problems),
        Ok(Err(error)) => doubtful("webhooks", one_line(&error)),
        Err(_) => doubtful("webhooks", "unknown: GitHub did not answer in time"),
    }
}

/// Checks the channels of notifications: their secrets, and whether the last message was sent. Another check reports a
/// store that cannot be opened.
async fn check_channels(settings: &CliSettings) -> Finding {
    let none = || fine("channels", "none: a configuration with [[notify.channels]] adds some");
    let Ok(store) = OpenStore::open_existing(settings).await else { return none() };
    let problems = notify::problems(&store).await;
    store.close().await;
    match problems {
        Err(error) => doubtful("channels", one_line(&error)),
        Ok(None) => none(),
        Ok(Some((number, problems))) if problems.is_empty() => fine(
            "channels",
            format!("{}; run `notify test CHANNEL` to test one", count(number, "channel", "channels")),
        ),
        Ok(Some((_, problems))) => doubtful("channels", problems.join("; ")),
    }
}

/// Checks the token, its rate limits, its permissions and the clock.
async fn check_github(settings: &CliSettings, org: Option<&str>) -> Vec<Finding> {
    // The check reports a limit that is used up, so it does not wait for the reset.
    let answers = match settings.github(&GitHubOptions::WITHOUT_WAITING) {
        Err(error) => Err(one_line(&error)),
        Ok(client) => {
            match tokio::time::timeout(GITHUB_TIMEOUT, query_github(&client.with_one_retry(), org)).await {
                Ok(Ok(answers)) => Ok(answers),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!(
                    "GitHub did not answer within {}: check the network and GITHUB_API_URL, then try again",
                    duration(GITHUB_TIMEOUT)
                )),
            }
        }
    };
    let now = SystemClock.now();
    match answers {
        Ok((diagnosis, permissions)) => {
            let mut findings = Vec::new();
            match &diagnosis.app {
                Some(app) => findings.extend(app_findings(app)),
                None => findings.extend([
                    token_finding(&diagnosis, org.is_some()),
                    quota_finding("REST limit", diagnosis.rest.as_ref(), now),
                    quota_finding("GraphQL limit", diagnosis.graphql.as_ref(), now),
                ]),
            }
            if let (Some(org), Some(permissions)) = (org, permissions) {
                findings.push(permissions_finding(org, permissions));
            }
            findings.push(clock_finding(diagnosis.server_time, now));
            findings
        }
        Err(why) => {
            let unknown = |check| doubtful(check, "unknown: GitHub could not be checked");
            vec![broken("token", why), unknown("REST limit"), unknown("GraphQL limit"), unknown("clock")]
        }
    }
}

async fn query_github(
    client: &Client,
    org: Option<&str>,
) -> Result<(Diagnosis, Option<Result<Permissions, gam_github::Error>>), gam_github::Error> {
    let diagnosis = client.diagnose().await?;
    let permissions = match org {
        Some(org) => Some(client.permissions(org).await),
        None => None,
    };
    Ok((diagnosis, permissions))
}

/// Returns a finding on the app, and one on each of its installations.
fn app_findings(app: &AppDiagnosis) -> Vec<Finding> {
    let mut findings = vec![match app.installed_in.len() {
        0 => {
            broken("app", format!("{} is valid, but not installed: install it in the organization", app.name))
        }
        number => {
            let installations = count(number, "installation", "installations");
            fine("app", format!("{} is valid: {installations}, each with its own rate limits", app.name))
        }
    }];
    let installed_in = app.installed_in.iter();
    findings.extend(
        installed_in.map(|(org, missing)| missing_permissions_finding(org, missing, "in the app's settings")),
    );
    findings
}

fn permissions_finding(org: &str, permissions: Result<Permissions, gam_github::Error>) -> Finding {
    match permissions {
        Err(gam_github::Error::Limited { .. }) => {
            doubtful("permissions", "unknown while the rate limit is used up")
        }
        Err(error) => broken("permissions", error.to_string()),
        Ok(Permissions { repos: 0, missing }) if missing.iter().all(|name| *name == MEMBERS) => {
            let members = if missing.is_empty() { "" } else { "; Members: read is missing too" };
            doubtful(
                "permissions",
                format!("the token can see no repository of {org}: give it access to them{members}"),
            )
        }
        Ok(Permissions { missing, .. }) => missing_permissions_finding(org, &missing, "to the token"),
    }
}

/// Returns a finding on missing permissions. Only `Members` is optional: it lists members without activity.
fn missing_permissions_finding(org: &str, missing: &BTreeSet<&'static str>, grantee: &str) -> Finding {
    if missing.is_empty() {
        return fine("permissions", format!("everything in {org} can be read"));
    }
    let names: Vec<String> = missing.iter().map(|name| format!("{name}: read")).collect();
    let mut text = format!("missing in {org}: {}; grant what is missing {grantee}", names.join(", "));
    if missing.contains(MEMBERS) {
        text.push_str("; without Members, all activity is counted, but members without activity are unknown");
    }
    if missing.iter().all(|name| *name == MEMBERS) {
        doubtful("permissions", text)
    } else {
        broken("permissions", text)
    }
}

fn token_finding(diagnosis: &Diagnosis, are_permissions_checked: bool) -> Finding {
    let valid = match &diagnosis.login {
        Some(login) => format!("valid (user {login})"),
        None if diagnosis.is_limited => {
            "valid (GitHub does not report the user while the rate limit is used up)".to_owned()
        }
        None => "valid (token of an app)".to_owned(),
    };
    let next = if are_permissions_checked { "" } else { ", run `doctor ORG` to test them" };
    let Some(scopes) = &diagnosis.scopes else {
        return fine("token", format!("{valid}; fine-grained token: its permissions cannot be listed{next}"));
    };
    // GitHub does not distinguish a classic token without scopes from one whose permissions it hides.
    if scopes.trim().is_empty() {
        return fine(
            "token",
            format!(
                "{valid}; no scopes: it reads public repositories only, or its permissions are hidden{next}"
            ),
        );
    }
    if scopes.split(',').any(|scope| scope.trim() == "repo") {
        fine("token", format!("{valid}; scopes {scopes}"))
    } else {
        doubtful(
            "token",
            format!("{valid}; scopes {scopes}: add the scope repo to read private repositories"),
        )
    }
}

fn quota_finding(check: &'static str, quota: Option<&Quota>, now: DateTime<Utc>) -> Finding {
    let Some(Quota { limit, remaining, reset }) = quota else {
        return fine(check, "this server has none");
    };
    let left = format!("{} of {} left", integer(*remaining), integer(*limit));
    let reset = utc_from(now, *reset);
    if *remaining == 0 {
        broken(check, format!("{left}: wait for the reset at {reset}, or use another token"))
    } else {
        fine(check, format!("{left}, resets at {reset}"))
    }
}

fn clock_finding(server: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Finding {
    let Some(server) = server else {
        return doubtful("clock", "unknown: GitHub did not send its time");
    };
    let ahead_seconds = (now - server).num_seconds();
    let direction = if ahead_seconds > 0 { "ahead of" } else { "behind" };
    match ahead_seconds.abs() {
        0..=1 => fine("clock", "agrees with GitHub's clock"),
        seconds @ 2..MAX_CLOCK_SKEW_SECONDS => {
            fine("clock", format!("{seconds} s {direction} GitHub's clock"))
        }
        seconds => broken(
            "clock",
            format!(
                "{seconds} s {direction} GitHub's clock: set the clock of this machine, for example by NTP"
            ),
        ),
    }
}

async fn check_configuration(settings: &CliSettings) -> Finding {
    let summaries = async {
        let objects = open_lake_for_reading(&settings.lake).await?;
        let mut summaries = Vec::new();
        let Ok(orgs) = orgs_in_lake(&*objects).await else {
            return Ok(doubtful("configuration", "not read: the lake cannot be listed"));
        };
        let registry = registry::read(&*objects).await?;
        for key in orgs {
            let org = registry.name_of_stored(&key);
            let revision = configuration::latest(&*objects, &key).await?;
            if let Some(hint) = config::unread_file_hint(org, &revision) {
                return Ok(doubtful("configuration", hint));
            }
            summaries.push(match revision.number {
                0 => format!("{org}: none"),
                number => format!("{org}: revision {number} ({})", revision.configuration.summary()),
            });
        }
        let none = || "none: there are no organizations yet".to_owned();
        let text = if summaries.is_empty() { none() } else { summaries.join("; ") };
        Ok::<_, anyhow::Error>(fine("configuration", text))
    };
    summaries.await.unwrap_or_else(|error| broken("configuration", one_line(&error)))
}

async fn check_lake(location: &LakeLocation) -> Finding {
    if let LakeLocation::Dir(dir) = location
        && let Some(finding) = missing_path_finding("lake", dir)
    {
        return finding;
    }
    let counts = async {
        // Opening a directory writes to it.
        let objects = open_lake(location).await?;
        let batches = objects.list(&paths::inbox_root::<gam_lake::Events>()).await?.len();
        let snapshots = objects.list(&paths::snapshots_root::<gam_lake::Events>()).await?.len();
        Ok::<_, anyhow::Error>((batches, snapshots))
    };
    match counts.await {
        Ok((batches, snapshots)) => {
            let batches = count(batches, "inbox batch", "inbox batches");
            let snapshots = count(snapshots, "month snapshot", "month snapshots");
            let access =
                if matches!(location, LakeLocation::Dir(_)) { "is writable" } else { "can be listed" };
            fine("lake", format!("{location} {access}: {batches}, {snapshots}"))
        }
        Err(error) => broken("lake", one_line(&error)),
    }
}

/// Checks that the store opens, and lists what is missing in it.
async fn check_store(settings: &CliSettings) -> Vec<Finding> {
    if let StoreLocation::Sqlite(path) = &settings.store
        && let Some(finding) = missing_path_finding("store", path)
    {
        return vec![finding];
    }
    match store_exists(&settings.store).await {
        Ok(true) => {}
        Ok(false) => {
            let text = format!("{} holds no store yet; it is created when needed", settings.store);
            return vec![fine("store", text)];
        }
        Err(error) => return vec![broken("store", one_line(&error))],
    }
    let orgs = async {
        let store = OpenStore::open(settings).await?;
        let orgs = store.orgs().await;
        let gaps = match &orgs {
            Ok(orgs) => read_gaps(&store, orgs).await,
            Err(_) => Ok(Vec::new()),
        };
        store.close().await;
        anyhow::Ok((orgs?, gaps?))
    };
    match orgs.await {
        Ok((orgs, gaps)) => {
            let orgs = count(orgs.len(), "organization", "organizations");
            let version = env!("CARGO_PKG_VERSION");
            let opens =
                fine("store", format!("{} opens with github-metrics {version}: {orgs}", settings.store));
            std::iter::once(opens).chain(gaps_finding(&gaps)).collect()
        }
        Err(error) => vec![broken("store", one_line(&error))],
    }
}

/// Returns what is missing of each organization, as lines.
async fn read_gaps(store: &OpenStore, orgs: &[String]) -> anyhow::Result<Vec<String>> {
    let (checkpoints, mut lines) = (store.query_ports().checkpoints, Vec::new());
    let registry = store.registry().await.unwrap_or_default();
    for org in orgs {
        let key = CheckpointKey::Org(org.clone());
        let checkpoint: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*checkpoints, &key).await?;
        let org = registry.name_of_stored(org);
        let (gaps, all) = checkpoint.value.list_gaps(None);
        lines.extend(gaps.iter().map(|gap| format!("{org}/{}", answer::gap_text(gap))));
        if all > gaps.len() as u64 {
            lines.push(format!("{} more in {org}", all - gaps.len() as u64));
        }
    }
    Ok(lines)
}

/// Returns a finding on what is missing; `None` if nothing is.
fn gaps_finding(gaps: &[String]) -> Option<Finding> {
    let text = || format!("{} in the data: {}", count(gaps.len(), "gap", "gaps"), gaps.join("; "));
    (!gaps.is_empty()).then(|| doubtful("gaps", text()))
}

/// Returns a finding on a local path that does not exist, or `None` if it exists.
fn missing_path_finding(check: &'static str, path: &Path) -> Option<Finding> {
    match path.try_exists() {
        Ok(true) => None,
        Ok(false) => Some(creatable_path_finding(check, path)),
        Err(error) => Some(broken(check, format!("cannot read {}: {error}", path.display()))),
    }
}

/// Checks that a missing path can be created.
fn creatable_path_finding(check: &'static str, path: &Path) -> Finding {
    let display = path.display();
    let ancestor = path.ancestors().skip(1).find(|dir| dir.as_os_str().is_empty() || dir.exists());
    let ancestor = ancestor.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(ancestor) {
        Ok(_) => fine(check, format!("{display} does not exist yet; it is created when needed")),
        Err(error) => broken(
            check,
            format!(
                "cannot create {display} ({error}): make {} writable, or use another --data-dir",
                ancestor.display()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    #[test]
    fn a_line_has_a_symbol_and_is_aligned() {
        assert_eq!(broken("lake", "gone").line(true), "✗ lake          gone");
        assert_eq!(fine("lake", "a\u{1b}[2J").line(false), "+ lake          a\\u{1b}[2J");
    }

    #[test]
    fn a_classic_token_needs_the_scope_repo() {
        let diagnosis = |scopes: Option<&str>| Diagnosis {
            login: Some("ann".into()),
            scopes: scopes.map(str::to_owned),
            ..Diagnosis::default()
        };
        assert_eq!(token_finding(&diagnosis(Some("read:org, repo")), false).state, CheckState::Fine);
        let without_scopes = token_finding(&diagnosis(Some("")), false);
        assert_eq!(without_scopes.state, CheckState::Fine);
        assert!(without_scopes.text.contains("public repositories only, or its permissions are hidden"));
        let public = token_finding(&diagnosis(Some("public_repo")), false);
        assert_eq!(public.state, CheckState::Doubtful);
        assert!(public.text.contains("ann") && public.text.contains("scope repo"));
    }

    #[test]
    fn a_fine_grained_token_is_explained() {
        let diagnosis = Diagnosis { login: Some("u-viewer".into()), ..Diagnosis::default() };
        assert_eq!(
            token_finding(&diagnosis, false),
            fine(
                "token",
                "valid (user u-viewer); fine-grained token: its permissions cannot be listed, run `doctor ORG` to \
                 test them"
            )
        );
        assert!(token_finding(&diagnosis, true).text.ends_with("cannot be listed"));
        let anonymous =
            |is_limited| token_finding(&Diagnosis { is_limited, ..Diagnosis::default() }, false).text;
        assert!(anonymous(false).contains("token of an app"));
        assert!(anonymous(true).contains("does not report the user"));
    }

    #[test]
    fn missing_permissions_are_named() {
        let missing = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
        let findings = app_findings(&AppDiagnosis {
            name: "Counter".into(),
            installed_in: vec![
                ("acme".into(), missing(&["Issues", "Deployments"])),
                ("b".into(), missing(&[])),
            ],
        });
        let states: Vec<CheckState> = findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [CheckState::Fine, CheckState::Broken, CheckState::Fine]);
        assert!(
            findings[1].text.contains("missing in acme: Deployments: read, Issues: read"),
            "{:?}",
            findings[1]
        );
        assert_eq!(app_findings(&AppDiagnosis::default())[0].state, CheckState::Broken);
    }

    #[test]
    fn only_members_is_an_optional_permission() {
        let finding = |repos, names: &[&'static str]| {
            let missing = names.iter().copied().collect::<BTreeSet<_>>();
            permissions_finding("acme", Ok(Permissions { repos, missing }))
        };
        assert_eq!(finding(3, &[]).state, CheckState::Fine);
        assert_eq!(finding(0, &[]).state, CheckState::Doubtful);
        assert_eq!(finding(3, &["Members"]).state, CheckState::Doubtful);
        assert_eq!(finding(3, &["Contents"]).state, CheckState::Broken);
        assert!(finding(3, &["Members"]).text.contains("all activity is counted"));
        let hidden = finding(0, &["Members"]);
        assert!(hidden.text.contains("no repository") && hidden.text.contains("Members: read"), "{hidden:?}");
        let without_metadata = finding(0, &["Metadata", "Members"]);
        assert_eq!(without_metadata.state, CheckState::Broken, "without Metadata no repository is visible");
    }

    #[test]
    fn a_used_up_limit_is_reported_with_its_reset() {
        let reset = now() + TimeDelta::minutes(10);
        let left =
            |remaining| quota_finding("REST limit", Some(&Quota { limit: 5000, remaining, reset }), now());
        assert_eq!(left(4999).text, "4,999 of 5,000 left, resets at 2023-11-14 22:23:20 UTC (in 10m)");
        assert_eq!((left(1).state, left(0).state), (CheckState::Fine, CheckState::Broken));
        assert_eq!(quota_finding("REST limit", None, now()).state, CheckState::Fine);
    }

    #[test]
    fn the_clock_may_differ_by_less_than_a_minute() {
        let clock = |seconds| clock_finding(Some(now() - TimeDelta::seconds(seconds)), now());
        for seconds in [0, 59, -59] {
            assert_eq!(clock(seconds).state, CheckState::Fine, "{seconds}");
        }
        assert_eq!((clock(60).state, clock(-60).state), (CheckState::Broken, CheckState::Broken));
        assert!(clock(90).text.starts_with("90 s ahead of") && clock(-90).text.starts_with("90 s behind"));
        assert_eq!(clock_finding(None, now()).state, CheckState::Doubtful);
    }

    #[test]
    fn a_missing_path_is_fine_if_it_can_be_created() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(creatable_path_finding("lake", &dir.path().join("a/b/c")).state, CheckState::Fine);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let blocked = creatable_path_finding("lake", &file.join("lake"));
        assert_eq!(blocked.state, CheckState::Broken, "{blocked:?}");
    }
}
