//! `worker`: claims tasks from a server, and runs a command for each.

mod claim;
mod command;
mod output;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use self::claim::{Claim, ClaimEnd, run_claim};
use crate::api::ApiClient;
use crate::console::Console;
use crate::error::{one_line, usage_error};
use crate::exit::Exit;
use crate::session::CliSession;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics worker --run ./answer-issue.sh --api https://metrics.example.com
  github-metrics worker --run 'claude -p' --skills rust,docs --parallel 4
  github-metrics worker --run ./fix.sh --repos acme/site --once

The command runs in a shell and gets the issue as JSON on stdin. Exit status 0 completes the task,
and the last line of stdout becomes its result; another status fails it. What the command prints
goes to the log of the task. GITHUB_METRICS_TOKEN is a token with the role worker.
The command finds the server's address in API_ENDPOINT, and its claim in GITHUB_METRICS_CLAIM_ID.";

/// The pause before a request is repeated that failed. It doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The pause if the server does not say how long to wait.
const IDLE_PAUSE: Duration = Duration::from_secs(30);

/// Arguments of `worker`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkerArgs {
    /// Command to run for each task, in a shell
    #[arg(long, value_name = "CMD")]
    run: String,
    /// Name of the worker, unique among all workers; a login also gets issues that are assigned to it [default: host and
    /// a random number]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Skills; an issue with a label skill:NAME needs the skill NAME
    #[arg(long, value_name = "SKILL", value_delimiter = ',')]
    skills: Vec<String>,
    /// Repositories to work on, as ORG/REPO [default: all that the token includes]
    #[arg(long, value_name = "ORG/REPO", value_delimiter = ',')]
    repos: Vec<String>,
    /// Number of tasks at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Do one task, or none if there is none, and exit
    #[arg(long)]
    once: bool,
}

/// What all slots of a worker share. A slot does one task at a time.
pub(super) struct WorkerContext {
    pub(super) client: ApiClient,
    /// The address of the server, without a slash at the end.
    pub(super) endpoint: String,
    pub(super) console: Console,
    /// Becomes true when the worker must stop.
    pub(super) stop: watch::Receiver<bool>,
    args: WorkerArgs,
}

/// Works until Ctrl-C or SIGTERM, or on one task with `--once`.
pub(crate) async fn run(session: &CliSession, args: WorkerArgs) -> anyhow::Result<Exit> {
    let Some(endpoint) = &session.settings.api else {
        return Err(usage_error(
            "a worker needs a server: name it with --api, such as --api http://127.0.0.1:8080",
        ));
    };
    let endpoint = endpoint.as_str().trim_end_matches('/').to_owned();
    let client = ApiClient::new(&session.settings).await?;
    let (stopper, stop) = watch::channel(false);
    let slots = if args.once { 1 } else { args.parallel };
    let name = args.name.clone().unwrap_or_else(default_name);
    let context = Arc::new(WorkerContext { client, endpoint, console: session.console.clone(), stop, args });
    let working = join_all((1..=slots).map(|slot| {
        let name = if slots == 1 { name.clone() } else { format!("{name}/{slot}") };
        run_slot(context.clone(), name)
    }));
    let mut working = std::pin::pin!(working);
    let ends = tokio::select! {
        ends = &mut working => ends,
        _ = signals::wait_for_stop_signal() => {
            context.console.print_notice("stopping: gives unfinished tasks back");
            // Each slot ends its command and gives its task back.
            _ = stopper.send(true);
            working.await
        }
    };
    let exits = ends.into_iter().collect::<anyhow::Result<Vec<Exit>>>()?;
    Ok(if exits.contains(&Exit::Failed) { Exit::Failed } else { Exit::Success })
}

/// Claims and does one task after the other. Fails only if another request cannot help.
async fn run_slot(context: Arc<WorkerContext>, worker: String) -> anyhow::Result<Exit> {
    let WorkerArgs { skills, repos, once, .. } = &context.args;
    let request = json!({ "worker": worker, "skills": skills, "repos": repos });
    let mut pause = FIRST_PAUSE;
    while !context.is_stopping() {
        let sent_at = Instant::now();
        let answer = match context.client.post(&["request-task"], &request).await {
            Ok(answer) => answer,
            Err(error) => {
                context.console.print_error(one_line(&error));
                if *once {
                    return Ok(Exit::Failed);
                }
                context.sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
                continue;
            }
        };
        match (answer.status, answer.refusal) {
            (200, _) => match Claim::parse(&answer.json, sent_at) {
                Some(claim) => {
                    pause = FIRST_PAUSE;
                    let end = run_claim(&context, &claim, &context.args.run).await;
                    context.console.print_info(format!("{}: {end}", claim.name()));
                    if *once {
                        return Ok(if end == ClaimEnd::Completed { Exit::Success } else { Exit::Failed });
                    }
                    continue;
                }
                None => return Err(usage_error("the server's answer has no task: upgrade github-metrics")),
            },
            (204, _) if *once => {
                context.console.print_info("there is no task for this worker");
                return Ok(Exit::Success);
            }
            (204, _) => {
                pause = FIRST_PAUSE;
                context.sleep(answer.retry_after.unwrap_or(IDLE_PAUSE)).await;
            }
            // Another request has the same answer until somebody changes something.
            (400 | 401 | 403 | 404, Some(error)) => return Err(error),
            (status, error) => {
                let text =
                    error.map_or_else(|| format!("unexpected status {status}"), |error| one_line(&error));
                context.console.print_error(text);
                if *once {
                    return Ok(Exit::Failed);
                }
                context.sleep(answer.retry_after.unwrap_or(pause)).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
    Ok(Exit::Success)
}

impl WorkerContext {
    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Sleeps, but not longer than until the worker must stop.
    async fn sleep(&self, duration: Duration) {
        _ = tokio::time::timeout(duration, self.stopped()).await;
    }

    /// Waits until the worker must stop.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|is_stopping| *is_stopping).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Returns a name that no other worker has: two workers with one name would share a claim. Containers can have the same
/// host name and process id.
fn default_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_allowed = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let host: String = host.chars().filter(is_allowed).take(60).collect();
    let host = if host.is_empty() { "worker".to_owned() } else { host };
    format!("{host}/{:08x}", fastrand::u32(..))
}
