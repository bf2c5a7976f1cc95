//! Groups of options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gam_query::BotFilter;

use super::values::{bots_parser, duration, percentage};

/// How much of GitHub a run reads, and how much of GitHub's rate limits it uses.
#[derive(Debug, Clone, Args)]
pub(crate) struct GitHubOptions {
    /// Maximum number of requests in flight
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    parallelism: u16,
    /// Read forks too, including the history they share with their upstream
    #[arg(long)]
    pub(crate) forks: bool,
    /// Longest wait for GitHub's rate limit to reset, such as 30m
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) max_wait: Duration,
    /// Share of GitHub's rate limits to use at most, such as 60%; beyond it the run saves and stops
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    pub(crate) budget: Option<f64>,
}

impl GitHubOptions {
    /// For a few requests that must not wait for a rate limit.
    pub(crate) const WITHOUT_WAITING: GitHubOptions =
        GitHubOptions { parallelism: 1, forks: false, max_wait: Duration::ZERO, budget: None };

    /// Returns the maximum number of requests in flight.
    pub(crate) fn parallelism(&self) -> usize {
        usize::from(self.parallelism)
    }
}

/// The configuration to set before anything else.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigOption {
    /// Set the configuration first: bots, aliases and more (see `github-metrics config`)
    #[arg(long, value_name = "FILE", env = "GITHUB_METRICS_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
}

/// Where a server listens.
#[derive(Args)]
pub(crate) struct ListenOption {
    /// Address to listen on: HOST:PORT, or a port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Name by which clients may address a server without tokens, such as box.local; can be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// Origins of web pages that may call the API.
    #[arg(
        help = "Origin of web pages that may call the API, such as https://wiki.example.com; can be repeated",
        long,
        value_name = "ORIGIN"
    )]
    pub(crate) allow_origin: Vec<String>,
}

/// Whose work counts.
#[derive(Args)]
pub(crate) struct BotsOption {
    /// Work of bots; auto counts it in deploys, deploy_failures and releases only
    #[arg(
        long,
        value_name = "BOTS",
        default_value = "auto",
        value_parser = bots_parser()
    )]
    pub(crate) bots: BotFilter,
}
