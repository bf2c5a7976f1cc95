//! `help`: the help of a command, or a topic.

use clap::builder::StyledStr;
use clap::{Args, Command};

use crate::console::Console;
use crate::error::usage_error;
use crate::exit::Exit;
use crate::terminal_text::quoted;

const EXAMPLES: &str = "\
Examples:
  github-metrics help show
  github-metrics help options         the options that every command takes
  github-metrics help environment     the variables
  github-metrics help exit-codes";

/// The topic `environment`.
pub(crate) const ENVIRONMENT: &str = "\
An option wins over its variable, and an empty variable counts as unset.

GitHub
  GITHUB_TOKEN               token, or several tokens separated by commas
  GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY
                             GitHub App instead of a token: its id; its key as PEM text or a file
  GITHUB_API_URL *           API of GitHub Enterprise Server: https://HOST/api/v3

Data and output
  GITHUB_METRICS_DATA_DIR    --data-dir
  GITHUB_METRICS_LAKE        --lake
  GITHUB_METRICS_AUDIT_LOG * --audit-log
  GITHUB_METRICS_STORE       --store
  STORAGE_TYPE, SQLITE_PATH, POSTGRES_URL *
                             legacy names for --store
  PGPASSWORD, PGPASSFILE, PGSSLMODE, PGSSLROOTCERT *
                             what --store postgres://... leaves out, as for PostgreSQL's programs
  GITHUB_METRICS_CONFIG      --config of up and aggregate
  GITHUB_METRICS_FORMAT      --format
  GITHUB_METRICS_QUIET       --quiet
  GITHUB_METRICS_LOG_FORMAT  --log-format
  API_ENDPOINT *             --api
  GITHUB_METRICS_TOKEN, GITHUB_METRICS_TOKEN_FILE *
                             token that show, export, task, action and worker send to --api; or a file with it
  RUST_LOG                   filter for the logs, such as debug

Server
  API_HOST, API_PORT         --listen
  API_ALLOW_HOST *           --allow-host, several separated by commas
  API_ALLOW_ORIGIN *         --allow-origin, several separated by commas
  GITHUB_METRICS_ADMIN_TOKEN *, GITHUB_METRICS_ADMIN_TOKEN_FILE *
                             token that the server accepts as an administrator's; or a file with it
  GITHUB_WRITE_TOKEN, GITHUB_WRITE_TOKEN_FILE *
                             token with which actions are done on GitHub; or a file with it
  GITHUB_WRITE_APP_ID, GITHUB_WRITE_APP_PRIVATE_KEY
                             app with which actions are done, in place of the token
  GITHUB_OWNER               owner of repositories that a request of an action names without one
  GITHUB_METRICS_ORIGIN_KEY *, GITHUB_METRICS_ORIGIN_KEY_FILE *
                             key of the hashes of addresses in the audit log; or a file with it.
                             Without a key, they are comparable until the server stops
  GITHUB_METRICS_LINK_KEY *, GITHUB_METRICS_LINK_KEY_FILE *
                             key that signs links for approvers; or a file with it
  GITHUB_METRICS_PUBLIC_URL *
                             address at which people reach the server, for links
  GITHUB_WEBHOOK_SECRET *, GITHUB_WEBHOOK_SECRET_FILE *
                             secret of the webhooks that up and serve take; or a file with it
  GITHUB_WEBHOOK_SECRET_PREVIOUS *, GITHUB_WEBHOOK_SECRET_PREVIOUS_FILE *
                             the secret before, while it is exchanged
  NOTIFY_* *                 URLs, addresses and secrets of channels, by the names in the configuration.
                             With _FILE at the end: a file with the value

Network
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY *
                             proxies, and the hosts to reach without one
  AWS_* *                    region, credentials and endpoints for s3: and dynamodb:

Session logs
  CLAUDE_CONFIG_DIR *        directories of Claude Code, separated by commas [default: ~/.claude]
  CODEX_HOME *               directory of Codex [default: ~/.codex]

Terminal
  NO_COLOR, CLICOLOR_FORCE   no colours; colours even if the output is no terminal
  COLUMNS                    width of tables and charts [default: that of the terminal]
  TERM                       no colours if it is dumb
  LC_ALL, LC_CTYPE, LANG     characters beyond ASCII only if the first one set names UTF-8

The file .env in the current directory sets variables that the environment does not set, except
those marked *: a file that came with a directory must not choose where tokens and data are sent.
--env-file FILE reads another file instead, which may set all of them.
";

/// The topic `exit-codes`.
pub(crate) const EXIT_CODES: &str = "\
  0         success
  1         failure
  2         invalid arguments, variables or configuration
  3         partial success: messages name what failed, the rest is saved
  75        stopped at GitHub's rate limit or at --budget; progress is saved
  130, 143  stopped by Ctrl-C or SIGTERM; progress is saved (serve, up, demo, worker
            and ingest sessions --watch exit with 0)

Data goes to stdout, progress and errors to stderr.
";

const OPTIONS_TEMPLATE: &str = "\
The options that every command takes, before or after its name:

{options}

Variables: github-metrics help environment
";

/// Arguments of `help`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HelpArgs {
    /// Command or topic
    #[arg(value_name = "COMMAND|TOPIC")]
    subject: Option<String>,
}

/// Returns the topic `options`.
pub(crate) fn options(command_line: Command) -> StyledStr {
    command_line.help_template(OPTIONS_TEMPLATE).render_help()
}

/// Prints the help of the given command line.
///
/// # Errors
/// If there is no such command or topic.
pub(crate) fn run(console: &Console, args: HelpArgs, mut command_line: Command) -> anyhow::Result<Exit> {
    // Completes the usage of the commands.
    command_line.build();
    let help = match args.subject.as_deref() {
        None => command_line.render_help(),
        Some("environment") => ENVIRONMENT.into(),
        Some("exit-codes") => EXIT_CODES.into(),
        Some("options") => options(command_line),
        Some(name) => match command_line.find_subcommand_mut(name) {
            Some(command) => command.render_help(),
            None => {
                return Err(usage_error(format!(
                    "there is no command or topic {}: `github-metrics --help` lists the commands; the topics are \
                     options, environment and exit-codes",
                    quoted(name)
                )));
            }
        },
    };
    let text = if console.output().has_color { help.ansi().to_string() } else { help.to_string() };
    console.write_data(text)?;
    Ok(Exit::Success)
}
