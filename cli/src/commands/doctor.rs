//! `doctor`: checks what the other commands need, one line each, with the mend.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use gam_github::{AppDiagnosis, Client, Diagnosis, Permissions, Quota};
use gam_lake::paths;
use gam_model::{Clock, SystemClock};
use serde_json::json;

use super::Session;
use crate::args::{self, Limits};
use crate::exit::{Exit, sentence};
use crate::format::{count, moment_from, number, span};
use crate::location::{LakeLocation, StoreLocation};
use crate::open::{self, OpenStore};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  github-metrics doctor
  github-metrics doctor acme          and what the token may not read in acme
  github-metrics doctor --data-dir /srv/metrics --format json";

/// How long GitHub may take to answer all questions.
const PATIENCE: Duration = Duration::from_secs(10);
/// The permission that collecting can do without.
const MEMBERS: &str = "Members";
/// How far this machine's clock may be off.
const MAX_SKEW_SECONDS: i64 = 60;

/// Arguments of `doctor`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// The organization whose permissions are to be checked
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: Option<String>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fine,
    /// It works, but perhaps not as wished.
    Doubtful,
    Broken,
}

/// A check's outcome.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    state: State,
    what: &'static str,
    text: String,
}

fn finding(state: State, what: &'static str, text: impl Into<String>) -> Finding {
    Finding { state, what, text: text.into() }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Fine => "✓",
            State::Doubtful => "!",
            State::Broken => "✗",
        };
        write!(f, "{mark} {:<13} {}", self.what, self.text)
    }
}

/// Checks everything, and tells it line by line.
pub(super) async fn run(session: &Session, args: Doctor) -> anyhow::Result<Exit> {
    let settings = &session.settings;
    let mut findings = github(settings, args.org.as_deref()).await;
    findings.push(configuration(settings));
    findings.push(lake(&settings.lake).await);
    findings.push(store(settings).await);
    if session.wants_json() {
        let checks: Vec<_> = findings
            .iter()
            .map(|it| json!({"check": it.what, "state": format!("{:?}", it.state).to_lowercase(), "text": it.text}))
            .collect();
        session.console.line(json!({ "checks": checks }).to_string())?;
    } else {
        for finding in &findings {
            session.console.line(finding.to_string())?;
        }
    }
    let is_broken = findings.iter().any(|finding| finding.state == State::Broken);
    Ok(if is_broken { Exit::Failed } else { Exit::Done })
}

/// The token, the limits and the clock: one conversation with GitHub.
async fn github(settings: &Settings, org: Option<&str>) -> Vec<Finding> {
    // Limits that are used up are what is asked about, so nothing is waited for.
    let diagnosis = match settings.github(&Limits::AT_ONCE) {
        Err(error) => Err(sentence(&error)),
        Ok(client) => match tokio::time::timeout(PATIENCE, ask(&client.with_one_retry(), org)).await {
            Ok(Ok(diagnosis)) => Ok(diagnosis),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "GitHub did not answer within {}: check the network and GITHUB_API_URL, then try again",
                span(PATIENCE)
            )),
        },
    };
    let now = SystemClock.now();
    match diagnosis {
        Ok((diagnosis, permissions)) => {
            let mut findings = Vec::new();
            match &diagnosis.app {
                Some(found) => findings.extend(app(found)),
                None => findings.extend([
                    token(&diagnosis),
                    quota("REST limit", diagnosis.rest.as_ref(), now),
                    quota("GraphQL limit", diagnosis.graphql.as_ref(), now),
                ]),
            }
            if let (Some(org), Some(permissions)) = (org, permissions) {
                findings.push(permitted(org, permissions));
            }
            findings.push(clock(diagnosis.server_time, now));
            findings
        }
        Err(why) => {
            let unknown = |what| {
                finding(State::Doubtful, what, "not known, because GitHub was not reached with a token")
            };
            let token = finding(State::Broken, "token", why);
            vec![token, unknown("REST limit"), unknown("GraphQL limit"), unknown("clock")]
        }
    }
}

type Answers = (Diagnosis, Option<Result<Permissions, gam_github::Error>>);

async fn ask(client: &Client, org: Option<&str>) -> Result<Answers, gam_github::Error> {
    let diagnosis = client.diagnose().await?;
    let permissions = match org {
        Some(org) => Some(client.permissions(org).await),
        None => None,
    };
    Ok((diagnosis, permissions))
}

/// An app, and each of its installations.
fn app(app: &AppDiagnosis) -> Vec<Finding> {
    let mut findings = vec![match app.installed_in.len() {
        0 => {
            let text =
                format!("{} is accepted, but installed nowhere: install it in the organization", app.name);
            finding(State::Broken, "app", text)
        }
        some => {
            let places = count(some, "installation", "installations");
            finding(
                State::Fine,
                "app",
                format!("{} is accepted: {places}, each with limits of its own", app.name),
            )
        }
    }];
    findings
        .extend(app.installed_in.iter().map(|(org, missing)| lacking(org, missing, "in the app's settings")));
    findings
}

fn permitted(org: &str, permissions: Result<Permissions, gam_github::Error>) -> Finding {
    match permissions {
        Err(gam_github::Error::Limited { .. }) => {
            finding(State::Doubtful, "permissions", "not known while the limit is used up")
        }
        Err(error) => finding(State::Broken, "permissions", error.to_string()),
        Ok(Permissions { repos: 0, missing }) if missing.iter().all(|name| *name == MEMBERS) => {
            let too = if missing.is_empty() { "" } else { "; Members: read is missing too" };
            let text = format!("no repository of {org} is shown: give the token access to them{too}");
            finding(State::Doubtful, "permissions", text)
        }
        Ok(Permissions { missing, .. }) => lacking(org, &missing, "to the token"),
    }
}

/// Which permissions are missing. Who the members are is worth knowing, but nothing depends on it.
fn lacking(org: &str, missing: &BTreeSet<&'static str>, place: &str) -> Finding {
    if missing.is_empty() {
        return finding(State::Fine, "permissions", format!("in {org} everything can be read"));
    }
    let state = if missing.iter().all(|name| *name == MEMBERS) { State::Doubtful } else { State::Broken };
    let names: Vec<String> = missing.iter().map(|name| format!("{name}: read")).collect();
    let mut text = format!("missing in {org}: {}; grant them {place}", names.join(", "));
    if missing.contains(MEMBERS) {
        text.push_str("; without Members all is counted, but who has done nothing yet is not known");
    }
    finding(state, "permissions", text)
}

fn token(diagnosis: &Diagnosis) -> Finding {
    let owner = match &diagnosis.login {
        Some(login) => format!("accepted, it is {login}'s"),
        None if diagnosis.is_limited => {
            "accepted; GitHub does not say whose it is while its limit is used up".to_owned()
        }
        None => "accepted, it is an app's".to_owned(),
    };
    let Some(scopes) = diagnosis.scopes.as_deref().filter(|scopes| !scopes.trim().is_empty()) else {
        return finding(State::Fine, "token", format!("{owner}; it has permissions, or public access only"));
    };
    let has = |wanted: &str| scopes.split(',').any(|scope| scope.trim() == wanted);
    if has("repo") {
        finding(State::Fine, "token", format!("{owner}; scopes {scopes}"))
    } else {
        let text = format!("{owner}; scopes {scopes}: add the scope repo to see private repositories");
        finding(State::Doubtful, "token", text)
    }
}

fn quota(what: &'static str, quota: Option<&Quota>, now: DateTime<Utc>) -> Finding {
    let Some(Quota { limit, remaining, reset }) = quota else {
        return finding(State::Fine, what, "none on this server");
    };
    let left = format!("{} of {} left", number(*remaining), number(*limit));
    let reset = moment_from(now, *reset);
    if *remaining == 0 {
        finding(
            State::Broken,
            what,
            format!("{left}: wait until it is reset at {reset}, or use another token"),
        )
    } else {
        finding(State::Fine, what, format!("{left}, reset at {reset}"))
    }
}

fn clock(server: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Finding {
    let Some(server) = server else {
        return finding(State::Doubtful, "clock", "not known, because GitHub did not tell its time");
    };
    let off = (now - server).num_seconds();
    let direction = if off > 0 { "ahead of" } else { "behind" };
    match off.abs() {
        0..=1 => finding(State::Fine, "clock", "agrees with GitHub's"),
        2..MAX_SKEW_SECONDS => finding(State::Fine, "clock", format!("{} s {direction} GitHub's", off.abs())),
        seconds => {
            let text =
                format!("{seconds} s {direction} GitHub's: set this machine's clock, for instance by NTP");
            finding(State::Broken, "clock", text)
        }
    }
}

fn configuration(settings: &Settings) -> Finding {
    match settings.identity() {
        Ok(_) => finding(State::Fine, "configuration", "bots and aliases can be read"),
        Err(error) => finding(State::Broken, "configuration", sentence(&error)),
    }
}

async fn lake(place: &LakeLocation) -> Finding {
    if let LakeLocation::Dir(dir) = place
        && let Some(finding) = absent("lake", dir)
    {
        return finding;
    }
    // Opening a directory writes to it.
    let counted = async {
        let objects = open::lake(place).await?;
        let batches = objects.list(paths::inbox_root()).await?.len();
        let months = objects.list(paths::events_root()).await?.len();
        Ok::<_, anyhow::Error>((batches, months))
    };
    match counted.await {
        Ok((batches, months)) => {
            let batches = count(batches, "inbox batch", "inbox batches");
            let months = count(months, "month snapshot", "month snapshots");
            let can = if matches!(place, LakeLocation::Dir(_)) { "is writable" } else { "can be listed" };
            finding(State::Fine, "lake", format!("{place} {can}: {batches}, {months}"))
        }
        Err(error) => finding(State::Broken, "lake", sentence(&error)),
    }
}

async fn store(settings: &Settings) -> Finding {
    if let StoreLocation::Sqlite(path) = &settings.store
        && let Some(finding) = absent("store", path)
    {
        return finding;
    }
    if settings.identity().is_err() {
        return finding(State::Doubtful, "store", "not opened, because the configuration cannot be read");
    }
    let counted = async {
        let store = OpenStore::open(settings).await?;
        let orgs = store.orgs().await;
        store.close().await;
        Ok::<_, anyhow::Error>(orgs?)
    };
    match counted.await {
        Ok(orgs) => {
            let orgs = count(orgs.len(), "organization", "organizations");
            let version = env!("CARGO_PKG_VERSION");
            let text = format!("{} opens with github-metrics {version}: {orgs}", settings.store);
            finding(State::Fine, "store", text)
        }
        Err(error) => finding(State::Broken, "store", sentence(&error)),
    }
}

/// What is to be told of a place of this machine where nothing is; `None` where something is.
fn absent(what: &'static str, path: &Path) -> Option<Finding> {
    match path.try_exists() {
        Ok(true) => None,
        Ok(false) => Some(not_there_yet(what, path)),
        Err(error) => {
            Some(finding(State::Broken, what, format!("{} cannot be read: {error}", path.display())))
        }
    }
}

/// What is not there yet will be made, if it can be.
fn not_there_yet(what: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    let place = path.ancestors().skip(1).find(|dir| dir.as_os_str().is_empty() || dir.exists());
    let place = place.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(place) {
        Ok(_) => {
            finding(State::Fine, what, format!("{shown} is not there yet and will be made when it is needed"))
        }
        Err(error) => finding(
            State::Broken,
            what,
            format!(
                "{shown} cannot be made ({error}): make {} writable, or give --data-dir",
                place.display()
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
    fn a_line_is_marked_and_aligned() {
        let text = finding(State::Broken, "lake", "gone").to_string();
        assert_eq!(text, "✗ lake          gone");
    }

    #[test]
    fn a_classic_token_wants_the_repo_scope() {
        let diagnosis = |scopes: Option<&str>| Diagnosis {
            login: Some("ann".into()),
            scopes: scopes.map(str::to_owned),
            ..Diagnosis::default()
        };
        assert_eq!(token(&diagnosis(Some("read:org, repo"))).state, State::Fine);
        assert_eq!(token(&diagnosis(None)).state, State::Fine);
        let doubtful = token(&diagnosis(Some("public_repo")));
        assert_eq!(doubtful.state, State::Doubtful);
        assert!(doubtful.text.contains("ann") && doubtful.text.contains("scope repo"));
        let nobody = |is_limited| token(&Diagnosis { is_limited, ..Diagnosis::default() });
        assert!(nobody(false).text.contains("it is an app's"));
        assert!(nobody(true).text.contains("does not say whose it is"));
    }

    #[test]
    fn each_missing_permission_is_named() {
        let missing = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
        let found = app(&AppDiagnosis {
            name: "Counter".into(),
            installed_in: vec![
                ("acme".into(), missing(&["Issues", "Deployments"])),
                ("b".into(), missing(&[])),
            ],
        });
        let states: Vec<State> = found.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Fine, State::Broken, State::Fine]);
        assert!(found[1].text.contains("missing in acme: Deployments: read, Issues: read"), "{}", found[1]);
        assert_eq!(app(&AppDiagnosis::default())[0].state, State::Broken);
        let of = |repos, names: &[&'static str]| {
            permitted("acme", Ok(Permissions { repos, missing: missing(names) }))
        };
        assert_eq!((of(3, &[]).state, of(0, &[]).state), (State::Fine, State::Doubtful));
        assert_eq!((of(3, &["Members"]).state, of(3, &["Contents"]).state), (State::Doubtful, State::Broken));
        assert!(of(3, &["Members"]).text.contains("all is counted"));
        let none = of(0, &["Members"]);
        assert!(none.text.contains("no repository") && none.text.contains("Members: read"), "{none}");
        assert_eq!(of(0, &["Metadata", "Members"]).state, State::Broken, "it would hide the repositories");
    }

    #[test]
    fn a_limit_that_is_used_up_is_told_with_its_reset() {
        let reset = now() + TimeDelta::minutes(10);
        let left = |remaining| quota("REST limit", Some(&Quota { limit: 5000, remaining, reset }), now());
        assert_eq!(left(4999).text, "4,999 of 5,000 left, reset at 2023-11-14 22:23:20 UTC (in 10m)");
        assert_eq!((left(1).state, left(0).state), (State::Fine, State::Broken));
        assert_eq!(quota("REST limit", None, now()).state, State::Fine);
    }

    #[test]
    fn the_clock_may_be_off_by_less_than_a_minute() {
        let off = |seconds| clock(Some(now() - TimeDelta::seconds(seconds)), now());
        assert_eq!((off(0).state, off(59).state, off(-59).state), (State::Fine, State::Fine, State::Fine));
        assert_eq!((off(60).state, off(-60).state), (State::Broken, State::Broken));
        assert!(off(90).text.starts_with("90 s ahead of") && off(-90).text.starts_with("90 s behind"));
        assert_eq!(clock(None, now()).state, State::Doubtful);
    }

    #[test]
    fn what_is_not_there_yet_can_be_made_or_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(not_there_yet("lake", &dir.path().join("a/b/c")).state, State::Fine);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let blocked = not_there_yet("lake", &file.join("lake"));
        assert_eq!(blocked.state, State::Broken, "{blocked}");
    }
}
