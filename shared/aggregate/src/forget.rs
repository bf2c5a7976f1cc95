//! Removing an organization from the lake and the store.
//!
//! The lake goes first, so that nobody computes again what is removed from the store. The registry goes last, because it
//! says under which key the data are. So a removal that was killed can be repeated.

use std::collections::BTreeSet;

use gam_lake::{Events, ObjectStore, Sessions, Table, configuration, inbox, paths, registry, snapshot};
use gam_model::Month;
use gam_store::keys::{PR_CLASSES, rollup_owner};
use gam_store::{CheckpointStore, NameKind, NameStore, OrgStore};

use crate::error::AggregateError;

/// The ports of a removal.
#[derive(Clone, Copy)]
pub struct ForgetPorts<'a> {
    /// The lake.
    pub objects: &'a dyn ObjectStore,
    /// The store. `None` if there is none.
    pub store: Option<ForgetStorePorts<'a>>,
}

/// The ports of a removal to one store.
#[derive(Clone, Copy)]
pub struct ForgetStorePorts<'a> {
    /// Removes what the store has.
    pub orgs: &'a dyn OrgStore,
    /// Shows what the store has.
    pub names: &'a dyn NameStore,
    /// Shows what the store has.
    pub checkpoints: &'a dyn CheckpointStore,
}

/// What there is of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgContent {
    /// The storage key.
    pub key: String,
    /// The current name. `None` if the organization is not registered.
    pub name: Option<String>,
    /// The months with a snapshot of any table, UTC, in order.
    pub months: Vec<Month>,
    /// Number of batches in the inboxes of all tables.
    pub batches: usize,
    /// Number of rejected batches.
    pub rejected: usize,
    /// Number of revisions of the configuration.
    pub revisions: usize,
    /// Number of repositories that the store has names of.
    pub repos: usize,
    /// Number of members that the store has names of.
    pub members: usize,
    /// Number of repositories that were collected: those with a checkpoint.
    pub collected_repos: usize,
    /// Whether the store answers queries about the organization.
    pub is_served: bool,
}

impl OrgContent {
    /// Returns whether there is nothing.
    pub fn is_empty(&self) -> bool {
        let objects = self.months.len() + self.batches + self.rejected + self.revisions;
        let stored = self.repos + self.members + self.collected_repos;
        objects + stored == 0 && self.name.is_none() && !self.is_served
    }
}

/// Returns what there is of the organization with this name.
///
/// # Errors
/// If the lake or the store fails.
pub async fn org_content(ports: ForgetPorts<'_>, name: &str) -> Result<OrgContent, AggregateError> {
    let objects = ports.objects;
    let registry = registry::read(objects).await?;
    let key = registry.key_of(name);
    let (events, sessions) =
        (table_content::<Events>(objects, &key).await?, table_content::<Sessions>(objects, &key).await?);
    let mut content = OrgContent {
        name: registry.name_of_key(&key).map(str::to_owned),
        months: events.months.union(&sessions.months).copied().collect(),
        batches: events.batches + sessions.batches,
        rejected: events.rejected + sessions.rejected,
        revisions: configuration::revisions(objects, &key).await?.len(),
        repos: 0,
        members: 0,
        collected_repos: 0,
        is_served: false,
        key,
    };
    if let Some(store) = ports.store {
        let key = content.key.as_str();
        content.repos = store.names.names(key, NameKind::Repo).await?.len();
        content.members = store.names.names(key, NameKind::Member).await?.len();
        content.collected_repos = store.checkpoints.load_repos(key).await?.len();
        content.is_served = store.names.org(key).await?.is_some();
    }
    Ok(content)
}

/// What a table has of an organization.
struct TableContent {
    months: BTreeSet<Month>,
    batches: usize,
    rejected: usize,
}

async fn table_content<T: Table>(
    objects: &dyn ObjectStore,
    key: &str,
) -> Result<TableContent, AggregateError> {
    Ok(TableContent {
        months: snapshot::months::<T>(objects, key).await?.into_iter().collect(),
        batches: inbox::list::<T>(objects, key).await?.len(),
        rejected: objects.list(&paths::rejected_prefix::<T>(key)).await?.len(),
    })
}

/// Removes everything of the organization with this storage key from the lake and the store. It can be repeated.
///
/// # Errors
/// If the lake or the store fails. A part may have been removed.
pub async fn forget_org(ports: ForgetPorts<'_>, key: &str) -> Result<(), AggregateError> {
    let tables =
        paths::table_prefixes::<Events>(key).into_iter().chain(paths::table_prefixes::<Sessions>(key));
    let prefixes = tables.chain([paths::configuration_prefix(key)]);
    for prefix in prefixes {
        for object in ports.objects.list(&prefix).await? {
            ports.objects.delete(&object.path).await?;
        }
    }
    if let Some(store) = ports.store {
        store.orgs.delete_org(key).await?;
        store.orgs.delete_org(&rollup_owner(key, Sessions::SNAPSHOTS)).await?;
        store.orgs.delete_org(&rollup_owner(key, PR_CLASSES)).await?;
    }
    let removed = registry::update(ports.objects, |registry| {
        registry.remove(key);
        Ok::<_, std::convert::Infallible>(())
    });
    match removed.await? {
        Ok(()) => Ok(()),
        Err(never) => match never {},
    }
}
