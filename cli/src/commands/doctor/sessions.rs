//! The checks of session logs: whether logs vanish before they are ingested, whether Claude Code runs the hook, and what
//! of the logs has no price or no meaning for this program.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use gam_model::{AgentMetric, Clock, CodingAgent, Range, SystemClock};
use gam_query::{AgentListRequest, AgentListing, BotFilter, QueryPorts, SortDirection, SubjectRef};

use super::{Finding, broken, doubtful, fine};
use crate::commands::ingest::{ClaudeSettings, read_claude_settings};
use crate::error::one_line;
use crate::format::{count, duration, integer};
use crate::ingest::discover::LogDirectories;
use crate::ingest::state::{self, IngestState};
use crate::open::OpenStore;
use crate::session::CliSession;
use crate::settings::CliSettings;

const LOGS: &str = "session logs";
const HOOK: &str = "session hook";
const PRICES: &str = "prices";
const RECORDS: &str = "log records";
/// After how many days Claude Code deletes logs if its settings do not say.
const DEFAULT_RETENTION_DAYS: u64 = 30;
/// How many days of tokens are searched for models without a price.
const DAYS_OF_TOKENS: u64 = 90;
/// The metric of tokens without a price.
const UNPRICED: &str = "agent_unpriced_tokens";
/// How many models or types of records a line names.
const MAX_NAMES: usize = 5;
const SECONDS_A_DAY: i64 = 24 * 3600;

/// Checks what concerns session logs. No findings on a machine without logs from which nothing was ingested.
pub(super) async fn check(session: &CliSession) -> Vec<Finding> {
    let settings = &session.settings;
    let state = state::read_unlocked(&settings.data_dir);
    let directories = LogDirectories::of_settings(settings);
    let has_claude_logs = directories.of(CodingAgent::Claude).iter().any(|directory| directory.is_dir());
    let claude = read_claude_settings(settings);
    let mut findings = Vec::new();
    if has_claude_logs || state.ingested_at().is_some() {
        let days = claude.as_ref().map_or(None, |claude| claude.retention_days);
        findings.push(logs_finding(
            state.ingested_at(),
            has_claude_logs.then_some(days.unwrap_or(DEFAULT_RETENTION_DAYS)),
            SystemClock.now(),
        ));
    }
    if has_claude_logs {
        findings.push(match &claude {
            Ok(claude) => hook_finding(claude, |program| Path::new(program).is_file()),
            Err(error) => broken(HOOK, one_line(error)),
        });
    }
    findings.extend(records_finding(&state));
    findings.extend(check_prices(settings).await);
    findings
}

/// Compares the time since the last ingest with that after which Claude Code deletes logs. `None` for the latter if
/// there are no logs of Claude Code.
fn logs_finding(
    ingested_at: Option<DateTime<Utc>>,
    retention_days: Option<u64>,
    now: DateTime<Utc>,
) -> Finding {
    let Some(ingested_at) = ingested_at else {
        let text =
            "nothing was ingested; `github-metrics ingest sessions --org ORG --dry-run` shows what there is";
        return fine(LOGS, text);
    };
    let pause = (now - ingested_at).max(chrono::TimeDelta::zero());
    // Without seconds: the pause is a matter of days.
    let minutes = u64::try_from(pause.num_minutes()).unwrap_or(0);
    let ago = duration(Duration::from_secs(minutes * 60));
    match retention_days {
        Some(days)
            if pause.num_seconds()
                > i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(SECONDS_A_DAY) =>
        {
            doubtful(
                LOGS,
                format!(
                    "the last ingest was {ago} ago, and Claude Code deletes logs after {}: older ones are lost; run \
                     `github-metrics ingest sessions` more often, or raise cleanupPeriodDays in its settings",
                    count(usize::try_from(days).unwrap_or(usize::MAX), "day", "days")
                ),
            )
        }
        Some(days) => fine(
            LOGS,
            format!(
                "the last ingest was {ago} ago, Claude Code deletes logs after {}",
                count(usize::try_from(days).unwrap_or(usize::MAX), "day", "days")
            ),
        ),
        None => fine(LOGS, format!("the last ingest was {ago} ago")),
    }
}

/// Checks that the programs of the hook exist.
fn hook_finding(claude: &ClaudeSettings, exists: impl Fn(&str) -> bool) -> Finding {
    let path = claude.path.display();
    if claude.hook_programs.is_empty() {
        return fine(
            HOOK,
            format!("not installed in {path}; `github-metrics ingest hook install --org ORG` installs it"),
        );
    }
    match claude.hook_programs.iter().find(|program| !exists(program)) {
        Some(missing) => broken(
            HOOK,
            format!(
                "{path} runs {missing}, which does not exist: run `github-metrics ingest hook install` again"
            ),
        ),
        None => fine(HOOK, format!("installed in {path}")),
    }
}

/// Returns a finding on records that the program does not know; `None` if there are none.
fn records_finding(state: &IngestState) -> Option<Finding> {
    let mut unknown: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for records in state.unknown_records() {
        let key = (records.agent.as_str(), records.record_type.as_str(), records.client_version.as_str());
        *unknown.entry(key).or_default() += records.records;
    }
    let names = unknown.iter().map(|((agent, record_type, version), records)| {
        format!("{} {record_type} of {agent} {version}", integer(*records))
    });
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| {
        doubtful(
            RECORDS,
            format!(
                "this program does not know some records, and skipped them: {}; a newer github-metrics may know them",
                listed(&names)
            ),
        )
    })
}

/// Looks for models without a price in the tokens of the last months. `None` if there are no sessions, or the store
/// cannot be opened, which another check reports.
async fn check_prices(settings: &CliSettings) -> Option<Finding> {
    let store = OpenStore::open_existing(settings).await.ok()?;
    let unpriced = unpriced_models(&store).await;
    store.close().await;
    match unpriced {
        Err(error) => Some(doubtful(PRICES, one_line(&error))),
        Ok((0, _)) => None,
        Ok((models, unpriced)) if unpriced.is_empty() => {
            Some(fine(PRICES, format!("{} with a price", count(models, "model", "models"))))
        }
        Ok((_, unpriced)) => Some(doubtful(
            PRICES,
            format!(
                "no price of {} in the last {DAYS_OF_TOKENS} days: add it to [[sessions.prices]] of the configuration",
                listed(&unpriced)
            ),
        )),
    }
}

/// Returns the number of models, and those without a price with their tokens, as texts.
async fn unpriced_models(store: &OpenStore) -> anyhow::Result<(usize, Vec<String>)> {
    let ports = store.query_ports();
    let registry = store.registry().await?;
    let orgs = store.orgs().await?;
    let (mut models, mut unpriced) = (0, Vec::new());
    for org in &orgs {
        let name = registry.name_of_stored(org);
        let Some(request) = unpriced_request(&ports, name).await? else { continue };
        // An organization that was not aggregated yet has no answers.
        let Ok(list) = gam_query::agent_list(&ports, name, &request).await else { continue };
        models += list.entries.len();
        for entry in &list.entries {
            let tokens = entry.metrics.number(UNPRICED).unwrap_or(0.0);
            if tokens > 0.0 {
                let label = match entry.name.label() {
                    label if label.is_empty() => "an unnamed model".to_owned(),
                    label => label,
                };
                let of_org = if orgs.len() > 1 { format!(" in {name}") } else { String::new() };
                unpriced.push(format!("{label} ({} tokens{of_org})", integer(tokens as u64)));
            }
        }
    }
    Ok((models, unpriced))
}

/// Returns the request for the models of an organization. `None` if its time zone is not known yet.
async fn unpriced_request(ports: &QueryPorts, org: &str) -> anyhow::Result<Option<AgentListRequest>> {
    let Ok(today) = gam_query::today(ports, org).await else { return Ok(None) };
    let range = Range::new(today - Days::new(DAYS_OF_TOKENS), today + Days::new(1));
    let (Some(range), Some(sort)) = (range, AgentMetric::named(UNPRICED)) else { return Ok(None) };
    let listing = AgentListing::Parts(gam_model::AgentDimension::Model);
    Ok(Some(AgentListRequest {
        subject: SubjectRef::Org,
        listing,
        range,
        bots: BotFilter::Include,
        sort,
        direction: SortDirection::Desc,
        limit: gam_query::MAX_LIMIT,
        compare: false,
    }))
}

/// Lists the first names, and says how many there are more.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::CheckState;
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_pause_longer_than_the_retention_is_doubtful() {
        let finding = |pause_days: i64, retention: Option<u64>| {
            logs_finding(Some(now() - TimeDelta::days(pause_days)), retention, now())
        };
        assert_eq!(finding(29, Some(30)).state, CheckState::Fine);
        assert_eq!(finding(30, Some(30)).state, CheckState::Fine);
        let late = finding(31, Some(30));
        assert_eq!(late.state, CheckState::Doubtful);
        assert!(late.text.contains("after 30 days") && late.text.contains("cleanupPeriodDays"), "{late:?}");
        assert_eq!(finding(2, Some(1)).state, CheckState::Doubtful);
        assert_eq!(finding(1_000, None).state, CheckState::Fine, "Codex deletes nothing");
        assert_eq!(finding(-3, Some(30)).state, CheckState::Fine, "a clock that went back");
        assert!(logs_finding(None, Some(30), now()).text.contains("--dry-run"));
    }

    #[test]
    fn the_program_of_the_hook_must_exist() {
        let claude = |programs: &[&str]| ClaudeSettings {
            path: "/home/ann/.claude/settings.json".into(),
            retention_days: None,
            hook_programs: programs.iter().map(|program| (*program).to_owned()).collect(),
        };
        let finding = |programs: &[&str]| hook_finding(&claude(programs), |program| program == "/bin/here");
        assert!(finding(&[]).text.contains("not installed"));
        assert_eq!(finding(&["/bin/here"]).state, CheckState::Fine);
        let gone = finding(&["/bin/here", "/bin/gone"]);
        assert_eq!(gone.state, CheckState::Broken);
        assert!(gone.text.contains("/bin/gone, which does not exist"), "{gone:?}");
    }

    #[test]
    fn unknown_records_are_named_by_agent_and_version() {
        let state: IngestState =
            serde_json::from_value(serde_json::json!({ "orgs": { "acme": { "options": "", "files": {
            "/a": { "size": 1, "modified_ms": 1, "unknown": [
                { "agent": "claude", "record_type": "wiki", "client_version": "3.0.0", "records": 2 }] },
            "/b": { "size": 1, "modified_ms": 1, "unknown": [
                { "agent": "claude", "record_type": "wiki", "client_version": "3.0.0", "records": 1 }] },
        } } } }))
            .unwrap();
        let finding = records_finding(&state).unwrap();
        assert_eq!(finding.state, CheckState::Doubtful);
        assert!(finding.text.contains("3 wiki of claude 3.0.0"), "{finding:?}");
        assert_eq!(records_finding(&IngestState::default()), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(listed(&names), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(listed(&names[..2]), "0, 1");
    }
}
