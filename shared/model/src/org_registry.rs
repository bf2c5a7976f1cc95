//! The registry of organizations: GitHub's id and all names of each, and the storage key of its data.
//!
//! The storage key is chosen at the first collection and never changes. It is in the paths of the lake and in
//! the keys of the store. An organization that is renamed on GitHub keeps its key, so nothing moves. An
//! organization without an entry has its login in lower case as its key.
//!
//! Names are compared without regard to case. No two organizations have the same name at the same time, but
//! one may have a name that another had before.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The version of the text of a registry.
const FORMAT_VERSION: u32 = 1;

/// All organizations that are registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgRegistry {
    entries: Vec<OrgEntry>,
}

/// An organization in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgEntry {
    /// The storage key.
    pub key: String,
    /// GitHub's numeric id; `None` if it was never read.
    pub github_id: Option<i64>,
    /// The names, the newest one first. There is at least one.
    names: Vec<OrgName>,
}

/// A name of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OrgName {
    /// The login, as GitHub writes it.
    name: String,
    /// When the registry learned the name, UTC.
    since: DateTime<Utc>,
}

/// The registry as text.
#[derive(Serialize, Deserialize)]
struct RegistryText {
    version: u32,
    organizations: Vec<OrgEntry>,
}

/// Why the text of a registry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A newer version of the program wrote it.
    #[error(
        "it has format version {0}, but this version of github-metrics knows {FORMAT_VERSION}: upgrade it"
    )]
    NewerFormat(u32),
    /// It is no registry.
    #[error("it is no registry of organizations: {0}")]
    Malformed(String),
}

/// Why an organization on GitHub must not be read into the data of its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrgConflict {
    /// The organization was collected under another name.
    #[error(
        "{old:?} was renamed to {new:?} on GitHub: run `github-metrics rename-org {old} {new}` once, so that its \
         history goes on under the new name, and then collect {new}"
    )]
    Renamed {
        /// The name in the registry.
        old: String,
        /// The name on GitHub.
        new: String,
    },
    /// Most repositories of the organization belonged to another one, whose id is not known.
    #[error(
        "most repositories of {new:?} were collected as those of {old:?}: if that is its former name, run \
         `github-metrics rename-org {old} {new}`, and then collect {new}; if both exist, collect {old} first"
    )]
    SameRepositories {
        /// The name under which the repositories were collected.
        old: String,
        /// The name on GitHub.
        new: String,
    },
    /// Another organization has the name now.
    #[error(
        "{name:?} is another organization on GitHub now (id {actual}) than the one that was collected (id {known}), so \
         nothing was read: if the collected one was renamed, run `github-metrics rename-org {name} NEW` with its \
         new name, and then collect NEW"
    )]
    Replaced {
        /// The name on GitHub.
        name: String,
        /// GitHub's id of the organization in the registry.
        known: i64,
        /// GitHub's id of the organization that has the name.
        actual: i64,
    },
}

/// Why an organization cannot be renamed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenameRefusal {
    /// Both names are the same.
    #[error(
        "{0:?} is the old and the new name: name the organization as it is called now, then its new name"
    )]
    SameName(String),
    /// There are no data of the organization.
    #[error(
        "there are no data of {0:?} in this lake: check the spelling, or run `github-metrics collect NEW` to begin with \
         its new name"
    )]
    Unknown(String),
    /// The organization has yet another name.
    #[error(
        "{old:?} was renamed to {current:?} before: if that is outdated too, run `github-metrics rename-org {current} \
         {new}`"
    )]
    AlreadyRenamed {
        /// The requested old name.
        old: String,
        /// The current name.
        current: String,
        /// The requested new name.
        new: String,
    },
    /// Another organization has the new name.
    #[error(
        "{new:?} is another organization in this lake, and two histories are not joined: check the spelling, or, if \
         that one was renamed too, run `github-metrics rename-org {new} NEW` with its new name first"
    )]
    Taken {
        /// The requested new name.
        new: String,
    },
    /// There are data that were collected under the new name, perhaps by an older version of the program.
    #[error(
        "the lake has data that were collected under the name {new:?}, and two histories are not joined: use another \
         lake, or remove inbox/org={key} and events/org={key} from this one first"
    )]
    HasHistory {
        /// The requested new name.
        new: String,
        /// The key of the data.
        key: String,
    },
}

/// The outcome of a renaming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameOutcome {
    /// The organization has the new name now.
    Renamed,
    /// It had the new name already.
    Unchanged,
}

/// Returns the storage key that an organization gets at its first collection.
fn default_key(login: &str) -> String {
    login.to_lowercase()
}

impl OrgEntry {
    /// Returns the current name, as GitHub writes it.
    pub fn name(&self) -> &str {
        // A registry whose text has an organization without a name is not read.
        self.names.first().map_or(self.key.as_str(), |newest| &newest.name)
    }

    /// Returns whether this is the current name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// Returns when the organization got one of its names; `None` if it never had the name.
    fn had_name_since(&self, name: &str) -> Option<DateTime<Utc>> {
        self.names.iter().find(|earlier| earlier.name.eq_ignore_ascii_case(name)).map(|it| it.since)
    }

    fn set_name(&mut self, name: &str, since: DateTime<Utc>) {
        self.names.retain(|earlier| !earlier.name.eq_ignore_ascii_case(name));
        self.names.insert(0, OrgName { name: name.to_owned(), since });
    }

    /// Sets upper and lower case of the current name.
    fn set_spelling(&mut self, login: &str) {
        if let Some(newest) = self.names.first_mut() {
            login.clone_into(&mut newest.name);
        }
    }
}

impl OrgRegistry {
    /// Parses the text of a registry.
    ///
    /// # Errors
    /// If the text is no registry, or a newer version of the program wrote it.
    pub fn parse(text: &[u8]) -> Result<Self, RegistryError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: serde_json::Error| RegistryError::Malformed(error.to_string());
        let Version { version } = serde_json::from_slice(text).map_err(malformed)?;
        if version > FORMAT_VERSION {
            return Err(RegistryError::NewerFormat(version));
        }
        let RegistryText { organizations, .. } = serde_json::from_slice(text).map_err(malformed)?;
        match organizations.iter().find(|entry| entry.names.is_empty()) {
            Some(entry) => Err(RegistryError::Malformed(format!("{:?} has no name", entry.key))),
            None => Ok(OrgRegistry { entries: organizations }),
        }
    }

    /// Returns the registry as text that [`OrgRegistry::parse`] reads.
    pub fn to_json(&self) -> String {
        let text = RegistryText { version: FORMAT_VERSION, organizations: self.entries.clone() };
        serde_json::to_string_pretty(&text).expect("texts and numbers")
    }

    /// Returns the organization with this name: the one that has it now, or else the one that had it last.
    pub fn find(&self, name: &str) -> Option<&OrgEntry> {
        self.current(name).or_else(|| {
            let former = self.entries.iter().filter_map(|entry| Some((entry.had_name_since(name)?, entry)));
            former.max_by_key(|(since, _)| *since).map(|(_, entry)| entry)
        })
    }

    fn current(&self, name: &str) -> Option<&OrgEntry> {
        self.entries.iter().find(|entry| entry.is_called(name))
    }

    /// Returns the storage key of the organization with this name. Without an entry it is the name in lower
    /// case.
    pub fn key_of(&self, name: &str) -> String {
        self.find(name).map_or_else(|| default_key(name), |entry| entry.key.clone())
    }

    /// Returns the current name of the organization with this name; the given one if it is not registered.
    pub fn current_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.find(name).map_or(name, OrgEntry::name)
    }

    /// Returns the current name of the organization with this storage key; `None` if it is not registered.
    pub fn name_of_key(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.key == key).map(OrgEntry::name)
    }

    /// Returns the current name of an organization by what stores have of it: its storage key, in any case. Returns
    /// that if it is not registered.
    pub fn name_of_stored<'a>(&'a self, stored: &'a str) -> &'a str {
        self.name_of_key(&stored.to_lowercase()).unwrap_or(stored)
    }

    /// Returns the storage keys of all registered organizations.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Returns whether GitHub's id of the organization with this storage key is known.
    pub fn knows_id_of(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && entry.github_id.is_some())
    }

    /// Returns the storage key for an organization as GitHub shows it, and registers the organization if it is
    /// new. `now` is the time, UTC.
    ///
    /// # Errors
    /// If the organization was collected under another name, or another one was collected under this name.
    pub fn assign(
        &mut self,
        login: &str,
        github_id: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<String, OrgConflict> {
        let by_id = self.entries.iter().position(|it| github_id.is_some() && it.github_id == github_id);
        let by_name = self.entries.iter().position(|entry| entry.is_called(login));
        let Some(at) = by_id.or(by_name) else { return Ok(self.register(login, github_id, now)) };
        let entry = &mut self.entries[at];
        if !entry.is_called(login) {
            return Err(OrgConflict::Renamed { old: entry.name().to_owned(), new: login.to_owned() });
        }
        match (entry.github_id, github_id) {
            (Some(known), Some(actual)) if known != actual => {
                return Err(OrgConflict::Replaced { name: login.to_owned(), known, actual });
            }
            (None, Some(_)) => entry.github_id = github_id,
            _ => {}
        }
        entry.set_spelling(login);
        Ok(entry.key.clone())
    }

    fn register(&mut self, login: &str, github_id: Option<i64>, now: DateTime<Utc>) -> String {
        let mut key = default_key(login);
        while self.entries.iter().any(|entry| entry.key == key) {
            key = format!("{key}-{}", github_id.unwrap_or_default());
        }
        let names = vec![OrgName { name: login.to_owned(), since: now }];
        self.entries.push(OrgEntry { key: key.clone(), github_id, names });
        key
    }

    /// Removes the organization with this storage key. Returns whether it was registered.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.key != key);
        self.entries.len() < before
    }

    /// Gives an organization a new name. `stored_keys` are the storage keys that have data in the lake; `now` is
    /// the time, UTC.
    ///
    /// # Errors
    /// If `old` is not the current name of an organization with data, or `new` is another organization.
    pub fn rename(
        &mut self,
        old: &str,
        new: &str,
        stored_keys: &[String],
        now: DateTime<Utc>,
    ) -> Result<RenameOutcome, RenameRefusal> {
        if old.eq_ignore_ascii_case(new) {
            return Err(RenameRefusal::SameName(old.to_owned()));
        }
        let old_key = match self.find(old) {
            Some(entry) if entry.is_called(new) => return Ok(RenameOutcome::Unchanged),
            Some(entry) if entry.is_called(old) => entry.key.clone(),
            Some(entry) => {
                let (old, current, new) = (old.to_owned(), entry.name().to_owned(), new.to_owned());
                return Err(RenameRefusal::AlreadyRenamed { old, current, new });
            }
            None if stored_keys.contains(&default_key(old)) => default_key(old),
            None => return Err(RenameRefusal::Unknown(old.to_owned())),
        };
        if self.current(new).is_some() {
            return Err(RenameRefusal::Taken { new: new.to_owned() });
        }
        let new_key = default_key(new);
        if stored_keys.contains(&new_key) && self.name_of_key(&new_key).is_none() {
            return Err(RenameRefusal::HasHistory { new: new.to_owned(), key: new_key });
        }
        if self.name_of_key(&old_key).is_none() {
            self.register(old, None, now);
        }
        let entry = self.entries.iter_mut().find(|entry| entry.key == old_key);
        entry.expect("it was registered").set_name(new, now);
        Ok(RenameOutcome::Renamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    /// A registry of an organization with id 1 that was called `Acme` and is called `NewCo`.
    fn renamed() -> OrgRegistry {
        let mut registry = OrgRegistry::default();
        assert_eq!(registry.assign("Acme", Some(1), at(10)), Ok("acme".to_owned()));
        assert_eq!(registry.rename("acme", "NewCo", &[], at(20)), Ok(RenameOutcome::Renamed));
        registry
    }

    fn name_and_key(registry: &OrgRegistry, name: &str) -> Option<(String, String)> {
        registry.find(name).map(|entry| (entry.name().to_owned(), entry.key.clone()))
    }

    fn found(name: &str, key: &str) -> Option<(String, String)> {
        Some((name.to_owned(), key.to_owned()))
    }

    #[test]
    fn an_organization_is_found_by_all_its_names() {
        let registry = renamed();
        for name in ["Acme", "ACME", "newco"] {
            assert_eq!(name_and_key(&registry, name), found("NewCo", "acme"), "{name}");
        }
        assert_eq!(registry.find("other"), None);
        assert_eq!((registry.key_of("Other"), registry.current_name("Other")), ("other".to_owned(), "Other"));
        assert_eq!((registry.name_of_key("acme"), registry.name_of_key("newco")), (Some("NewCo"), None));
        assert_eq!((registry.name_of_stored("Acme"), registry.name_of_stored("Other")), ("NewCo", "Other"));
    }

    #[test]
    fn the_first_collection_registers_and_later_ones_change_nothing() {
        let mut registry = OrgRegistry::default();
        assert_eq!(registry.assign("Acme", Some(1), at(10)), Ok("acme".to_owned()));
        let before = registry.clone();
        assert_eq!(registry.assign("Acme", Some(1), at(20)), Ok("acme".to_owned()));
        assert_eq!(registry, before);
        registry.assign("ACME", Some(1), at(30)).unwrap();
        assert_eq!(name_and_key(&registry, "acme"), found("ACME", "acme"), "as GitHub writes it now");
        assert_eq!(registry.assign("Acme", None, at(40)), Ok("acme".to_owned()), "GitHub sent no id");
    }

    #[test]
    fn a_renamed_organization_gets_no_second_history() {
        let mut registry = OrgRegistry::default();
        registry.assign("Acme", Some(1), at(10)).unwrap();
        let conflict = registry.assign("NewCo", Some(1), at(20)).unwrap_err();
        assert!(conflict.to_string().contains("`github-metrics rename-org Acme NewCo`"), "{conflict}");
        let mut registry = renamed();
        assert_eq!(registry.assign("NewCo", Some(1), at(30)), Ok("acme".to_owned()));
    }

    #[test]
    fn an_organization_that_took_a_name_is_never_mixed_with_the_one_before() {
        let mut registry = OrgRegistry::default();
        registry.assign("acme", Some(1), at(10)).unwrap();
        let before = registry.clone();
        let conflict = registry.assign("acme", Some(2), at(20)).unwrap_err();
        assert_eq!(conflict, OrgConflict::Replaced { name: "acme".into(), known: 1, actual: 2 });
        assert_eq!(registry, before);
        // Once the first one has its new name, the other one has a key of its own.
        let mut registry = renamed();
        assert_eq!(registry.assign("acme", Some(2), at(30)), Ok("acme-2".to_owned()));
        assert_eq!(name_and_key(&registry, "ACME"), found("acme", "acme-2"), "the newest name wins");
        assert_eq!(name_and_key(&registry, "newco"), found("NewCo", "acme"));
        assert_eq!(registry.assign("acme-2", Some(3), at(40)), Ok("acme-2-3".to_owned()));
    }

    #[test]
    fn a_renaming_happens_once() {
        let mut registry = renamed();
        let before = registry.clone();
        assert_eq!(registry.rename("ACME", "newco", &[], at(99)), Ok(RenameOutcome::Unchanged));
        let refusal = registry.rename("acme", "third", &[], at(99)).unwrap_err();
        assert!(refusal.to_string().contains("`github-metrics rename-org NewCo third`"), "{refusal}");
        assert_eq!(registry, before);
        assert_eq!(registry.rename("newco", "Third", &[], at(30)), Ok(RenameOutcome::Renamed));
        assert_eq!(registry.rename("third", "acme", &[], at(40)), Ok(RenameOutcome::Renamed), "and back");
        for name in ["acme", "newco", "third"] {
            assert_eq!(name_and_key(&registry, name), found("acme", "acme"), "{name}");
        }
    }

    #[test]
    fn renamings_that_make_no_sense_are_refused() {
        let mut registry = renamed();
        registry.assign("Other", Some(5), at(30)).unwrap();
        let before = registry.clone();
        let mut refused = |old: &str, new: &str, keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
            let refusal = registry.rename(old, new, &keys, at(40)).unwrap_err();
            assert_eq!(registry, before, "{old} {new}");
            refusal
        };
        assert_eq!(refused("newco", "NewCo", &[]), RenameRefusal::SameName("newco".into()));
        assert_eq!(refused("nobody", "x", &["acme"]), RenameRefusal::Unknown("nobody".into()));
        assert_eq!(refused("newco", "other", &[]), RenameRefusal::Taken { new: "other".into() });
        let has_history = RenameRefusal::HasHistory { new: "Second".into(), key: "second".into() };
        assert_eq!(refused("newco", "Second", &["acme", "second"]), has_history);
    }

    #[test]
    fn data_without_an_entry_get_one_when_they_are_renamed() {
        let mut registry = OrgRegistry::default();
        let keys = ["old-lake".to_owned()];
        assert_eq!(registry.rename("Old-Lake", "Fresh", &keys, at(10)), Ok(RenameOutcome::Renamed));
        assert_eq!(name_and_key(&registry, "old-lake"), found("Fresh", "old-lake"));
        assert_eq!(registry.assign("Fresh", Some(9), at(20)), Ok("old-lake".to_owned()));
        assert!(registry.assign("Fresh", Some(8), at(30)).is_err(), "the id is known now");
        assert_eq!(registry.assign("Old-Lake", Some(8), at(30)), Ok("old-lake-8".to_owned()));
    }

    #[test]
    fn two_organizations_can_swap_names() {
        let mut registry = OrgRegistry::default();
        registry.assign("a", Some(1), at(1)).unwrap();
        registry.assign("b", Some(2), at(1)).unwrap();
        for (old, new) in [("a", "aside"), ("b", "a"), ("aside", "b")] {
            assert_eq!(registry.rename(old, new, &[], at(2)), Ok(RenameOutcome::Renamed), "{old} {new}");
        }
        assert_eq!(name_and_key(&registry, "a"), found("a", "b"));
        assert_eq!(name_and_key(&registry, "b"), found("b", "a"));
    }

    #[test]
    fn of_two_former_names_the_later_one_counts() {
        let mut registry = OrgRegistry::default();
        registry.assign("x", Some(1), at(1)).unwrap();
        registry.rename("x", "first", &[], at(2)).unwrap();
        registry.assign("x", Some(2), at(3)).unwrap();
        registry.rename("x", "second", &[], at(4)).unwrap();
        assert_eq!(name_and_key(&registry, "x"), found("second", "x-2"));
    }

    /// Other versions of the program read this text.
    #[test]
    fn the_text_of_a_registry_never_changes() {
        let registry = renamed();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("org_registry", registry.to_json());
        });
        assert_eq!(OrgRegistry::parse(registry.to_json().as_bytes()).unwrap(), registry);
    }

    #[test]
    fn other_texts_are_refused() {
        let newer = r#"{"version": 2, "organizations": "in another form"}"#;
        assert!(matches!(OrgRegistry::parse(newer.as_bytes()), Err(RegistryError::NewerFormat(2))));
        let nameless = r#"{"version": 1, "organizations": [{"key": "a", "github_id": 1, "names": []}]}"#;
        for text in [nameless, "", "{}", "[]", "{\"version\": 1}"] {
            assert!(
                matches!(OrgRegistry::parse(text.as_bytes()), Err(RegistryError::Malformed(_))),
                "{text}"
            );
        }
    }
}
