//! `up`: collect, aggregate, serve, and repeat.

use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use gam_collect::reconcile::is_due;
use gam_collect::{CollectError, CollectRequest};
use gam_github::Client;
use gam_model::Clock;

use super::collect::GoesOn;
use super::serve::{Bound, Listen};
use super::{Session, aggregate, collect, reconcile};
use crate::args;
use crate::exit::{Exit, sentence, status};
use crate::format::{moment, span};
use crate::open::OpenData;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics up acme              http://127.0.0.1:8080, anew every hour
  github-metrics up acme --since 2025-01-01 --every 15m --listen 0.0.0.0:80";

/// Arguments of `up`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// The organization
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: String,
    /// The first day to collect, UTC [default: 90 days back at first, what is new later]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// How long to wait between two rounds, such as 15m
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = args::pause)]
    every: Duration,
    #[command(flatten)]
    limits: args::Limits,
    #[command(flatten)]
    listen: Listen,
}

/// Serves, and collects and aggregates meanwhile, until Ctrl-C or SIGTERM.
pub(super) async fn run(session: &Session, args: Up) -> anyhow::Result<Exit> {
    gam_collect::check_days(args.since, None, gam_model::SystemClock.now().date_naive())?;
    let github = session.settings.github(&args.limits)?;
    let bound = Bound::new(session, &args.listen).await?;
    let data = OpenData::open(&session.settings).await?;
    let shutdown = async { _ = signals::stopped().await };
    let work = async {
        tokio::select! {
            error = rounds(session, &data, &github, &args) => error,
            // The server lets its requests end; there is no new round meanwhile.
            _ = signals::stopped() => std::future::pending().await,
        }
    };
    let done = tokio::select! {
        served = bound.serve(session, data.store.query_ports(), shutdown) => served,
        error = work => Err(error),
    };
    data.close().await;
    done.map(|()| Exit::Done)
}

/// One round after another. It ends only where another round cannot help: with an error that was
/// there from the beginning and that somebody has to mend.
async fn rounds(session: &Session, data: &OpenData, github: &Client, args: &Up) -> anyhow::Error {
    let mut has_worked = false;
    loop {
        match round(session, data, github, args, has_worked).await {
            Ok(()) => has_worked = true,
            Err(error) if !has_worked && needs_mending(&error) => return error,
            Err(error) => session.console.error(sentence(&error)),
        }
        let next = data.clock().now() + args.every;
        session.console.note(format!("the next round is at {} (in {})", moment(next), span(args.every)));
        tokio::time::sleep(args.every).await;
    }
}

async fn round(
    session: &Session,
    data: &OpenData,
    github: &Client,
    args: &Up,
    is_checked: bool,
) -> anyhow::Result<()> {
    if !is_checked {
        let diagnosis = github.diagnose().await?;
        if let Some(login) = diagnosis.login {
            session.console.note(format!("the token is {login}'s"));
        }
    }
    let request = CollectRequest {
        org: args.org.clone(),
        since: args.since,
        until: None,
        repos: Vec::new(),
        parallelism: args.limits.parallelism(),
    };
    let collected = collect::fetch(session, data, github, &request).await;
    match &collected {
        Ok(collected) => {
            session.console.note(collect::summary(collected));
            collect::tell_troubles(session, collected, data.clock().now(), GoesOn::ByItself);
        }
        Err(error) if needs_mending(error) => return collected.map(|_| ()),
        // What earlier runs have read is worth showing all the same.
        Err(_) => {}
    }
    let (report, _) = aggregate::quietly(session, data, &args.org).await?;
    session.console.note(format!("{}: {}", args.org, aggregate::summary(&report)));
    collected?;
    // What GitHub does not tell as a change is looked for once a day.
    if is_due(&data.collect_ports(), &args.org).await? {
        reconcile::one(session, data, github, &args.org, GoesOn::ByItself).await?;
    }
    Ok(())
}

/// Whether somebody has to do something before another round can work.
fn needs_mending(error: &anyhow::Error) -> bool {
    use gam_github::Error::{Forbidden, Invalid, NotFound, Unauthorized};
    let refused = |error: &gam_github::Error| {
        matches!(error, Unauthorized(_) | Forbidden(_) | NotFound(_) | Invalid(_))
    };
    status(error) == Exit::Usage
        || error.chain().any(|cause| match cause.downcast_ref::<CollectError>() {
            Some(CollectError::GitHub(error)) => refused(error),
            _ => cause.downcast_ref().is_some_and(refused),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_to_mend_ends_it() {
        let github = |error: gam_github::Error| -> anyhow::Error { CollectError::GitHub(error).into() };
        assert!(needs_mending(&github(gam_github::Error::Unauthorized("no".into()))));
        assert!(needs_mending(&github(gam_github::Error::NotFound("no".into()))));
        assert!(needs_mending(&gam_github::Error::Forbidden("no".into()).into()));
        assert!(needs_mending(&CollectError::Invalid("no".into()).into()));
        let unavailable = gam_github::Error::Unavailable { what: "x".into(), why: "y".into() };
        assert!(!needs_mending(&github(unavailable)));
        assert!(!needs_mending(&github(gam_github::Error::Limited { until: None, why: "z".into() })));
        assert!(!needs_mending(&anyhow::anyhow!("the disk")));
    }
}
