//! The checked settings of a run, from options, variables and defaults.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gam_client::{ClientError, is_protected, parse_address};
use gam_github::Credentials;
use gam_http::AllowedOrigins;
use gam_work::actions::ApprovalLinks;
use url::Url;

use crate::access::TokenVariable;
use crate::actions::{self, WriteVariables};
use crate::args::{GitHubOptions, GlobalOptions, OutputFormat, Variables};
use crate::error::usage_error;
use crate::format::redacted;
use crate::location::{self, LakeLocation, StoreLocation};
use crate::secret_variable::SecretVariable;
use crate::sign_in::{self, CredentialVariables};
use crate::terminal_text::quoted;
use crate::webhooks::WebhookSecretVariables;

pub(crate) const DEFAULT_DATA_DIR: &str = "./github-metrics-data";
/// The data directory of `demo`.
pub(crate) const DEFAULT_SAMPLE_DATA_DIR: &str = "./github-metrics-demo";
const DEFAULT_GITHUB_API_URL: &str = "https://api.github.com";
const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8080;

/// Which data a command uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataUse {
    /// The lake and the store of the sample, in a data directory of their own.
    Sample,
    /// The answers of the HTTP API: of a server that `--api` names, or from the local store.
    Query,
    /// The lake and the store.
    LakeAndStore,
}

/// The checked settings of a run.
#[derive(Debug)]
pub(crate) struct CliSettings {
    /// The directory of the lake and the store, unless they have locations of their own.
    pub(crate) data_dir: PathBuf,
    /// The location of the lake.
    pub(crate) lake: LakeLocation,
    /// The location of the store.
    pub(crate) store: StoreLocation,
    /// The server that `show` and `export` query, without `/api/v1`. `None` for this process.
    pub(crate) api: Option<Url>,
    /// The output format. `None` for the default of the command.
    pub(crate) format: Option<OutputFormat>,
    credentials: Option<Credentials>,
    github_api_url: String,
    host: String,
    port: u16,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<String>,
    /// The directories of Claude Code, separated by commas. `None` for those in the home directory.
    pub(crate) claude_config_dir: Option<String>,
    /// The directory of Codex. `None` for the one in the home directory.
    pub(crate) codex_home: Option<PathBuf>,
    /// The token that commands with `--api` send to a server.
    pub(crate) api_token: TokenVariable,
    /// The token that a server accepts in addition to those of its store.
    pub(crate) admin_token: TokenVariable,
    /// The key of the hashes of addresses in the audit log.
    pub(crate) origin_key: SecretVariable,
    /// The key that signs links for approvers.
    link_key: SecretVariable,
    /// The address at which people reach the server.
    public_url: Option<String>,
    /// The secrets that sign webhooks.
    pub(crate) webhook_secrets: WebhookSecretVariables,
    /// The credential that may write to GitHub.
    write: WriteVariables,
    /// The owner of repositories that a request names without one.
    pub(crate) github_owner: Option<String>,
    is_token_for_ignored_address: bool,
}

impl CliSettings {
    /// Checks options and variables, and fills in the defaults.
    ///
    /// # Errors
    /// If an option or a variable is invalid.
    pub(crate) fn new(
        globals: GlobalOptions,
        variables: Variables,
        data_use: DataUse,
    ) -> anyhow::Result<Self> {
        let data_dir = globals.data_dir.clone();
        let data_dir = data_dir.unwrap_or_else(|| default_data_dir(data_use, Path::new(".")).into());
        let lake = location::lake(globals.lake.as_deref(), globals.audit_log.as_deref(), &data_dir)?;
        let api = match data_use {
            DataUse::Query => globals.api.as_deref().map(api_url).transpose()?,
            DataUse::Sample | DataUse::LakeAndStore => None,
        };
        let store = match api {
            // Queries over HTTP need no store, so an invalid one is no error.
            Some(_) => StoreLocation::Sqlite(location::default_store_file(&data_dir)),
            None => location::store(&globals, &variables, &data_dir)?,
        };
        let port = variables.api_port.as_deref().map(api_port).transpose()?;
        Ok(CliSettings {
            lake,
            store,
            data_dir,
            api,
            format: globals.format,
            credentials: sign_in::credentials(CredentialVariables {
                tokens: variables.github_token,
                app_id: variables.github_app_id,
                app_key: variables.github_app_private_key,
            })?,
            github_api_url: github_api_url(variables.github_api_url)?,
            host: variables.api_host.unwrap_or_else(|| DEFAULT_HOST.to_owned()),
            port: port.unwrap_or(DEFAULT_PORT),
            allowed_hosts: variables.api_allow_host.as_deref().map(host_list).unwrap_or_default(),
            allowed_origins: variables.api_allow_origin.as_deref().map(host_list).unwrap_or_default(),
            claude_config_dir: variables.claude_config_dir,
            codex_home: variables.codex_home,
            api_token: TokenVariable::new(
                "GITHUB_METRICS_TOKEN",
                variables.github_metrics_token,
                variables.github_metrics_token_file,
            ),
            admin_token: TokenVariable::new(
                "GITHUB_METRICS_ADMIN_TOKEN",
                variables.github_metrics_admin_token,
                variables.github_metrics_admin_token_file,
            ),
            origin_key: SecretVariable::new(
                "GITHUB_METRICS_ORIGIN_KEY",
                variables.origin_key,
                variables.origin_key_file,
            ),
            link_key: SecretVariable::new(
                "GITHUB_METRICS_LINK_KEY",
                variables.link_key,
                variables.link_key_file,
            ),
            public_url: variables.public_url.filter(|url| !url.trim().is_empty()),
            webhook_secrets: WebhookSecretVariables::new(
                (variables.github_webhook_secret, variables.github_webhook_secret_file),
                (variables.github_webhook_secret_previous, variables.github_webhook_secret_previous_file),
            ),
            write: WriteVariables::new(
                (variables.github_write_token, variables.github_write_token_file),
                variables.github_write_app_id,
                variables.github_write_app_private_key,
            ),
            github_owner: variables.github_owner.filter(|owner| !owner.trim().is_empty()),
            is_token_for_ignored_address: variables.is_token_for_ignored_address,
        })
    }

    /// Returns the host of the repositories' addresses: `github.com`, or the host of GitHub Enterprise Server.
    pub(crate) fn github_host(&self) -> String {
        let host = Url::parse(&self.github_api_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        match host.as_deref() {
            None | Some("api.github.com") => "github.com".to_owned(),
            Some(host) => host.to_owned(),
        }
    }

    /// Returns whether there is a token for GitHub.
    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Creates a client for GitHub. Must be called within the async runtime.
    ///
    /// # Errors
    /// If there is no token, or the client rejects the settings.
    pub(crate) fn github(&self, options: &GitHubOptions) -> anyhow::Result<gam_github::Client> {
        let Some(credentials) = &self.credentials else {
            return Err(usage_error(
                "there is no GitHub token: set GITHUB_TOKEN, in the environment or in .env (create a token at \
                 https://github.com/settings/tokens), or sign in as an app with GITHUB_APP_ID and \
                 GITHUB_APP_PRIVATE_KEY; `github-metrics demo` works without a token",
            ));
        };
        self.check_address_of_token()?;
        let settings = gam_github::ClientSettings {
            api_url: self.github_api_url.clone(),
            credentials: credentials.clone(),
            max_wait: options.max_wait,
            parallelism: options.parallelism(),
            forks: options.forks,
            budget: options.budget,
        };
        gam_github::Client::new(settings).map_err(|error| usage_error(error.to_string()))
    }

    /// Creates the client that writes to GitHub, or returns `None` if there is no credential for that. Must be called
    /// within the async runtime.
    ///
    /// # Errors
    /// If the credential is invalid, or the client rejects the settings.
    pub(crate) fn writing_client(&self) -> anyhow::Result<Option<gam_github::Client>> {
        let Some(credentials) = self.write.read()? else { return Ok(None) };
        self.check_address_of_token()?;
        actions::writing_client(&self.github_api_url, credentials).map(Some)
    }

    /// Returns what signs links for approvers, or `None` if there is no key for them.
    ///
    /// # Errors
    /// If the key is too short, or the address of the server is missing or invalid. No message contains the key.
    pub(crate) fn approval_links(&self) -> anyhow::Result<Option<ApprovalLinks>> {
        let Some(key) = self.link_key.read()? else { return Ok(None) };
        let Some(public_url) = &self.public_url else {
            return Err(usage_error(
                "GITHUB_METRICS_LINK_KEY needs GITHUB_METRICS_PUBLIC_URL: set it to the address at which people reach the \
                 server, such as https://metrics.example.com",
            ));
        };
        if !Url::parse(public_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(usage_error(format!(
                "invalid GITHUB_METRICS_PUBLIC_URL {}: expected an address such as https://metrics.example.com",
                quoted(public_url)
            )));
        }
        let links = ApprovalLinks::new(key.as_bytes(), public_url);
        links.map(Some).map_err(|why| usage_error(format!("{} {why}", self.link_key.name())))
    }

    /// # Errors
    /// If a file holds a token for an address that it must not set.
    fn check_address_of_token(&self) -> anyhow::Result<()> {
        if !self.is_token_for_ignored_address {
            return Ok(());
        }
        Err(usage_error(format!(
            ".env holds a token together with GITHUB_API_URL, which is ignored there, so the token was not \
             sent to {}: set GITHUB_API_URL in the environment, or run with --env-file .env",
            self.github_api_url
        )))
    }

    /// Returns the host and the port to listen on, from `--listen`, the variables, or the default.
    ///
    /// # Errors
    /// If `--listen` is invalid.
    pub(crate) fn listen_address(&self, option: Option<&str>) -> anyhow::Result<(String, u16)> {
        let Some(text) = option else { return Ok((self.host.clone(), self.port)) };
        if let Ok(port) = text.parse() {
            return Ok((self.host.clone(), port));
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => {
                Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
            }
            _ => Err(usage_error(format!(
                "invalid --listen {}: expected HOST:PORT, such as 127.0.0.1:8080, or a port",
                quoted(text)
            ))),
        }
    }

    /// Returns the names by which clients may address the server, in addition to those that every server has.
    pub(crate) fn allowed_hosts(&self, option: &[String]) -> Vec<String> {
        self.allowed_hosts.iter().chain(option).cloned().collect()
    }

    /// Returns the origins of web pages that may call the API.
    ///
    /// # Errors
    /// If one of them is no origin.
    pub(crate) fn allowed_origins(&self, option: &[String]) -> anyhow::Result<AllowedOrigins> {
        let origins = self.allowed_origins.iter().chain(option);
        let invalid = origins.clone().find(|origin| AllowedOrigins::parse([origin.as_str()]).is_none());
        match (invalid, AllowedOrigins::parse(origins.map(String::as_str))) {
            (None, Some(allowed)) => Ok(allowed),
            (invalid, _) => Err(usage_error(format!(
                "invalid --allow-origin {}: expected a scheme and a host in lower case, such as https://wiki.example.com",
                quoted(invalid.map_or("", String::as_str))
            ))),
        }
    }

    /// Returns `--lake`, `--audit-log` and `--store` with absolute locations, unless they are those in the data directory. A password of a
    /// database is left out.
    ///
    /// # Errors
    /// If the current directory cannot be determined.
    pub(crate) fn location_options(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let absolute =
            |path: &Path| std::path::absolute(path).context("cannot determine the current directory");
        let mut options = Vec::new();
        match &self.lake {
            LakeLocation::Dir(dir) if *dir == self.data_dir.join(location::LAKE_DIR) => {}
            LakeLocation::Dir(dir) => options.push(("--lake", format!("file:{}", absolute(dir)?.display()))),
            LakeLocation::S3 { lake, audit_log } => {
                options.push(("--lake", lake.to_string()));
                options.extend(audit_log.iter().map(|log| ("--audit-log", log.to_string())));
            }
        }
        match &self.store {
            StoreLocation::Sqlite(file) if *file == location::default_store_file(&self.data_dir) => {}
            StoreLocation::Sqlite(file) => {
                options.push(("--store", format!("sqlite:{}", absolute(file)?.display())));
            }
            StoreLocation::Postgres(_) | StoreLocation::Dynamo(_) => {
                options.push(("--store", self.store.to_string()));
            }
        }
        Ok(options)
    }

    /// Returns ` --data-dir DIR`, quoted for a POSIX shell, or nothing for the default directory. Commands
    /// in messages end with it.
    pub(crate) fn data_dir_option(&self) -> String {
        if self.data_dir == Path::new(DEFAULT_DATA_DIR) {
            return String::new();
        }
        let dir = self.data_dir.display().to_string();
        // Only a NUL, which no path contains, cannot be quoted.
        format!(" --data-dir {}", shlex::try_quote(&dir).unwrap_or(dir.as_str().into()))
    }
}

/// Returns the data directory if none is named. Below `directory`, what reads finds the sample if there is nothing
/// else.
fn default_data_dir(data_use: DataUse, directory: &Path) -> &'static str {
    let has_store = |dir: &str| location::default_store_file(&directory.join(dir)).exists();
    match data_use {
        DataUse::Sample => DEFAULT_SAMPLE_DATA_DIR,
        DataUse::Query if !has_store(DEFAULT_DATA_DIR) && has_store(DEFAULT_SAMPLE_DATA_DIR) => {
            DEFAULT_SAMPLE_DATA_DIR
        }
        DataUse::Query | DataUse::LakeAndStore => DEFAULT_DATA_DIR,
    }
}

/// Parses the address of a server, with or without `/api/v1`. The message does not repeat all of an
/// invalid address, because it may contain a password.
fn api_url(text: &str) -> anyhow::Result<Url> {
    let invalid = || {
        usage_error(format!(
            "invalid --api {}: expected a URL such as https://metrics.example.com or http://127.0.0.1:8080",
            quoted(&redacted(text))
        ))
    };
    parse_address(text).map_err(|error| match error {
        ClientError::PlainHttp { origin } => plain_http_error("--api", &origin),
        _ => invalid(),
    })
}

fn github_api_url(variable: Option<String>) -> anyhow::Result<String> {
    let text = variable.unwrap_or_else(|| DEFAULT_GITHUB_API_URL.to_owned());
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
    });
    match url {
        Some(url) if is_protected(&url) => Ok(text),
        Some(url) => Err(plain_http_error("GITHUB_API_URL", &url.origin().ascii_serialization())),
        None => Err(usage_error(format!(
            "invalid GITHUB_API_URL {}: expected https://api.github.com or https://HOST/api/v3",
            quoted(&redacted(&text))
        ))),
    }
}

/// Returns the error for an address that [`is_protected`] refuses. `name` is its option or variable.
pub(crate) fn plain_http_error(name: &str, origin: &str) -> anyhow::Error {
    usage_error(format!(
        "refused {name} {origin:?}: tokens and data must not be sent over plain http; use https (plain http is allowed \
         for localhost only)"
    ))
}

fn host_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect()
}

fn api_port(text: &str) -> anyhow::Result<u16> {
    text.parse().map_err(|_| {
        usage_error(format!("invalid API_PORT {}: expected a number from 0 to 65535", quoted(text)))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn settings(args: &[&str]) -> anyhow::Result<CliSettings> {
        // Variables are hidden arguments, so arguments can stand in for them.
        let cli = Cli::try_parse_from(std::iter::once("github-metrics").chain(args.iter().copied()))?;
        CliSettings::new(cli.globals, cli.variables, cli.command.data_use())
    }

    #[test]
    fn what_reads_finds_the_sample_if_there_is_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let default = |data_use| default_data_dir(data_use, directory.path());
        assert_eq!(default(DataUse::Query), DEFAULT_DATA_DIR);
        let create = |dir: &str| {
            let file = location::default_store_file(&directory.path().join(dir));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        };
        create(DEFAULT_SAMPLE_DATA_DIR);
        assert_eq!(default(DataUse::Query), DEFAULT_SAMPLE_DATA_DIR);
        assert_eq!(default(DataUse::LakeAndStore), DEFAULT_DATA_DIR);
        create(DEFAULT_DATA_DIR);
        assert_eq!(default(DataUse::Query), DEFAULT_DATA_DIR);
    }

    fn error_message(args: &[&str]) -> String {
        let error = settings(args).unwrap_err();
        assert_eq!(crate::error::exit_status(&error), crate::exit::Exit::Usage, "{args:?}");
        error.to_string()
    }

    #[test]
    fn lake_and_store_default_to_the_data_directory() {
        let defaults = settings(&["serve"]).unwrap();
        assert_eq!(defaults.lake, LakeLocation::Dir("./github-metrics-data/lake".into()));
        assert_eq!(defaults.store, StoreLocation::Sqlite("./github-metrics-data/store.sqlite".into()));
        assert_eq!(settings(&["demo"]).unwrap().data_dir, Path::new("./github-metrics-demo"));
        let elsewhere = settings(&["demo", "--data-dir", "x"]).unwrap();
        assert_eq!(elsewhere.data_dir, Path::new("x"));
        assert_eq!(elsewhere.lake.to_string(), "x/lake");
    }

    #[test]
    fn the_data_directory_is_quoted_for_the_shell() {
        let option = |dir: &str| settings(&["serve", "--data-dir", dir]).unwrap().data_dir_option();
        assert_eq!(settings(&["serve"]).unwrap().data_dir_option(), "");
        for (dir, quoted) in [("./x-1", "./x-1"), ("a b", "'a b'"), ("it's", "\"it's\"")] {
            assert_eq!(option(dir), format!(" --data-dir {quoted}"));
        }
    }

    #[test]
    fn other_locations_become_options() {
        let options = |args: &[&str]| settings(args).unwrap().location_options().unwrap();
        assert_eq!(options(&["serve", "--data-dir", "x"]), []);
        let moved = options(&["serve", "--lake", "file:/srv/lake", "--store", "sqlite:s.db"]);
        assert_eq!(moved[0], ("--lake", "file:/srv/lake".to_owned()));
        let (option, store) = &moved[1];
        assert!(*option == "--store" && store.starts_with("sqlite:/") && store.ends_with("/s.db"), "{store}");
    }

    fn locations(args: &[&str]) -> (String, String) {
        let settings = settings(args).unwrap();
        (settings.lake.to_string(), settings.store.to_string())
    }

    #[test]
    #[cfg(feature = "aws")]
    fn lake_and_store_can_be_on_aws() {
        let on_aws = |lake: &str, store: &str| locations(&["serve", "--lake", lake, "--store", store]);
        assert_eq!(on_aws("s3://b/x/y/", "dynamodb:T"), ("s3://b/x/y".into(), "dynamodb:T".into()));
        assert_eq!(on_aws("s3://b", "dynamodb:T").0, "s3://b");
    }

    #[test]
    #[cfg(feature = "aws")]
    fn the_audit_log_of_a_lake_on_s3_can_have_its_own_bucket() {
        let args = ["serve", "--lake", "s3://b/x", "--audit-log", "s3://log", "--store", "dynamodb:T"];
        let options = settings(&args).unwrap().location_options().unwrap();
        let expected = [("--lake", "s3://b/x"), ("--audit-log", "s3://log"), ("--store", "dynamodb:T")];
        assert_eq!(options, expected.map(|(name, value)| (name, value.to_owned())));
        for (lake, log) in [("s3://b", "file:x"), ("s3://b", "s3://"), ("file:x", "s3://log")] {
            let message = error_message(&["serve", "--lake", lake, "--audit-log", log]);
            assert!(message.contains(&format!("--audit-log {log:?}: ")), "{message}");
        }
    }

    #[test]
    #[cfg(not(feature = "aws"))]
    fn a_build_without_aws_says_how_to_enable_it() {
        for args in [["serve", "--lake", "s3://b"], ["serve", "--store", "dynamodb:T"]] {
            assert!(error_message(&args).contains("--features aws"), "{args:?}");
        }
    }

    #[test]
    #[cfg(feature = "postgres")]
    fn the_store_can_be_in_postgresql() {
        let shown = "postgres://me@db.example.com:5432/metrics";
        let url = "postgres://me:hunter2@db.example.com/metrics";
        assert_eq!(locations(&["serve", "--store", url]).1, shown);
        assert_eq!(locations(&["--storage-type", "postgres", "--postgres-url", url, "serve"]).1, shown);
        let settings = settings(&["serve", "--store", url]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let message = error_message(&["--storage-type", "postgres", "serve"]);
        assert!(message.contains("POSTGRES_URL is not set"), "{message}");
        let invalid = ["--storage-type", "postgres", "--postgres-url", "me:hunter2@db", "serve"];
        let message = error_message(&invalid);
        assert!(message.starts_with("invalid POSTGRES_URL") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    #[cfg(not(feature = "postgres"))]
    fn a_build_without_postgresql_says_how_to_enable_it() {
        let message = error_message(&["serve", "--store", "postgres://me:hunter2@host/db"]);
        assert!(message.contains("--features postgres") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn lake_and_store_can_be_elsewhere() {
        let local = |lake: &str, store: &str| locations(&["serve", "--lake", lake, "--store", store]);
        assert_eq!(local("file:/srv/lake", "sqlite:s.db"), ("/srv/lake".into(), "s.db".into()));
        assert_eq!(local("file:///srv/lake", "sqlite://s.db"), ("/srv/lake".into(), "s.db".into()));
        assert_eq!(locations(&["--sqlite-path", "s.db", "--storage-type", "sqlite", "serve"]).1, "s.db");
        let with_both = locations(&["--storage-type", "postgres", "serve", "--store", "sqlite:s.db"]);
        assert_eq!(with_both.1, "s.db", "the option wins over the variable");
    }

    #[test]
    fn invalid_locations_are_rejected_without_secrets() {
        for lake in ["lake", "s3://", "file:"] {
            let message = error_message(&["serve", "--lake", lake]);
            assert!(
                message.starts_with(&format!("invalid --lake \"{lake}\": expected file:DIR")),
                "{message}"
            );
        }
        for store in ["dynamodb:", "mysql:hunter2"] {
            let message = error_message(&["serve", "--store", store]);
            assert!(message.contains("sqlite:FILE") && !message.contains("hunter2"), "{message}");
        }
        for store in ["postgres:me:hunter2@host", "postgresql://me:hunter2@host:x/db"] {
            let message = error_message(&["serve", "--store", store]);
            assert!(message.contains("--store") && !message.contains("hunter2"), "{message}");
        }
        assert_eq!(
            error_message(&["serve", "--store", "foo"]),
            "invalid --store \"foo\": expected sqlite:FILE, postgres://USER@HOST/DATABASE or dynamodb:TABLE"
        );
        assert!(error_message(&["--storage-type", "dynamodb", "serve"]).contains("--store dynamodb:TABLE"));
        assert!(
            error_message(&["--storage-type", "mongo", "serve"]).contains("invalid STORAGE_TYPE \"mongo\"")
        );
        assert_eq!(
            error_message(&["show", "acme", "--api", "user:hunter2"]),
            "invalid --api \"user:...\": expected a URL such as https://metrics.example.com or \
             http://127.0.0.1:8080"
        );
    }

    #[test]
    fn the_listen_address_is_parsed() {
        let settings = settings(&["--api-host", "::1", "--api-port", "81", "serve"]).unwrap();
        assert_eq!(settings.listen_address(None).unwrap(), ("::1".to_owned(), 81));
        assert_eq!(settings.listen_address(Some("9")).unwrap(), ("::1".to_owned(), 9));
        assert_eq!(settings.listen_address(Some("0.0.0.0:0")).unwrap(), ("0.0.0.0".to_owned(), 0));
        assert_eq!(settings.listen_address(Some("[::]:80")).unwrap(), ("::".to_owned(), 80));
        for invalid in ["", "host", ":80", "host:99999", "host:http"] {
            assert!(settings.listen_address(Some(invalid)).is_err(), "{invalid}");
        }
        assert!(error_message(&["--api-port", "http", "serve"]).contains("invalid API_PORT \"http\""));
    }

    #[test]
    fn only_origins_may_call_the_api() {
        let settings =
            settings(&["--api-allow-origin", "https://a.example, http://b.example:8", "serve"]).unwrap();
        assert!(settings.allowed_origins(&["https://c.example".to_owned()]).is_ok());
        for invalid in ["*", "https://c.example/", "c.example"] {
            let error = settings.allowed_origins(&[invalid.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid --allow-origin \"{invalid}\"")), "{error}");
        }
    }

    #[test]
    fn the_api_path_is_optional() {
        for url in ["https://h:1", "https://h:1/", "https://h:1/api/v1", "https://h:1/api/v1/"] {
            let settings = settings(&["show", "acme", "--api", url]).unwrap();
            assert_eq!(settings.api.unwrap().as_str(), "https://h:1/", "{url}");
        }
        let with_prefix = settings(&["export", "acme", "--api", "https://h/metrics/api/v1"]).unwrap();
        assert_eq!(with_prefix.api.unwrap().as_str(), "https://h/metrics");
        let without_store =
            settings(&["--storage-type", "postgres", "show", "acme", "--api", "https://h"]).unwrap();
        assert!(without_store.api.is_some(), "queries over HTTP need no store");
    }

    #[test]
    fn plain_http_is_allowed_on_this_machine_only() {
        for url in
            ["http://localhost:1", "http://127.0.0.2", "http://[::1]:1/api/v3", "https://ghe.example/api/v3"]
        {
            assert!(settings(&["show", "acme", "--api", url]).is_ok(), "{url}");
            assert!(settings(&["--github-api-url", url, "serve"]).is_ok(), "{url}");
        }
        for url in [
            "http://ghe.example/api/v3",
            "http://192.0.2.2:1",
            "http://localhost.evil.example",
            "http://0x7f.1.evil",
        ] {
            let message = error_message(&["--github-api-url", url, "serve"]);
            assert!(message.starts_with("refused GITHUB_API_URL \"http://"), "{message}");
            assert!(message.contains("use https"), "{message}");
            assert!(error_message(&["show", "acme", "--api", url]).starts_with("refused --api"), "{url}");
        }
        assert!(!error_message(&["show", "acme", "--api", "http://u:hunter2@h"]).contains("hunter2"));
    }

    #[test]
    fn hosts_come_from_the_option_and_the_variable() {
        let settings = settings(&["--api-allow-host", "a.example, b.example", "serve"]).unwrap();
        assert_eq!(settings.allowed_hosts(&["c".to_owned()]), ["a.example", "b.example", "c"]);
    }

    #[test]
    fn secrets_are_never_printed() {
        let settings = settings(&["--github-token", " hunter2\n", "serve"]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!error_message(&["--github-token", "hunter2 x", "serve"]).contains("hunter2"));
        assert!(!error_message(&["--github-api-url", "https://u:hunter2@h", "serve"]).contains("hunter2"));
    }

    #[test]
    fn a_missing_token_is_a_usage_error() {
        let settings = settings(&["serve"]).unwrap();
        let error = settings.github(&GitHubOptions::WITHOUT_WAITING).err().expect("there is no token");
        assert_eq!(crate::error::exit_status(&error), crate::exit::Exit::Usage);
        assert!(error.to_string().contains("GITHUB_TOKEN"));
    }
}
