//! The options that every command takes, and the variables that have no option.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use secrecy::SecretString;

const HEADING: &str = "Global options";

/// The options that every command takes, as given.
#[derive(Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct GlobalOptions {
    /// Data directory [default: ./github-metrics-data, for demo ./github-metrics-demo]
    #[arg(long, global = true, env = "GITHUB_METRICS_DATA_DIR", value_name = "DIR", hide_env = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Lake: file:DIR or s3://BUCKET/PREFIX [default: file:DATA_DIR/lake]
    #[arg(long, global = true, env = "GITHUB_METRICS_LAKE", value_name = "LAKE", hide_env = true)]
    pub(crate) lake: Option<String>,
    /// Audit log of a lake on S3, if it has a bucket of its own: s3://BUCKET/PREFIX [default: the lake]
    #[arg(long, global = true, env = "GITHUB_METRICS_AUDIT_LOG", value_name = "LOG", hide_env = true)]
    pub(crate) audit_log: Option<String>,
    /// Store: sqlite:FILE, postgres://USER@HOST/DATABASE or dynamodb:TABLE [default: sqlite:DATA_DIR/store.sqlite]
    #[arg(long, global = true, env = "GITHUB_METRICS_STORE", value_name = "STORE", hide_env = true)]
    pub(crate) store: Option<String>,
    /// API that show, export, task and action use instead of the store, and that worker works for
    #[arg(long, global = true, env = "API_ENDPOINT", value_name = "URL", hide_env = true)]
    pub(crate) api: Option<String>,
    /// File of variables instead of ./.env; only a named file may set addresses, proxies and AWS
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Output format
    #[arg(long, global = true, env = "GITHUB_METRICS_FORMAT", value_name = "FORMAT", hide_env = true)]
    pub(crate) format: Option<OutputFormat>,
    /// Print errors only (JSON summaries are still printed)
    #[arg(
        long,
        short,
        global = true,
        env = "GITHUB_METRICS_QUIET",
        hide_env = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) quiet: bool,
    /// Format of progress and logs on stderr
    #[arg(
        long,
        global = true,
        env = "GITHUB_METRICS_LOG_FORMAT",
        hide_env = true,
        value_name = "FORMAT",
        default_value = "pretty"
    )]
    pub(crate) log_format: LogFormat,
}

/// The variables that have no public option, as given. They are hidden arguments because clap reads
/// the environment; [`crate::settings`] checks them and calls them by the variable's name.
#[derive(Args)]
pub(crate) struct Variables {
    #[arg(long, hide = true, env = "GITHUB_TOKEN", hide_env_values = true)]
    pub(crate) github_token: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_APP_ID", hide_env_values = true)]
    pub(crate) github_app_id: Option<String>,
    #[arg(long, hide = true, env = "GITHUB_APP_PRIVATE_KEY", hide_env_values = true)]
    pub(crate) github_app_private_key: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_API_URL", hide_env_values = true)]
    pub(crate) github_api_url: Option<String>,
    #[arg(long, hide = true, env = "STORAGE_TYPE", hide_env_values = true)]
    pub(crate) storage_type: Option<String>,
    #[arg(long, hide = true, env = "SQLITE_PATH", hide_env_values = true)]
    pub(crate) sqlite_path: Option<PathBuf>,
    #[arg(long, hide = true, env = "POSTGRES_URL", hide_env_values = true)]
    pub(crate) postgres_url: Option<SecretString>,
    #[arg(long, hide = true, env = "API_HOST", hide_env_values = true)]
    pub(crate) api_host: Option<String>,
    #[arg(long, hide = true, env = "API_PORT", hide_env_values = true)]
    pub(crate) api_port: Option<String>,
    #[arg(long, hide = true, env = "API_ALLOW_HOST", hide_env_values = true)]
    pub(crate) api_allow_host: Option<String>,
    #[arg(long, hide = true, env = "API_ALLOW_ORIGIN", hide_env_values = true)]
    pub(crate) api_allow_origin: Option<String>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_TOKEN", hide_env_values = true)]
    pub(crate) github_metrics_token: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_TOKEN_FILE", hide_env_values = true)]
    pub(crate) github_metrics_token_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) github_metrics_admin_token: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_ADMIN_TOKEN_FILE", hide_env_values = true)]
    pub(crate) github_metrics_admin_token_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "CLAUDE_CONFIG_DIR", hide_env_values = true)]
    pub(crate) claude_config_dir: Option<String>,
    #[arg(long, hide = true, env = "CODEX_HOME", hide_env_values = true)]
    pub(crate) codex_home: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_ORIGIN_KEY", hide_env_values = true)]
    pub(crate) origin_key: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_ORIGIN_KEY_FILE", hide_env_values = true)]
    pub(crate) origin_key_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_LINK_KEY", hide_env_values = true)]
    pub(crate) link_key: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_LINK_KEY_FILE", hide_env_values = true)]
    pub(crate) link_key_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_METRICS_PUBLIC_URL", hide_env_values = true)]
    pub(crate) public_url: Option<String>,
    #[arg(long, hide = true, env = "GITHUB_WEBHOOK_SECRET", hide_env_values = true)]
    pub(crate) github_webhook_secret: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    pub(crate) github_webhook_secret_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_WEBHOOK_SECRET_PREVIOUS", hide_env_values = true)]
    pub(crate) github_webhook_secret_previous: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_WEBHOOK_SECRET_PREVIOUS_FILE", hide_env_values = true)]
    pub(crate) github_webhook_secret_previous_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_WRITE_TOKEN", hide_env_values = true)]
    pub(crate) github_write_token: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_WRITE_TOKEN_FILE", hide_env_values = true)]
    pub(crate) github_write_token_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_WRITE_APP_ID", hide_env_values = true)]
    pub(crate) github_write_app_id: Option<String>,
    #[arg(long, hide = true, env = "GITHUB_WRITE_APP_PRIVATE_KEY", hide_env_values = true)]
    pub(crate) github_write_app_private_key: Option<SecretString>,
    #[arg(long, hide = true, env = "GITHUB_OWNER", hide_env_values = true)]
    pub(crate) github_owner: Option<String>,
    #[command(flatten)]
    pub(crate) terminal: TerminalVariables,
    /// Whether the file of variables holds a token for an address of GitHub that is ignored.
    #[arg(skip)]
    pub(crate) is_token_for_ignored_address: bool,
}

/// The variables that describe the terminal, as given.
#[derive(Args, Default)]
pub(crate) struct TerminalVariables {
    #[arg(long, hide = true, env = "NO_COLOR", hide_env_values = true)]
    pub(crate) no_color: Option<String>,
    #[arg(long, hide = true, env = "CLICOLOR_FORCE", hide_env_values = true)]
    pub(crate) clicolor_force: Option<String>,
    #[arg(long, hide = true, env = "TERM", hide_env_values = true)]
    pub(crate) term: Option<String>,
    #[arg(long, hide = true, env = "COLUMNS", hide_env_values = true)]
    pub(crate) columns: Option<String>,
    #[arg(long, hide = true, env = "LC_ALL", hide_env_values = true)]
    pub(crate) lc_all: Option<String>,
    #[arg(long, hide = true, env = "LC_CTYPE", hide_env_values = true)]
    pub(crate) lc_ctype: Option<String>,
    #[arg(long, hide = true, env = "LANG", hide_env_values = true)]
    pub(crate) lang: Option<String>,
}

// The variants have no doc comments: clap would spread them over a line each in every command's help.
/// The format of a command's output on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Json,
    Csv,
    Parquet,
}

/// The format of progress and logs on stderr: lines for people, or one JSON object a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}
