//! Which repositories a run is about.

use std::collections::{BTreeMap, BTreeSet};

use gam_github::{OrgProbe, RepoProbe};

use gam_model::configuration::Configuration;

use crate::{CollectError, RepoFailure};

/// The repositories that a run is about, as the probe shows them.
pub(crate) struct Scope {
    /// The organization's storage key.
    pub(crate) key: String,
    pub(crate) probe: OrgProbe,
    /// The repositories in scope.
    pub(crate) repos: Vec<RepoProbe>,
    /// Whether all repositories of the organization are in scope.
    pub(crate) is_entire_org: bool,
    /// Requested repositories that GitHub does not show, by name, with the reason.
    pub(crate) not_found: Vec<(String, String)>,
    /// Ids of repositories that the configuration excludes. They are neither in `probe` nor in `repos`.
    excluded: BTreeSet<i64>,
}

impl Scope {
    /// The repositories of the organization with these names, in any case; all of them if `names` is empty.
    ///
    /// # Errors
    /// [`CollectError::Invalid`] if GitHub shows none of the named repositories.
    pub(crate) fn from_names(key: &str, probe: OrgProbe, names: &[String]) -> Result<Self, CollectError> {
        let key = key.to_owned();
        if names.is_empty() {
            let repos = probe.repos.clone();
            let (not_found, excluded) = (Vec::new(), BTreeSet::new());
            return Ok(Scope { key, probe, repos, is_entire_org: true, not_found, excluded });
        }
        let is_named = |repo: &RepoProbe, name: &str| repo.name.to_lowercase() == name.to_lowercase();
        let repos: Vec<RepoProbe> = probe
            .repos
            .iter()
            .filter(|repo| names.iter().any(|name| is_named(repo, name)))
            .cloned()
            .collect();
        let not_found: Vec<(String, String)> = names
            .iter()
            .filter(|name| !repos.iter().any(|repo| is_named(repo, name)))
            .map(|name| (name.clone(), why_not_found(&probe, name)))
            .collect();
        if repos.is_empty() {
            let (name, why) = &not_found[0];
            return Err(CollectError::Invalid(format!("repository {name:?}: {why}")));
        }
        Ok(Scope { key, probe, repos, is_entire_org: false, not_found, excluded: BTreeSet::new() })
    }

    /// Exactly the repositories of a probe that requested them by id.
    pub(crate) fn from_probe_by_id(key: &str, probe: OrgProbe) -> Self {
        let (repos, not_found, excluded) = (probe.repos.clone(), Vec::new(), BTreeSet::new());
        Scope { key: key.to_owned(), probe, repos, is_entire_org: false, not_found, excluded }
    }

    /// Leaves out the repositories that the configuration excludes.
    pub(crate) fn without_excluded(mut self, configuration: &Configuration) -> Self {
        let is_excluded = |repo: &RepoProbe| configuration.excludes(&repo.name);
        let excluded = self.probe.repos.extract_if(.., |repo| is_excluded(repo));
        self.excluded = excluded.map(|repo| repo.id).collect();
        self.probe.unreadable.retain(|(name, _)| !configuration.excludes(name));
        let requested = self.repos.extract_if(.., |repo| is_excluded(repo));
        if self.is_entire_org {
            requested.for_each(drop);
        } else {
            let why = "the configuration excludes it: see `github-metrics config show`";
            self.not_found.extend(requested.map(|repo| (repo.name, why.to_owned())));
        }
        self
    }

    /// Returns the ids of all repositories that GitHub shows, in scope or not.
    pub(crate) fn listed(&self) -> BTreeSet<i64> {
        self.probe.repos.iter().map(|repo| repo.id).chain(self.excluded.iter().copied()).collect()
    }

    /// Returns whether the probe shows every repository of the organization that exists. If it does not,
    /// a repository that is missing may be hidden instead of gone.
    pub(crate) fn lists_all(&self) -> bool {
        self.is_entire_org && self.probe.unreadable.is_empty()
    }

    /// Returns the names of repositories that could not be read, with the reason: those that were not found,
    /// those that the probe could not read, and those in `failed`.
    pub(crate) fn failures(&self, failed: &BTreeMap<i64, RepoFailure>) -> Vec<(String, String)> {
        let unreadable = self.is_entire_org.then_some(&self.probe.unreadable).into_iter().flatten();
        let failed =
            self.repos.iter().filter_map(|repo| Some((repo.name.clone(), failed.get(&repo.id)?.why.clone())));
        self.not_found.iter().chain(unreadable).cloned().chain(failed).collect()
    }
}

fn why_not_found(probe: &OrgProbe, name: &str) -> String {
    match probe.unreadable.iter().find(|(unreadable, _)| unreadable.eq_ignore_ascii_case(name)) {
        Some((_, why)) => why.clone(),
        None => format!("not found in {}, or this token cannot see it: check the spelling", probe.login),
    }
}

#[cfg(test)]
mod tests {
    use gam_github::ListSummary;

    use super::*;

    fn probe() -> OrgProbe {
        let repo = |id: i64, name: &str| RepoProbe {
            node_id: format!("R_{id}"),
            id,
            name: name.to_owned(),
            state: None,
            pushed_at: None,
            default_branch: None,
            tip: None,
            pulls: ListSummary::default(),
            issues: ListSummary::default(),
            releases: ListSummary::default(),
            deployments: ListSummary::default(),
        };
        OrgProbe {
            login: "Acme".into(),
            id: Some(1),
            repos: vec![repo(1, "site"), repo(2, "api")],
            members: Vec::new(),
            members_total: None,
            members_after: None,
            unreadable: vec![("secret".into(), "the token lacks a permission".into())],
            read_at: None,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn without_names_all_repositories_are_in_scope() {
        let scope = Scope::from_names("acme", probe(), &[]).unwrap();
        assert_eq!((scope.repos.len(), scope.is_entire_org, scope.lists_all()), (2, true, false));
        let failed = BTreeMap::from([(2, RepoFailure::transient("timed out".into()))]);
        let secret = ("secret".to_owned(), "the token lacks a permission".to_owned());
        assert_eq!(scope.failures(&failed), [secret, ("api".to_owned(), "timed out".to_owned())]);
    }

    #[test]
    fn names_match_in_any_case_and_missing_ones_say_why() {
        let scope = Scope::from_names("acme", probe(), &names(&["SITE", "Secret", "nope"])).unwrap();
        assert_eq!(scope.repos.iter().map(|repo| repo.id).collect::<Vec<_>>(), [1]);
        let failures = scope.failures(&BTreeMap::new());
        assert_eq!(failures[0], ("Secret".to_owned(), "the token lacks a permission".to_owned()));
        assert_eq!(failures[1].0, "nope");
        assert!(failures[1].1.contains("Acme") && failures[1].1.contains("spelling"));
        assert_eq!(failures.len(), 2);
    }

    #[test]
    fn excluded_repositories_are_listed_but_not_in_scope() {
        let configuration =
            Configuration::parse_stored("[repositories]\nexclude = [\"API\", \"secret\"]").unwrap();
        let scope = Scope::from_names("acme", probe(), &[]).unwrap().without_excluded(&configuration);
        assert_eq!(scope.repos.iter().map(|repo| repo.id).collect::<Vec<_>>(), [1]);
        assert_eq!(scope.listed(), BTreeSet::from([1, 2]));
        assert!(scope.lists_all() && scope.failures(&BTreeMap::new()).is_empty());
        let named =
            Scope::from_names("acme", probe(), &names(&["api"])).unwrap().without_excluded(&configuration);
        assert!(named.repos.is_empty());
        assert!(named.failures(&BTreeMap::new())[0].1.contains("the configuration excludes it"));
    }

    #[test]
    fn it_is_an_error_if_no_named_repository_is_found() {
        let error = Scope::from_names("acme", probe(), &names(&["nope"])).err().unwrap();
        assert!(matches!(&error, CollectError::Invalid(why) if why.contains("\"nope\"")));
    }
}
