//! What flags, variables and the configuration come to.

use std::fmt;
use std::path::{Path, PathBuf};

use gam_github::Credentials;
use gam_model::Identity;
use url::Url;

use crate::args::{Command, Format, Globals, Limits, Variables};
use crate::config;
use crate::exit::usage;
use crate::location::{self, LakeLocation, StoreLocation};
use crate::sign_in;

const DATA_DIR: &str = "./github-metrics-data";
const DEMO_DATA_DIR: &str = "./github-metrics-demo";
const GITHUB_API_URL: &str = "https://api.github.com";
const HOST: &str = "127.0.0.1";
const PORT: u16 = 8080;

/// A text that is never shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, to be used and not to be shown.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What flags, variables and the configuration come to.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where things live unless they are told to live elsewhere.
    pub(crate) data_dir: PathBuf,
    /// Where the lake is.
    pub(crate) lake: LakeLocation,
    /// Where the store is.
    pub(crate) store: StoreLocation,
    /// The API that `show` and `export` ask, where it is not this process.
    pub(crate) api: Option<Url>,
    /// How data is written, where it was said.
    pub(crate) format: Option<Format>,
    config: Option<PathBuf>,
    credentials: Option<Credentials>,
    github_api_url: String,
    host: String,
    port: u16,
}

impl Settings {
    /// Checks flags and variables.
    ///
    /// # Errors
    /// Where one of them cannot be used.
    pub(crate) fn new(globals: Globals, variables: Variables, command: &Command) -> anyhow::Result<Self> {
        let default_dir = if matches!(command, Command::Demo(_)) { DEMO_DATA_DIR } else { DATA_DIR };
        let data_dir = globals.data_dir.clone().unwrap_or_else(|| default_dir.into());
        let lake = location::lake(globals.lake.as_deref(), &data_dir)?;
        let api = match command {
            Command::Show(_) | Command::Export(_) => globals.api.as_deref().map(api).transpose()?,
            _ => None,
        };
        let store = match api {
            // Whoever asks over HTTP needs no store.
            Some(_) => StoreLocation::Sqlite(location::in_dir(&data_dir)),
            None => location::store(&globals, &variables, &data_dir)?,
        };
        let port = variables.api_port.as_deref().map(port).transpose()?;
        Ok(Settings {
            lake,
            store,
            data_dir,
            api,
            format: globals.format,
            config: globals.config,
            credentials: sign_in::credentials(sign_in::Given {
                tokens: variables.github_token,
                app_id: variables.github_app_id,
                app_key: variables.github_app_private_key,
            })?,
            github_api_url: github_api_url(variables.github_api_url)?,
            host: variables.api_host.unwrap_or_else(|| HOST.to_owned()),
            port: port.unwrap_or(PORT),
        })
    }

    /// The configured bots and aliases.
    ///
    /// # Errors
    /// Where the configuration cannot be read.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        config::load(self.config.as_deref())
    }

    /// A client for GitHub. It is made within the runtime.
    ///
    /// # Errors
    /// Where there is no token, or the address cannot be used.
    pub(crate) fn github(&self, limits: &Limits) -> anyhow::Result<gam_github::Client> {
        let Some(credentials) = &self.credentials else {
            return Err(usage(
                "there is no GitHub token: put one into GITHUB_TOKEN or into .env \
                 (https://github.com/settings/tokens), or sign in as an app with GITHUB_APP_ID and \
                 GITHUB_APP_PRIVATE_KEY; `github-metrics demo` needs none",
            ));
        };
        let settings = gam_github::ClientSettings {
            api_url: self.github_api_url.clone(),
            credentials: credentials.clone(),
            max_wait: limits.max_wait,
            parallelism: limits.parallelism(),
            forks: limits.forks,
            budget: limits.budget,
        };
        gam_github::Client::new(settings).map_err(|error| usage(error.to_string()))
    }

    /// Where to listen: what `--listen` says, or the variables, or the default.
    ///
    /// # Errors
    /// Where `--listen` names no address.
    pub(crate) fn listen(&self, flag: Option<&str>) -> anyhow::Result<(String, u16)> {
        let Some(flag) = flag else { return Ok((self.host.clone(), self.port)) };
        if let Ok(port) = flag.parse() {
            return Ok((self.host.clone(), port));
        }
        let parts = flag.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => {
                Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
            }
            _ => Err(usage(format!("--listen {flag} is no address: give HOST:PORT, such as 127.0.0.1:8080"))),
        }
    }

    /// The data directory as it is given to `--data-dir`, where it is not the default one.
    pub(crate) fn data_dir_flag(&self) -> String {
        if self.data_dir == Path::new(DATA_DIR) {
            String::new()
        } else {
            format!(" --data-dir {}", shell_word(&self.data_dir.display().to_string()))
        }
    }
}

/// A word as a POSIX shell takes it.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':' | '~');
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The address of a served API, with or without the API's own path.
fn api(text: &str) -> anyhow::Result<Url> {
    let wrong = || usage("--api is no address: give the API's, such as http://127.0.0.1:8080");
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v1").unwrap_or(path).to_owned();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn github_api_url(text: Option<String>) -> anyhow::Result<String> {
    let text = text.unwrap_or_else(|| GITHUB_API_URL.to_owned());
    let usable = Url::parse(&text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
    });
    if usable {
        return Ok(text);
    }
    Err(usage("GITHUB_API_URL is no usable address: give https://api.github.com, or https://HOST/api/v3"))
}

fn port(text: &str) -> anyhow::Result<u16> {
    text.parse().map_err(|_| usage(format!("API_PORT {text} is no port: give a number from 0 to 65535")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn settings(args: &[&str]) -> anyhow::Result<Settings> {
        // Arguments stand in for variables, which are read through hidden arguments.
        let cli = Cli::try_parse_from(std::iter::once("github-metrics").chain(args.iter().copied()))?;
        Settings::new(cli.globals, cli.variables, &cli.command)
    }

    fn refusal(args: &[&str]) -> String {
        let error = settings(args).unwrap_err();
        assert_eq!(crate::exit::status(&error), crate::exit::Exit::Usage, "{args:?}");
        error.to_string()
    }

    #[test]
    fn everything_lives_below_the_data_directory() {
        let it = settings(&["serve"]).unwrap();
        assert_eq!(it.lake, LakeLocation::Dir("./github-metrics-data/lake".into()));
        assert_eq!(it.store, StoreLocation::Sqlite("./github-metrics-data/store.sqlite".into()));
        assert_eq!(settings(&["demo"]).unwrap().data_dir, Path::new("./github-metrics-demo"));
        let it = settings(&["demo", "--data-dir", "x"]).unwrap();
        assert_eq!((it.data_dir.as_path(), it.lake.to_string().as_str()), (Path::new("x"), "x/lake"));
        assert_eq!(
            (it.data_dir_flag().as_str(), settings(&["serve"]).unwrap().data_dir_flag().as_str()),
            (" --data-dir x", "")
        );
    }

    #[test]
    fn a_directory_is_told_so_that_it_can_be_pasted() {
        for (text, word) in [("./x-1", "./x-1"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")] {
            assert_eq!(shell_word(text), word);
        }
    }

    fn locations(args: &[&str]) -> (String, String) {
        let it = settings(args).unwrap();
        (it.lake.to_string(), it.store.to_string())
    }

    #[test]
    #[cfg(feature = "aws")]
    fn lake_and_store_can_be_on_aws() {
        let on_aws = |lake: &str, store: &str| locations(&["serve", "--lake", lake, "--store", store]);
        assert_eq!(on_aws("s3://b/x/y/", "dynamodb:T"), ("s3://b/x/y".into(), "dynamodb:T".into()));
        assert_eq!(on_aws("s3://b", "dynamodb:T").0, "s3://b");
    }

    #[test]
    #[cfg(not(feature = "aws"))]
    fn a_build_without_aws_says_how_to_get_it() {
        for args in [["serve", "--lake", "s3://b"], ["serve", "--store", "dynamodb:T"]] {
            assert!(refusal(&args).contains("--features aws"), "{args:?}");
        }
    }

    #[test]
    fn lake_and_store_may_live_elsewhere() {
        let given = |lake: &str, store: &str| locations(&["serve", "--lake", lake, "--store", store]);
        assert_eq!(given("file:/srv/lake", "sqlite:s.db"), ("/srv/lake".into(), "s.db".into()));
        assert_eq!(given("file:///srv/lake", "sqlite://s.db"), ("/srv/lake".into(), "s.db".into()));
        assert_eq!(locations(&["--sqlite-path", "s.db", "--storage-type", "sqlite", "serve"]).1, "s.db");
        let of_both = locations(&["--storage-type", "postgres", "serve", "--store", "sqlite:s.db"]);
        assert_eq!(of_both.1, "s.db", "the flag wins over the variable");
    }

    #[test]
    fn stores_of_other_builds_are_refused_without_showing_their_address() {
        for lake in ["lake", "s3://", "file:"] {
            assert!(refusal(&["serve", "--lake", lake]).contains("file:DIR"), "{lake}");
        }
        for store in
            ["postgres://me:hunter2@host/db", "postgresql://me:hunter2@host/db", "dynamodb:", "mysql:hunter2"]
        {
            let text = refusal(&["serve", "--store", store]);
            assert!(text.contains("sqlite:FILE") && !text.contains("hunter2"), "{text}");
        }
        assert!(refusal(&["--storage-type", "dynamodb", "serve"]).contains("STORAGE_TYPE dynamodb"));
        assert!(refusal(&["--storage-type", "mongo", "serve"]).contains("STORAGE_TYPE mongo is not known"));
        assert!(refusal(&["show", "acme", "--api", "user:hunter2"]).contains("--api is no address"));
    }

    #[test]
    fn where_to_listen() {
        let it = settings(&["--api-host", "::1", "--api-port", "81", "serve"]).unwrap();
        assert_eq!(it.listen(None).unwrap(), ("::1".to_owned(), 81));
        assert_eq!(it.listen(Some("9")).unwrap(), ("::1".to_owned(), 9));
        assert_eq!(it.listen(Some("0.0.0.0:0")).unwrap(), ("0.0.0.0".to_owned(), 0));
        assert_eq!(it.listen(Some("[::]:80")).unwrap(), ("::".to_owned(), 80));
        for bad in ["", "host", ":80", "host:99999", "host:http"] {
            assert!(it.listen(Some(bad)).is_err(), "{bad}");
        }
        assert!(refusal(&["--api-port", "http", "serve"]).contains("API_PORT http"));
    }

    #[test]
    fn an_api_is_named_with_or_without_its_path() {
        for given in ["http://h:1", "http://h:1/", "http://h:1/api/v1", "http://h:1/api/v1/"] {
            let it = settings(&["show", "acme", "--api", given]).unwrap();
            assert_eq!(it.api.unwrap().as_str(), "http://h:1/", "{given}");
        }
        let it = settings(&["export", "acme", "--api", "https://h/metrics/api/v1"]).unwrap();
        assert_eq!(it.api.unwrap().as_str(), "https://h/metrics");
        let it = settings(&["--storage-type", "postgres", "show", "acme", "--api", "http://h"]).unwrap();
        assert!(it.api.is_some(), "whoever asks over HTTP needs no store");
    }

    #[test]
    fn the_token_is_never_shown() {
        let it = settings(&["--github-token", " hunter2\n", "serve"]).unwrap();
        assert!(!format!("{it:?}").contains("hunter2"));
        assert!(!refusal(&["--github-token", "hunter2 x", "serve"]).contains("hunter2"));
        assert!(!refusal(&["--github-api-url", "https://u:hunter2@h", "serve"]).contains("hunter2"));
    }

    #[test]
    fn without_a_token_the_mend_is_told() {
        let error = settings(&["serve"]).unwrap().github(&Limits::AT_ONCE).err().expect("there is no token");
        assert_eq!(crate::exit::status(&error), crate::exit::Exit::Usage);
        assert!(error.to_string().contains("GITHUB_TOKEN"));
    }
}
