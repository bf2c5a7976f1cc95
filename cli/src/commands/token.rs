//! `token`: the access tokens of a store.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use gam_access::{AccessError, AccessToken, NewToken, Principal, RepoName, Role, Scope, TokenSecret};
use gam_model::OrgRegistry;
use serde_json::{Value, json};

use crate::args;
use crate::error::usage_error;
use crate::exit::Exit;
use crate::format::utc;
use crate::open::OpenStore;
use crate::records::records_text;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics token new admin --role admin
  github-metrics token new dashboard --role viewer --org acme --expires 90d
  github-metrics token new site-ci --role viewer --repo acme/site --expires 2027-01-01
  github-metrics token new ann-laptop --role worker --member ann   pushes ann's session logs
  github-metrics token list
  github-metrics token revoke dashboard

Roles: viewer reads; worker claims tasks and pushes session logs; operator reads and requests
actions; approver reads and decides about actions; auditor reads, the audit log too; admin does
everything.
Once a store has had a token, its servers require one of everybody. A revoked one is refused at once.";

/// The principal of whoever runs this program on the store.
pub(crate) const LOCAL_PRINCIPAL: &str = "local";

/// The longest time until a token expires, in days.
const MAX_EXPIRY_DAYS: i64 = 3650;

/// Arguments of `token`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: TokenAction,
}

#[derive(Subcommand)]
enum TokenAction {
    /// Create a token, and print it: the only time that it can be seen
    New(NewTokenArgs),
    /// List the tokens that are not revoked
    List,
    /// Revoke a token
    Revoke {
        /// Name of the token
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Args)]
struct NewTokenArgs {
    /// Name of the token: letters, digits, `.`, `_`, `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// What its holder may do
    #[arg(long, value_name = "ROLE", value_parser = role_parser())]
    role: Role,
    /// Organization that it is limited to; can be repeated [default: all]
    #[arg(long, value_name = "ORG", value_parser = args::org)]
    org: Vec<String>,
    /// Repository that it is limited to, as ORG/REPO; can be repeated
    #[arg(long, value_name = "ORG/REPO", value_parser = repo_of_org, conflicts_with = "org")]
    repo: Vec<(String, String)>,
    /// Login of the member whose session logs its holder pushes [default: none]
    #[arg(long, value_name = "LOGIN", value_parser = args::login)]
    member: Option<String>,
    /// When it expires: a duration such as 90d, or a day, at its beginning in UTC [default: never]
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
}

/// When a token expires, as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    After(TimeDelta),
    On(NaiveDate),
}

impl Expiry {
    fn resolve(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Expiry::After(duration) => now + duration,
            Expiry::On(day) => day.and_time(NaiveTime::MIN).and_utc(),
        }
    }
}

fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str))
        .try_map(|name| Role::parse(&name).ok_or("unknown role"))
}

fn repo_of_org(text: &str) -> Result<(String, String), String> {
    let (org, repo) = text.split_once('/').ok_or("expected ORG/REPO, such as acme/site")?;
    Ok((args::org(org)?, args::repo(repo)?))
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(day) = args::day(text) {
        return Ok(Expiry::On(day));
    }
    let duration = humantime::parse_duration(text).ok().and_then(|it| TimeDelta::from_std(it).ok());
    duration
        .filter(|it| *it > TimeDelta::zero() && *it <= TimeDelta::days(MAX_EXPIRY_DAYS))
        .map(Expiry::After)
        .ok_or_else(|| {
            format!(
                "expected a duration of up to {MAX_EXPIRY_DAYS}d, such as 90d, or a day such as 2027-01-01"
            )
        })
}

/// Creates, lists or revokes tokens.
pub(crate) async fn run(session: &CliSession, args: TokenArgs) -> anyhow::Result<Exit> {
    let store = match args.action {
        // A store that is missing has no tokens, and is not created for that.
        TokenAction::New(_) => OpenStore::open(&session.settings).await?,
        TokenAction::List => OpenStore::open_existing(&session.settings).await?,
        TokenAction::Revoke { .. } => OpenStore::open_existing_for_writing(&session.settings).await?,
    };
    let done = run_on(session, &store, args.action).await;
    store.close().await;
    done.map(|()| Exit::Success)
}

async fn run_on(session: &CliSession, store: &OpenStore, action: TokenAction) -> anyhow::Result<()> {
    let tokens = store.tokens();
    let registry = store.registry().await?;
    match action {
        TokenAction::New(new) => {
            let new = new_token(&registry, new, store.clock().now());
            let (secret, token) = tokens.create(new, LOCAL_PRINCIPAL).await.map_err(refusal)?;
            print_new(session, &registry, &secret, &token)
        }
        TokenAction::List => print_list(session, &registry, &tokens.list().await?, store.clock().now()),
        TokenAction::Revoke { name } => {
            let token = tokens.revoke(&name, LOCAL_PRINCIPAL).await.map_err(refusal)?;
            store.tasks().cancel_claims_of(&Principal::of_token(&token).id, LOCAL_PRINCIPAL).await?;
            if session.wants_json() {
                return session.console.write_result(json!({ "revoked": name, "id": token.id }).to_string());
            }
            session.console.write_summary(format!("revoked {name}: every server refuses it from now on"))
        }
    }
}

fn refusal(error: AccessError) -> anyhow::Error {
    match error {
        AccessError::Invalid(message) => usage_error(message),
        AccessError::Store(_) => error.into(),
    }
}

fn new_token(registry: &OrgRegistry, args: NewTokenArgs, now: DateTime<Utc>) -> NewToken {
    let scope = if !args.repo.is_empty() {
        let name = |(org, repo): &(String, String)| RepoName {
            org: registry.key_of(org),
            repo: repo.to_lowercase(),
        };
        Scope::Repos(args.repo.iter().map(name).collect())
    } else if !args.org.is_empty() {
        Scope::Orgs(args.org.iter().map(|org| registry.key_of(org)).collect())
    } else {
        Scope::All
    };
    let expires_at = args.expires.map(|expiry| expiry.resolve(now));
    NewToken { name: args.name, role: args.role, scope, member: args.member, expires_at }
}

fn print_new(
    session: &CliSession,
    registry: &OrgRegistry,
    secret: &TokenSecret,
    token: &AccessToken,
) -> anyhow::Result<()> {
    if session.wants_json() {
        let mut document = as_json(registry, token);
        document["token"] = secret.expose().into();
        return session.console.write_line(document.to_string());
    }
    session.console.print_info(format!(
        "created {}: {} of {}, {}. Store it now, nobody can show it again:",
        token.name,
        token.role.as_str(),
        scope_text(registry, &token.scope),
        expiry_text(token)
    ));
    session.console.write_line(secret.expose())
}

fn print_list(
    session: &CliSession,
    registry: &OrgRegistry,
    tokens: &[AccessToken],
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    if session.wants_json() {
        let documents: Vec<Value> = tokens.iter().map(|token| as_json(registry, token)).collect();
        return session.console.write_result(json!({ "tokens": documents }).to_string());
    }
    if tokens.is_empty() {
        session
            .console
            .print_info("there is no token: create one with `github-metrics token new NAME --role ROLE`");
        return Ok(());
    }
    let records: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let expiry = match token.expires_at {
                _ if token.is_expired(now) => "expired".to_owned(),
                Some(at) => utc(at),
                None => "never".to_owned(),
            };
            let scope = scope_text(registry, &token.scope);
            vec![token.name.clone(), token.role.as_str().to_owned(), scope, expiry, utc(token.created_at)]
        })
        .collect();
    let header = ["name", "role", "sees", "expires", "created"];
    session.console.write_data(records_text(session, &header, &records)?)
}

fn expiry_text(token: &AccessToken) -> String {
    token.expires_at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires {}", utc(at)))
}

/// Returns the organizations and repositories under their current names.
fn scope_names(registry: &OrgRegistry, scope: &Scope) -> Vec<String> {
    match scope {
        Scope::All => Vec::new(),
        Scope::Orgs(orgs) => orgs.iter().map(|key| registry.name_of_stored(key).to_owned()).collect(),
        Scope::Repos(repos) => {
            repos.iter().map(|it| format!("{}/{}", registry.name_of_stored(&it.org), it.repo)).collect()
        }
    }
}

fn scope_text(registry: &OrgRegistry, scope: &Scope) -> String {
    match scope {
        Scope::All => "all organizations".to_owned(),
        _ => scope_names(registry, scope).join(", "),
    }
}

fn as_json(registry: &OrgRegistry, token: &AccessToken) -> Value {
    let names = scope_names(registry, &token.scope);
    let (orgs, repos) = match token.scope {
        Scope::All => (Value::Null, Value::Null),
        Scope::Orgs(_) => (names.into(), Value::Null),
        Scope::Repos(_) => (Value::Null, names.into()),
    };
    json!({
        "name": token.name,
        "id": token.id,
        "role": token.role.as_str(),
        "orgs": orgs,
        "repos": repos,
        "member": token.member,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_duration_or_a_day() {
        let now: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        let resolve = |text: &str| expiry(text).map(|it| it.resolve(now).to_rfc3339());
        assert_eq!(resolve("90d").unwrap(), "2026-05-30T10:00:00+00:00");
        assert_eq!(resolve("1h").unwrap(), "2026-03-01T11:00:00+00:00");
        assert_eq!(resolve("2027-01-01").unwrap(), "2027-01-01T00:00:00+00:00");
        for invalid in ["", "0s", "90", "-1d", "never", "4000d", "2027-02-30"] {
            assert!(resolve(invalid).unwrap_err().contains("such as 90d"), "{invalid}");
        }
    }

    #[test]
    fn a_repository_names_its_organization() {
        assert_eq!(repo_of_org("Acme/Site").unwrap(), ("Acme".to_owned(), "Site".to_owned()));
        for invalid in ["site", "acme/", "/site", "a b/site", "acme/site/x"] {
            assert!(repo_of_org(invalid).is_err(), "{invalid}");
        }
    }
}
