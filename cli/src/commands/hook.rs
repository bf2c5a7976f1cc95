//! `hook check`: whether the webhooks on GitHub are set up well, and what they could not deliver.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gam_model::{Clock, SystemClock};
use gam_work::IssueSource as _;
use gam_work::hooks::{refusal_problem, setting_problems};
use gam_work::sweep::{DeliveryAttempt, HookInfo, HookSource as _, LISTED_FOR, attempts_since};
use gam_work_ports::GitHubSource;
use serde_json::{Value, json};

use crate::args::{self, GitHubOptions};
use crate::error::failure;
use crate::exit::Exit;
use crate::format::{count, utc};
use crate::session::CliSession;
use crate::settings::CliSettings;
use crate::terminal_text::escaped;

const EXAMPLES: &str = "\
Examples:
  github-metrics hook check acme
  github-metrics hook check acme --repo site    also the webhooks of one repository
  github-metrics hook check acme --format json

A webhook of the organization, of a repository, or of the GitHub App that signs in delivers to
https://HOST/api/v1/webhook/github. Its secret is GITHUB_WEBHOOK_SECRET of `up` or `serve`.";

/// Number of repositories whose webhooks are looked for if the organization has none: one request each.
const MAX_SEARCHED_REPOS: usize = 30;

/// Arguments of `hook`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HookArgs {
    #[command(subcommand)]
    action: HookAction,
}

#[derive(Subcommand)]
enum HookAction {
    /// Check the settings of the webhooks, and what they delivered in the last three days
    Check {
        /// Organization
        #[arg(value_name = "ORG", value_parser = args::org)]
        org: String,
        /// Also the webhooks of this repository; can be repeated
        #[arg(long = "repo", value_name = "REPO")]
        repos: Vec<String>,
    },
}

/// What the check of one webhook found.
#[derive(Debug, PartialEq, Eq)]
struct HookReport {
    hook: HookInfo,
    /// Number of events of the last three days.
    events: usize,
    /// Number of those of which no attempt succeeded.
    failed: usize,
    last_at: Option<DateTime<Utc>>,
    /// What is wrong, each with what to do.
    problems: Vec<String>,
}

/// Checks the webhooks. Changes nothing.
pub(crate) async fn run(session: &CliSession, args: HookArgs) -> anyhow::Result<Exit> {
    let HookAction::Check { org, repos } = args.action;
    let reports = check_org(&session.settings, &org, &repos).await?;
    let is_fine = reports.iter().all(|report| report.problems.is_empty());
    if session.wants_json() {
        let hooks: Vec<Value> = reports.iter().map(as_json).collect();
        session.console.write_result(json!({ "org": org, "hooks": hooks }).to_string())?;
    } else {
        for line in reports.iter().flat_map(lines) {
            session.console.write_line(escaped(&line))?;
        }
    }
    Ok(if is_fine { Exit::Success } else { Exit::Failed })
}

/// Checks the webhooks of an organization, of the app, and of these repositories that deliver to this kind of server. If
/// there are none, checks those of the first repositories of the organization.
///
/// # Errors
/// If there is none, or GitHub cannot be read.
async fn check_org(settings: &CliSettings, org: &str, repos: &[String]) -> anyhow::Result<Vec<HookReport>> {
    let source = GitHubSource::new(settings.github(&GitHubOptions::WITHOUT_WAITING)?);
    let now = SystemClock.now();
    let (mut hooks, refused) = match source.hooks(org).await {
        Ok(hooks) => (hooks, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    for repo in repos {
        hooks.extend(source.repo_hooks(org, repo).await?);
    }
    if hooks.is_empty() && repos.is_empty() {
        let listed = source.repos(org).await?;
        for repo in listed.iter().take(MAX_SEARCHED_REPOS) {
            // Most tokens may list the webhooks of some repositories only.
            hooks.extend(source.repo_hooks(org, &repo.name).await.unwrap_or_default());
        }
    }
    if let Some(error) = refused.filter(|_| hooks.is_empty()) {
        return Err(error.into());
    }
    let mut reports = Vec::new();
    for hook in hooks {
        let attempts = attempts_since(&source, &hook, now - LISTED_FOR).await?;
        reports.push(check(hook, &attempts));
    }
    if reports.is_empty() {
        return Err(failure(format!(
            "{org} has no webhook that delivers to https://HOST{}: create one under Settings > Webhooks, with content \
             type application/json, the secret of GITHUB_WEBHOOK_SECRET, and all events; if a repository has one, run \
             `github-metrics hook check {org} --repo REPO`",
            gam_http::WEBHOOK_PATH
        )));
    }
    Ok(reports)
}

/// Returns what is wrong with the webhooks of an organization, or how many events they delivered.
///
/// # Errors
/// As [`check_org`].
pub(super) async fn problems(settings: &CliSettings, org: &str) -> anyhow::Result<Result<usize, String>> {
    let reports = check_org(settings, org, &[]).await?;
    let of_hook = |report: &HookReport| -> Vec<String> {
        report.problems.iter().map(|problem| format!("{}: {problem}", report.hook.id)).collect()
    };
    let problems: Vec<String> = reports.iter().flat_map(of_hook).collect();
    Ok(match problems.is_empty() {
        true => Ok(reports.iter().map(|report| report.events).sum()),
        false => Err(problems.join("; ")),
    })
}

fn check(hook: HookInfo, attempts: &[DeliveryAttempt]) -> HookReport {
    let guids = |is_wanted: &dyn Fn(&DeliveryAttempt) -> bool| -> BTreeSet<&str> {
        attempts.iter().filter(|it| is_wanted(it)).map(|it| it.guid.as_str()).collect()
    };
    let (all, delivered) = (guids(&|_| true), guids(&DeliveryAttempt::is_ok));
    let failed: BTreeSet<&str> = all.difference(&delivered).copied().collect();
    let last = attempts.iter().max_by_key(|attempt| attempt.delivered_at);
    let mut problems = setting_problems(&hook);
    problems.extend(refusal_problem(last.map(|last| last.status_code)));
    if !failed.is_empty() {
        let statuses: BTreeSet<&str> = attempts
            .iter()
            .filter(|attempt| failed.contains(attempt.guid.as_str()))
            .map(|attempt| attempt.status.as_str())
            .collect();
        problems.push(format!(
            "{} did not arrive ({}): `github-metrics up` reads again what they were about",
            count(failed.len(), "event", "events"),
            statuses.into_iter().take(3).collect::<Vec<_>>().join("; ")
        ));
    }
    HookReport {
        events: all.len(),
        failed: failed.len(),
        last_at: last.map(|last| last.delivered_at),
        hook,
        problems,
    }
}

fn lines(report: &HookReport) -> Vec<String> {
    let HookReport { hook, events, last_at, problems, .. } = report;
    let last = last_at.map_or_else(|| "none".to_owned(), utc);
    let summary = format!(
        "{} to {}: {} in three days, the last one at {last}",
        hook.id,
        hook.url,
        count(*events, "event", "events")
    );
    let result = if problems.is_empty() { vec!["  fine".to_owned()] } else { Vec::new() };
    let problems = problems.iter().map(|problem| format!("  {problem}"));
    [summary].into_iter().chain(result).chain(problems).collect()
}

fn as_json(report: &HookReport) -> Value {
    let HookReport { hook, events, failed, last_at, problems } = report;
    json!({
        "id": hook.id, "url": hook.url, "content_type": hook.content_type, "has_secret": hook.has_secret,
        "events": hook.events, "is_active": hook.is_active, "delivered_events": events, "failed_events": failed,
        "last_delivery_at": last_at, "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(change: impl Fn(&mut HookInfo)) -> HookInfo {
        let mut hook = HookInfo {
            id: "org/acme/1".to_owned(),
            url: "https://metrics.example.com/api/v1/webhook/github".to_owned(),
            content_type: "json".to_owned(),
            has_secret: Some(true),
            events: vec!["*".to_owned()],
            is_active: true,
        };
        change(&mut hook);
        hook
    }

    fn attempt(guid: &str, second: i64, status_code: i64) -> DeliveryAttempt {
        DeliveryAttempt {
            guid: guid.to_owned(),
            delivered_at: DateTime::from_timestamp(second, 0).unwrap(),
            status_code,
            status: if status_code == 202 { "OK" } else { "timed out" }.to_owned(),
            event: "issues".to_owned(),
            action: None,
            repo_id: Some(1),
        }
    }

    #[test]
    fn a_webhook_that_delivers_is_fine() {
        let report = check(hook(|_| {}), &[attempt("a", 2, 202), attempt("a", 1, 0), attempt("b", 1, 202)]);
        assert_eq!((report.events, report.failed, report.problems.len()), (2, 0, 0));
        assert_eq!(lines(&report)[1], "  fine");
    }

    #[test]
    fn each_problem_says_what_to_do() {
        let problems = |hook, attempts: &[DeliveryAttempt]| check(hook, attempts).problems.join("\n");
        for (hook, attempts, expected) in [
            (hook(|it| it.is_active = false), &[][..], "activate it"),
            (hook(|it| it.content_type = "form".to_owned()), &[], "application/json"),
            (hook(|it| it.has_secret = Some(false)), &[], "GITHUB_WEBHOOK_SECRET"),
            (hook(|it| it.url = "http://x/api/v1/webhook/github".to_owned()), &[], "TLS"),
            (hook(|it| it.events = vec!["push".to_owned()]), &[], "issues, label"),
            (hook(|_| {}), &[attempt("a", 1, 401)], "refused"),
            (hook(|_| {}), &[attempt("a", 1, 0)], "1 event did not arrive (timed out)"),
        ] {
            let text = problems(hook, attempts);
            assert!(text.contains(expected), "{text}");
        }
    }
}
