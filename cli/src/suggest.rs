//! The name that somebody probably meant.

use gam_client::{ListKind, ListQuery, MetricsQuery, SubjectRef};
use gam_model::period::{FIRST_DAY, LAST_DAY};

use crate::api::ApiClient;
use crate::error::{is_not_found, not_found};
use crate::terminal_text::quoted;

/// The most names that are compared.
const MAX_NAMES: u16 = 1_000;

/// From this length on, the beginning of a name is enough to find it.
const MIN_PREFIX_CHARS: usize = 3;

/// Returns the name that is most like another: it differs in few letters, or begins with it. `None` if there is the other
/// one itself. Case does not matter.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    // A third of the letters may differ, as `git` and `cargo` allow.
    let max_distance = (name.chars().count() / 3).max(1);
    let with_distance = candidates.into_iter().filter_map(|candidate| {
        let candidate_name = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&name, &candidate_name);
        let is_longer = name.chars().count() >= MIN_PREFIX_CHARS && candidate_name.starts_with(&name);
        (distance <= max_distance || is_longer).then_some((distance, candidate))
    });
    with_distance.min().filter(|(distance, _)| *distance > 0).map(|(_, candidate)| candidate)
}

/// Adds the name that is most like the one that was not found to a message, before its advice.
pub(crate) fn with_suggestion<'a>(
    message: &str,
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(name, candidates) {
        Some(candidate) => {
            let question = format!("did you mean {}?", quoted(candidate));
            match message.split_once(": ") {
                Some((what, advice)) => format!("{what}; {question} Otherwise {advice}"),
                None => format!("{message}; {question}"),
            }
        }
        None => message.to_owned(),
    }
}

/// Adds a suggestion to an error of the API about a name that it does not know. Other errors stay as they are.
pub(crate) async fn suggest(
    client: &ApiClient,
    org: &str,
    subject: &SubjectRef,
    error: anyhow::Error,
) -> anyhow::Error {
    if !is_not_found(&error) {
        return error;
    }
    // Without a list of names, the message stays as it is.
    let names = names_like(client, org, subject).await.unwrap_or_default();
    let name = match subject {
        SubjectRef::Repo { name, .. } | SubjectRef::Member(name) if names.is_of_subjects => name,
        _ => org,
    };
    not_found(with_suggestion(&error.to_string(), name, names.names.iter().map(String::as_str)))
}

/// Names that the API knows.
#[derive(Default)]
struct KnownNames {
    names: Vec<String>,
    /// Whether they are of repositories or members, and not of organizations.
    is_of_subjects: bool,
}

async fn names_like(client: &ApiClient, org: &str, subject: &SubjectRef) -> anyhow::Result<KnownNames> {
    let kind = match subject {
        SubjectRef::Org => None,
        SubjectRef::Repo { .. } => Some(ListKind::Repos),
        SubjectRef::Member(_) => Some(ListKind::Members),
    };
    if let Some(kind) = kind {
        let metrics =
            MetricsQuery { since: Some(FIRST_DAY), until: Some(LAST_DAY), ..MetricsQuery::default() };
        let query = ListQuery { metrics, limit: Some(MAX_NAMES), ..ListQuery::default() };
        match client.send(async |api| api.list(org, &SubjectRef::Org, kind, &query).await).await {
            Ok(list) => {
                let entries = list.value.entries.into_iter();
                let names = entries.filter_map(|entry| entry.repo.or(entry.member)).collect();
                return Ok(KnownNames { names, is_of_subjects: true });
            }
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let orgs = client.send(async |api| api.orgs().await).await?.value.orgs;
    Ok(KnownNames { names: orgs.into_iter().map(|entry| entry.org).collect(), is_of_subjects: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_differs_in_few_letters() {
        let names = ["octo-demo", "acme", "acme-labs", "ab"];
        for (name, expected) in [
            ("octo-dmeo", Some("octo-demo")),
            ("ACNE", Some("acme")),
            ("acmelabs", Some("acme-labs")),
            ("zebra", None),
            ("ac", Some("ab")),
            ("acme", None),
            ("octo", Some("octo-demo")),
            ("oc", None),
        ] {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
        assert_eq!(nearest("x", []), None);
        assert_eq!(with_suggestion("no x", "acne", names), "no x; did you mean \"acme\"?");
        assert_eq!(
            with_suggestion("no x: check it", "acne", names),
            "no x; did you mean \"acme\"? Otherwise check it"
        );
        assert_eq!(with_suggestion("no x", "zebra", names), "no x");
    }
}
