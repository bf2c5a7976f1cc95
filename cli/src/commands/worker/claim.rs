//! The life of one claim: the command, its output, heartbeats, and the report at the end.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::WorkerContext;
use super::command::{CommandEnd, RunningCommand};
use crate::api::PostAnswer;
use crate::error::{failure, one_line};

/// The part of a lease after which a command is killed if the server does not answer.
const KILL_AFTER: f64 = 0.8;
/// The part of a lease after which a heartbeat is sent.
const HEARTBEAT_AFTER: f64 = 1.0 / 3.0;
/// The pause before a heartbeat or a report is sent again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often a report is sent if the server does not answer.
const MAX_REPORTS: u32 = 20;
/// How often a report is sent while the worker stops.
const MAX_REPORTS_WHILE_STOPPING: u32 = 2;
/// The time limit of a request. A command's end, or a signal, can wait that long to be noticed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often lines are sent to the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A claim that the server has given to this worker.
pub(super) struct Claim {
    id: String,
    fence: u64,
    /// How long the lease lasts.
    lease: Duration,
    /// When the request for the claim, or the last heartbeat that was answered, was sent: the lease began later.
    leased_at: Instant,
    /// The claim and its issue, as JSON.
    task: Value,
}

/// How a claim ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClaimEnd {
    /// The command succeeded.
    Completed,
    /// The command failed, with this description.
    Failed(String),
    /// The task was given back, for this reason.
    Released(String),
    /// Another worker may have it, or the server did not answer.
    Lost(String),
}

impl fmt::Display for ClaimEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClaimEnd::Completed => f.write_str("completed"),
            ClaimEnd::Failed(why) => write!(f, "failed: {why}"),
            ClaimEnd::Released(why) => write!(f, "given back: {why}"),
            ClaimEnd::Lost(why) => write!(f, "lost: {why}"),
        }
    }
}

/// Why a command is stopped before its end.
enum StopReason {
    /// The worker must stop.
    Stopping,
    /// The server has cancelled the claim, for this reason.
    Cancelled(String),
    /// The claim is no longer this worker's.
    Lost(String),
}

impl Claim {
    /// Parses the answer to a request for a task. `None` if it has none.
    pub(super) fn parse(answer: &Value, sent_at: Instant) -> Option<Self> {
        let task = &answer["task"];
        Some(Claim {
            id: task["claim_id"].as_str()?.to_owned(),
            fence: task["fence"].as_u64()?,
            lease: Duration::from_secs(task["lease_seconds"].as_u64()?),
            leased_at: sent_at,
            task: task.clone(),
        })
    }

    /// Returns the name of the issue, for people.
    pub(super) fn name(&self) -> String {
        let issue = &self.task["issue"];
        let text = |name: &str| issue[name].as_str().unwrap_or("?").to_owned();
        format!("{}/{}#{}", text("org"), text("repo"), issue["number"])
    }
}

/// Runs the command for a claim, and reports how it ended.
pub(super) async fn run_claim(context: &WorkerContext, claim: &Claim, shell_command: &str) -> ClaimEnd {
    let title = claim.task["issue"]["title"].as_str().unwrap_or_default();
    context.console.print_info(format!("{}: attempt {}: {title}", claim.name(), claim.task["attempt"]));
    let variables = [
        ("GITHUB_METRICS_CLAIM_ID", claim.id.clone()),
        ("GITHUB_METRICS_FENCE", claim.fence.to_string()),
        ("GITHUB_METRICS_ATTEMPT", claim.task["attempt"].to_string()),
        // The command can request actions under the claim.
        ("API_ENDPOINT", context.endpoint.clone()),
    ];
    let mut command = match RunningCommand::start(shell_command, &variables, claim.task["issue"].to_string())
    {
        Ok(command) => command,
        Err(error) => {
            return report(
                context,
                claim,
                ClaimEnd::Failed(format!("cannot start the command: {error}")),
                None,
            )
            .await;
        }
    };
    let stopped = supervise(context, claim, &mut command).await;
    let end = match stopped {
        None => command.wait().await,
        Some(StopReason::Lost(_)) => command.kill().await,
        Some(_) => command.terminate().await,
    };
    let result = command.output.last_line();
    send_all_lines(context, claim, &mut command).await;
    let end = match (stopped, end) {
        (Some(StopReason::Lost(why)), _) => return ClaimEnd::Lost(why),
        (Some(StopReason::Cancelled(why)), CommandEnd::Exit(0)) if why == "closed" => ClaimEnd::Completed,
        (Some(StopReason::Cancelled(why)), _) => ClaimEnd::Released(format!("cancelled: {why}")),
        (None, CommandEnd::Exit(0)) => ClaimEnd::Completed,
        (Some(StopReason::Stopping), _) => ClaimEnd::Released("the worker stops".to_owned()),
        (None, end) => ClaimEnd::Failed(end.to_string()),
    };
    report(context, claim, end, result).await
}

/// Sends heartbeats and lines until the command ends. Returns why it must be stopped before.
async fn supervise(
    context: &WorkerContext,
    claim: &Claim,
    command: &mut RunningCommand,
) -> Option<StopReason> {
    let (mut leased_at, mut lease) = (claim.leased_at, claim.lease);
    let mut heartbeat_at = leased_at + lease.mul_f64(HEARTBEAT_AFTER);
    let mut log_at = Instant::now() + LOG_INTERVAL;
    loop {
        let killed_at = leased_at + lease.mul_f64(KILL_AFTER);
        tokio::select! {
            // In this order: a late heartbeat must not delay the kill.
            biased;
            () = command.ended() => return None,
            () = context.stopped() => return Some(StopReason::Stopping),
            () = sleep_until(killed_at) => {
                return Some(StopReason::Lost("the server did not answer in time".to_owned()));
            }
            () = sleep_until(heartbeat_at) => {
                let sent_at = Instant::now();
                match post(context, claim, "heartbeat", json!({})).await {
                    Ok(answer) if answer.status == 200 => {
                        if let Some(reason) = answer.json["cancel"].as_str() {
                            return Some(StopReason::Cancelled(reason.to_owned()));
                        }
                        leased_at = sent_at;
                        if let Some(seconds) = answer.json["lease_seconds"].as_u64() {
                            lease = Duration::from_secs(seconds);
                        }
                        heartbeat_at = leased_at + lease.mul_f64(HEARTBEAT_AFTER);
                    }
                    Ok(answer) if is_final(answer.status) => return Some(StopReason::Lost(refusal_text(answer))),
                    _ => heartbeat_at = Instant::now() + RETRY_PAUSE.min(lease.mul_f64(0.1)),
                }
            }
            () = sleep_until(log_at) => {
                // A log that cannot be written now is written later.
                send_lines(context, claim, command).await;
                log_at = Instant::now() + LOG_INTERVAL;
            }
        }
    }
}

/// Returns whether another attempt has the same answer.
fn is_final(status: u16) -> bool {
    matches!(status, 400 | 401 | 403 | 404 | 409 | 410)
}

fn refusal_text(answer: PostAnswer) -> String {
    answer.refusal.map_or_else(|| format!("status {}", answer.status), |error| one_line(&error))
}

async fn post(
    context: &WorkerContext,
    claim: &Claim,
    what: &str,
    mut body: Value,
) -> anyhow::Result<PostAnswer> {
    body["fence"] = claim.fence.into();
    let path = ["tasks", &claim.id, what];
    let request = context.client.post(&path, &body);
    tokio::time::timeout(REQUEST_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| Err(failure("the server did not answer")))
}

/// Sends the next lines to the log. Returns whether there may be more, and none was refused.
async fn send_lines(context: &WorkerContext, claim: &Claim, command: &mut RunningCommand) -> bool {
    let Some((sequence, lines)) = command.output.next_lines() else { return false };
    let body = json!({ "lines": lines, "sequence": sequence });
    match post(context, claim, "log", body).await {
        Ok(answer) if answer.status == 200 => {
            command.output.confirm_lines();
            true
        }
        _ => false,
    }
}

async fn send_all_lines(context: &WorkerContext, claim: &Claim, command: &mut RunningCommand) {
    while send_lines(context, claim, command).await {}
}

/// Reports the end of a claim, again and again until the server answers: a repeated report has the same answer.
async fn report(context: &WorkerContext, claim: &Claim, end: ClaimEnd, result: Option<String>) -> ClaimEnd {
    let (what, body) = match &end {
        ClaimEnd::Completed => ("complete", json!({ "result": result })),
        ClaimEnd::Failed(why) => ("fail", json!({ "note": why, "result": result })),
        ClaimEnd::Released(why) => ("release", json!({ "note": why })),
        ClaimEnd::Lost(_) => return end,
    };
    for attempt in 1.. {
        let max_reports = if context.is_stopping() { MAX_REPORTS_WHILE_STOPPING } else { MAX_REPORTS };
        match post(context, claim, what, body.clone()).await {
            Ok(answer) if answer.status == 200 => return end,
            Ok(answer) if is_final(answer.status) => return ClaimEnd::Lost(refusal_text(answer)),
            _ if attempt >= max_reports => break,
            _ => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
    ClaimEnd::Lost(format!("the server did not answer: {end}"))
}
