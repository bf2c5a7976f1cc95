//! To which repository and member the sessions of a working directory belong.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use gam_model::{Member, OrgRegistry};
use gam_sessions::{Owner, Workplace};

use crate::ingest::git::{self, RemoteRepository};

/// The id of repositories that only a server knows.
const UNKNOWN_REPO_ID: i64 = 0;

/// Why the sessions of a working directory are left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    /// The directory has no remote on GitHub, or it is gone.
    NoRepository,
    /// Its repository belongs to somebody else.
    OtherOwner,
    /// Nothing of the repository with this name was collected.
    NotCollected(String),
    /// git has no e-mail address there, and no member was named.
    NoMember,
}

/// A directory and the repository that sessions below it belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepositoryRule {
    /// The directory, as logs name it; `None` for all directories without a remote on GitHub.
    pub(crate) directory: Option<String>,
    /// The name of the repository.
    pub(crate) repo: String,
}

/// What is needed to find owners.
pub(crate) struct OwnerRules {
    /// The organization's storage key.
    pub(crate) org: String,
    /// The names of all organizations.
    pub(crate) registry: OrgRegistry,
    /// The organization's repositories: ids by name in lower case, with the display name. `None` if a server knows them,
    /// so that any repository may be one.
    pub(crate) repos: Option<BTreeMap<String, (i64, String)>>,
    /// The host of GitHub.
    pub(crate) host: String,
    /// The member that was named; `None` for the hash of git's e-mail address.
    pub(crate) member: Option<Member>,
    /// Repositories of directories that have no remote.
    pub(crate) rules: Vec<RepositoryRule>,
}

/// Finds owners, and remembers them for the run.
pub(crate) struct OwnerFinder {
    rules: OwnerRules,
    /// The remotes of directories that were found in earlier runs, for those that are gone now.
    learnt: BTreeMap<String, String>,
    owners: HashMap<Workplace, Result<Owner, LeftOut>>,
    members: HashMap<PathBuf, Option<Member>>,
}

impl OwnerFinder {
    pub(crate) fn new(rules: OwnerRules, learnt: BTreeMap<String, String>) -> Self {
        OwnerFinder { rules, learnt, owners: HashMap::new(), members: HashMap::new() }
    }

    /// Returns to whom the sessions of the workplace belong, or why they are left out.
    pub(crate) fn owner(&mut self, workplace: &Workplace) -> Result<Owner, LeftOut> {
        if let Some(owner) = self.owners.get(workplace) {
            return owner.clone();
        }
        let owner = self.find(workplace);
        self.owners.insert(workplace.clone(), owner.clone());
        owner
    }

    /// Returns the remote of each directory that is known so far.
    pub(crate) fn learnt(&self) -> &BTreeMap<String, String> {
        &self.learnt
    }

    /// Returns the remote of each directory that is known now.
    pub(crate) fn into_learnt(self) -> BTreeMap<String, String> {
        self.learnt
    }

    fn find(&mut self, workplace: &Workplace) -> Result<Owner, LeftOut> {
        let checkout = match workplace.directory.as_str() {
            "" => None,
            directory => git::find_checkout(Path::new(directory)),
        };
        let mut addresses: Vec<String> =
            checkout.iter().flat_map(|checkout| &checkout.remotes).map(|(_, url)| url.clone()).collect();
        addresses.extend(workplace.remote.clone());
        if checkout.is_none() {
            addresses.extend(self.learnt.get(&workplace.directory).cloned());
        }
        let repo = self.repo_of(workplace, &addresses)?;
        let (repo_id, name) = match &self.rules.repos {
            None => (UNKNOWN_REPO_ID, repo),
            Some(repos) => match repos.get(&repo.to_lowercase()) {
                Some(known) => known.clone(),
                None => return Err(LeftOut::NotCollected(repo)),
            },
        };
        if checkout.is_some()
            && let Some(address) = addresses.iter().find(|address| self.is_own(address))
        {
            // Without the user and password that an address can contain.
            let remote = git::parse_remote(address);
            let address = remote.map(|remote| format!("{}:{}/{}", remote.host, remote.owner, remote.name));
            self.learnt.extend(address.map(|address| (workplace.directory.clone(), address)));
        }
        let directory = checkout.map_or_else(|| PathBuf::from("."), |checkout| checkout.root);
        let member = self.member(&directory).ok_or(LeftOut::NoMember)?;
        Ok(Owner { org: self.rules.org.clone(), repo: name, repo_id, member })
    }

    /// Returns the name of the organization's repository.
    fn repo_of(&self, workplace: &Workplace, addresses: &[String]) -> Result<String, LeftOut> {
        if let Some(rule) = self.rules.rules.iter().find(|rule| {
            rule.directory.as_ref().is_some_and(|directory| is_below(&workplace.directory, directory))
        }) {
            return Ok(rule.repo.clone());
        }
        let remotes: Vec<RemoteRepository> =
            addresses.iter().filter_map(|address| git::parse_remote(address)).collect();
        if let Some(own) = remotes.iter().find(|remote| self.belongs_to_org(remote)) {
            return Ok(own.name.clone());
        }
        if !remotes.is_empty() {
            return Err(LeftOut::OtherOwner);
        }
        let general = self.rules.rules.iter().find(|rule| rule.directory.is_none());
        general.map(|rule| rule.repo.clone()).ok_or(LeftOut::NoRepository)
    }

    fn is_own(&self, address: &str) -> bool {
        git::parse_remote(address).is_some_and(|remote| self.belongs_to_org(&remote))
    }

    fn belongs_to_org(&self, remote: &RemoteRepository) -> bool {
        // A host without a dot is an alias in the configuration of SSH, and its meaning is not known here.
        let is_github = remote.host == self.rules.host
            || remote.host == format!("ssh.{}", self.rules.host)
            || !remote.host.contains('.');
        is_github && self.rules.registry.key_of(&remote.owner).eq_ignore_ascii_case(&self.rules.org)
    }

    fn member(&mut self, directory: &Path) -> Option<Member> {
        if let Some(member) = &self.rules.member {
            return Some(member.clone());
        }
        let from_git = || git::email(directory).map(|email| Member::commit_author(None, Some(&email)));
        self.members.entry(directory.to_owned()).or_insert_with(from_git).clone()
    }
}

/// Returns whether a path is a directory or lies below it. Logs of Windows separate names by backslashes.
fn is_below(path: &str, directory: &str) -> bool {
    let plain = |text: &str| text.replace('\\', "/").trim_end_matches('/').to_owned();
    let (path, directory) = (plain(path), plain(directory));
    path.strip_prefix(&directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder(rules: Vec<RepositoryRule>, learnt: &[(&str, &str)]) -> OwnerFinder {
        let rules = OwnerRules {
            org: "acme".to_owned(),
            registry: OrgRegistry::default(),
            repos: Some(BTreeMap::from([("site".to_owned(), (7, "Site".to_owned()))])),
            host: "github.com".to_owned(),
            member: Some(Member::account("ann", None, false)),
            rules,
        };
        let learnt = learnt.iter().map(|(path, url)| ((*path).to_owned(), (*url).to_owned())).collect();
        OwnerFinder::new(rules, learnt)
    }

    fn workplace(directory: &str, remote: Option<&str>) -> Workplace {
        Workplace { directory: directory.to_owned(), remote: remote.map(str::to_owned) }
    }

    fn repo(
        finder: &mut OwnerFinder,
        directory: &str,
        remote: Option<&str>,
    ) -> Result<(String, i64), LeftOut> {
        finder.owner(&workplace(directory, remote)).map(|owner| (owner.repo, owner.repo_id))
    }

    #[test]
    fn a_server_may_know_any_repository() {
        let mut finder = finder(Vec::new(), &[]);
        finder.rules.repos = None;
        let new = Some("https://github.com/acme/new");
        assert_eq!(repo(&mut finder, "/gone", new), Ok(("new".to_owned(), UNKNOWN_REPO_ID)));
        let other = Some("https://github.com/other/site");
        assert_eq!(repo(&mut finder, "/gone", other), Err(LeftOut::OtherOwner));
    }

    #[test]
    fn remotes_name_the_repository() {
        let mut finder = finder(Vec::new(), &[("/gone/site", "github.com:acme/site")]);
        let site = Ok(("Site".to_owned(), 7));
        assert_eq!(repo(&mut finder, "/gone", Some("https://github.com/Acme/SITE.git")), site);
        assert_eq!(repo(&mut finder, "/gone", Some("git@work:acme/site")), site);
        assert_eq!(repo(&mut finder, "/gone/site", None), site, "learnt before the directory was deleted");
        let other = Some("https://github.com/other/site");
        assert_eq!(repo(&mut finder, "/gone", other), Err(LeftOut::OtherOwner));
        let host = Some("https://gitlab.example.org/acme/site");
        assert_eq!(repo(&mut finder, "/gone", host), Err(LeftOut::OtherOwner));
        let new = Some("https://github.com/acme/new");
        assert_eq!(repo(&mut finder, "/gone", new), Err(LeftOut::NotCollected("new".to_owned())));
        assert_eq!(repo(&mut finder, "/gone", None), Err(LeftOut::NoRepository));
        assert_eq!(repo(&mut finder, "", None), Err(LeftOut::NoRepository));
    }

    #[test]
    fn rules_name_the_repository_of_directories() {
        let rule = |directory: Option<&str>| RepositoryRule {
            directory: directory.map(str::to_owned),
            repo: "site".to_owned(),
        };
        let mut below = finder(vec![rule(Some("C:\\work\\site"))], &[]);
        assert!(repo(&mut below, "C:\\work\\site\\src", None).is_ok());
        assert!(repo(&mut below, "C:\\work\\site2", None).is_err());
        let mut general = finder(vec![rule(None)], &[]);
        assert!(repo(&mut general, "/gone", None).is_ok());
        let other = Some("https://github.com/other/site");
        assert_eq!(repo(&mut general, "/gone", other), Err(LeftOut::OtherOwner));
    }
}
