//! The latest names of organizations and repositories.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::Event;
use gam_store::{NameEntry, NameKind};

/// Collects names, and keeps the one that was read from GitHub last for each organization and
/// repository. If two were read at the same time, the greater one wins.
#[derive(Default)]
pub(crate) struct NameCollector(BTreeMap<(NameKind, i64), NameEntry>);

impl NameCollector {
    pub(crate) fn from_snapshot(names: gam_lake::LatestNames) -> Self {
        let mut collector = NameCollector::default();
        if let Some((as_of, org)) = names.org {
            collector.add(NameKind::Org, 0, &org, as_of);
        }
        for (id, (as_of, repo)) in names.repos {
            collector.add(NameKind::Repo, id, &repo, as_of);
        }
        collector
    }

    pub(crate) fn add_event(&mut self, event: &Event) {
        self.add(NameKind::Org, 0, &event.org, event.collected_at);
        self.add(NameKind::Repo, event.repo_id, &event.repo, event.collected_at);
    }

    fn add(&mut self, kind: NameKind, id: i64, name: &str, as_of: DateTime<Utc>) {
        match self.0.get_mut(&(kind, id)) {
            Some(latest) if (latest.as_of, latest.name.as_str()) >= (as_of, name) => {}
            Some(latest) => {
                latest.as_of = as_of;
                name.clone_into(&mut latest.name);
            }
            None => {
                self.0.insert((kind, id), NameEntry { kind, id, name: name.to_owned(), as_of });
            }
        }
    }

    pub(crate) fn into_entries(self) -> Vec<NameEntry> {
        self.0.into_values().collect()
    }
}
