//! Opens the lake and the store that the settings name, and connects them to the ports of the use cases.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gam_access::{LogReadings, RefusalLog, Tokens};
use gam_aggregate::{AggregatePorts, ForgetStorePorts};
use gam_audit::{AuditPorts, SegmentLog};
use gam_collect::{CollectPorts, DryRunPorts};
use gam_http::{ApiPorts, LogPorts, WebhookSecrets, WorkPorts};
use gam_lake::configuration::CachedConfigurations;
use gam_lake::registry::{self, CachedRegistry};
use gam_lake::{FileStore, ObjectStore};
use gam_model::{Clock, Identity, Month, OrgRegistry, SystemClock};
use gam_query::{IdentitySource, QueryPorts, RegistrySource};
use gam_store::{Checkpoint, NameKind, RecordStore, work_orgs};
use gam_store_sql::SqliteStore;
use gam_work::actions::{Actions, GitHubActions};
use gam_work::tasks::Tasks;
use gam_work::{IssueFollower, IssueReader, PushedSessions};
use gam_work_ports::{GitHubWriter, LakeActionSettings, LakeSessionInbox};

use crate::aws;
use crate::error::failure;
use crate::location::{LakeLocation, StoreLocation};
use crate::postgres;
use crate::settings::CliSettings;
use crate::store::StorePorts;
use crate::webhooks::{WebhookStore, Webhooks};

/// An open store, and the lake for reading configurations: everything that queries need.
pub(crate) struct OpenStore {
    ports: StorePorts,
    /// The same store, opened for writing, if `ports` only read and the user may write.
    writer: Option<StorePorts>,
    /// Whether `ports` can write.
    is_writable: bool,
    clock: Arc<dyn Clock>,
    /// The lake, opened for reading.
    lake: Arc<dyn ObjectStore>,
    /// Whether it is a table of DynamoDB.
    is_table: bool,
}

/// The rules for bots and aliases that the lake configures.
struct LakeIdentities(CachedConfigurations);

#[async_trait]
impl IdentitySource for LakeIdentities {
    async fn identity(
        &self,
        org: &str,
        revision: u32,
    ) -> Result<Arc<Identity>, Box<dyn Error + Send + Sync>> {
        Ok(Arc::new(self.0.revision(org, revision).await?.identity.clone()))
    }
}

/// The registry of organizations of the lake.
struct LakeRegistry(CachedRegistry);

#[async_trait]
impl RegistrySource for LakeRegistry {
    async fn registry(&self) -> Result<Arc<OrgRegistry>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.get().await?)
    }
}

/// An open lake and an open store.
pub(crate) struct OpenData {
    /// The objects of the lake.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The store.
    pub(crate) store: OpenStore,
}

impl OpenStore {
    /// Opens the store. A local file is created if it is missing.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub(crate) async fn open(settings: &CliSettings) -> anyhow::Result<Self> {
        let lake = open_lake_for_reading(&settings.lake).await?;
        let ports = match &settings.store {
            StoreLocation::Sqlite(path) => StorePorts::sqlite(SqliteStore::open(path).await?),
            StoreLocation::Postgres(database) => postgres::open(database).await?,
            StoreLocation::Dynamo(table) => aws::open_store(table).await?,
        };
        let is_table = matches!(settings.store, StoreLocation::Dynamo(_));
        Ok(OpenStore { ports, writer: None, is_writable: true, clock: Arc::new(SystemClock), lake, is_table })
    }

    /// Opens the store for reading, if it exists. Needs no permission to write.
    ///
    /// # Errors
    /// If there is no store yet, or as [`OpenStore::open`].
    pub(crate) async fn open_existing(settings: &CliSettings) -> anyhow::Result<Self> {
        let lake = open_lake_for_reading(&settings.lake).await?;
        let ports = match &settings.store {
            StoreLocation::Sqlite(path) if is_missing(path) => {
                return Err(failure(missing_store(path)));
            }
            StoreLocation::Sqlite(path) => StorePorts::sqlite(SqliteStore::open_read_only(path).await?),
            StoreLocation::Postgres(database) => postgres::open_read_only(database).await?,
            StoreLocation::Dynamo(table) => aws::open_store(table).await?,
        };
        let is_table = matches!(settings.store, StoreLocation::Dynamo(_));
        Ok(OpenStore {
            ports,
            writer: None,
            is_writable: is_table,
            clock: Arc::new(SystemClock),
            lake,
            is_table,
        })
    }

    /// Opens the store, if it exists.
    ///
    /// # Errors
    /// If there is no store yet, or as [`OpenStore::open`].
    pub(crate) async fn open_existing_for_writing(settings: &CliSettings) -> anyhow::Result<Self> {
        if store_exists(&settings.store).await? {
            Self::open(settings).await
        } else {
            // Fails with what to do.
            Self::open_existing(settings).await
        }
    }

    /// Opens the store for reading, and its records for writing if the user may write. A missing one is created first.
    ///
    /// # Errors
    /// As [`OpenStore::open`].
    pub(crate) async fn open_for_serving(settings: &CliSettings) -> anyhow::Result<Self> {
        if !store_exists(&settings.store).await? {
            Self::open(settings).await?.close().await;
        }
        let mut store = Self::open_existing(settings).await?;
        // The file is current, so nothing is migrated here. A server without permission to write serves metrics only.
        store.writer = match &settings.store {
            StoreLocation::Sqlite(path) => SqliteStore::open(path).await.ok().map(StorePorts::sqlite),
            StoreLocation::Postgres(database) => postgres::open(database).await.ok(),
            StoreLocation::Dynamo(_) => None,
        };
        Ok(store)
    }

    /// Returns whether the store is a table of DynamoDB, which functions on AWS may use, too.
    pub(crate) fn is_table(&self) -> bool {
        self.is_table
    }

    /// Returns the clock of all use cases.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns the lake, opened for reading.
    pub(crate) fn lake(&self) -> Arc<dyn ObjectStore> {
        self.lake.clone()
    }

    /// Returns the ports of queries.
    pub(crate) fn query_ports(&self) -> QueryPorts {
        QueryPorts {
            rollups: self.ports.rollups.clone(),
            names: self.ports.names.clone(),
            checkpoints: self.ports.checkpoints.clone(),
            clock: self.clock.clone(),
            identities: Arc::new(LakeIdentities(CachedConfigurations::new(
                self.lake.clone(),
                self.clock.clone(),
            ))),
            registry: Arc::new(LakeRegistry(CachedRegistry::new(self.lake.clone(), self.clock.clone()))),
        }
    }

    /// Returns the ports of removing an organization.
    pub(crate) fn forget_ports(&self) -> ForgetStorePorts<'_> {
        ForgetStorePorts {
            orgs: &*self.ports.orgs,
            names: &*self.ports.names,
            checkpoints: &*self.ports.checkpoints,
        }
    }

    /// Returns the tokens of the store.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::new(self.ports.records.clone(), self.clock.clone())
    }

    /// Returns the ports of the API of a server: queries, and tasks and actions if the store can be written.
    ///
    /// # Errors
    /// If the credential that may write to GitHub is invalid.
    pub(crate) fn api_ports(&self, settings: &CliSettings) -> anyhow::Result<ApiPorts> {
        let writer = settings.writing_client()?;
        let links = settings.approval_links()?;
        let ports = self.api_ports_with(writer, settings.github_owner.clone());
        Ok(ApiPorts { work: ports.work.map(|work| WorkPorts { links, ..work }), ..ports })
    }

    /// Returns the same ports for a server that changes nothing on GitHub, whatever the settings say.
    pub(crate) fn api_ports_without_github(&self) -> ApiPorts {
        self.api_ports_with(None, None)
    }

    fn api_ports_with(&self, writer: Option<gam_github::Client>, default_owner: Option<String>) -> ApiPorts {
        let work = self
            .writable_records()
            .map(|records| WorkPorts { default_owner, ..self.work_ports(records, writer) });
        let log = self.audit_ports(self.lake.clone()).map(|ports| self.log_ports(ports));
        ApiPorts { query: self.query_ports(), work, log }
    }

    /// Returns the ports of an API that only reads.
    pub(crate) fn api_ports_for_reading(&self) -> ApiPorts {
        let work = self.work_ports(self.ports.records.clone(), None);
        ApiPorts { query: self.query_ports(), work: Some(work), log: None }
    }

    fn work_ports(&self, records: Arc<dyn RecordStore>, writer: Option<gam_github::Client>) -> WorkPorts {
        let issues = IssueReader::new(records.clone(), self.clock.clone());
        let actions = self.actions_in(records.clone(), writer);
        WorkPorts { tasks: self.tasks_in(records), issues, actions, default_owner: None, links: None }
    }

    fn log_ports(&self, ports: AuditPorts) -> LogPorts {
        let readings = LogReadings::new(ports.records.clone(), ports.clock.clone());
        LogPorts { log: Arc::new(SegmentLog::new(ports)), readings, is_streaming: true }
    }

    /// Returns the ports of the audit log over a lake, or `None` if the user may only read the store.
    pub(crate) fn audit_ports(&self, objects: Arc<dyn ObjectStore>) -> Option<AuditPorts> {
        let records = self.writable_records()?;
        Some(AuditPorts { objects, records, clock: self.clock.clone() })
    }

    /// Returns the ports of the audit log for reading.
    pub(crate) fn audit_ports_for_reading(&self) -> AuditPorts {
        AuditPorts {
            objects: self.lake.clone(),
            records: self.ports.records.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Returns the storage keys of all organizations that the lake or the store knows, sorted.
    ///
    /// # Errors
    /// If the registry or the store cannot be read.
    pub(crate) async fn keys(&self) -> anyhow::Result<Vec<String>> {
        let registry = self.registry().await?;
        let mut keys: Vec<String> = registry.keys().map(str::to_owned).collect();
        keys.extend(self.orgs().await?.iter().map(|org| registry.key_of(org)));
        keys.extend(work_orgs(&*self.ports.records, self.clock.now()).await?);
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// Returns the tasks of a store that was opened for writing.
    pub(crate) fn tasks(&self) -> Tasks {
        self.tasks_in(self.ports.records.clone())
    }

    /// Returns the actions of a store that was opened for writing. They cannot be sent to GitHub.
    pub(crate) fn actions(&self) -> Actions {
        self.actions_in(self.ports.records.clone(), None)
    }

    fn actions_in(&self, records: Arc<dyn RecordStore>, writer: Option<gam_github::Client>) -> Actions {
        let github = writer.map(|client| Arc::new(GitHubWriter::new(client)) as Arc<dyn GitHubActions>);
        let settings = Arc::new(LakeActionSettings(self.lake.clone()));
        Actions::new(records, self.clock.clone(), settings, github)
    }

    /// Connects the store to webhooks, if there is a secret for them. `orgs` are collected, also if the store does not
    /// know them yet.
    ///
    /// # Errors
    /// If a secret is invalid, or the store cannot be written.
    pub(crate) fn webhooks(
        &self,
        settings: &CliSettings,
        github: Option<&gam_github::Client>,
        orgs: &[String],
    ) -> anyhow::Result<Option<Webhooks>> {
        let secrets = settings.webhook_secrets.read()?;
        secrets.map(|secrets| self.webhooks_with(secrets, github, orgs)).transpose()
    }

    /// Connects the store to webhooks that these secrets sign.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(crate) fn webhooks_with(
        &self,
        secrets: WebhookSecrets,
        github: Option<&gam_github::Client>,
        orgs: &[String],
    ) -> anyhow::Result<Webhooks> {
        let Some(records) = self.writable_records() else {
            return Err(failure(
                "webhooks need a store that can be written: give this user permission, or unset GITHUB_WEBHOOK_SECRET",
            ));
        };
        let follower: Arc<dyn IssueFollower> = Arc::new(self.tasks_in(records.clone()).follower());
        let store = WebhookStore {
            records,
            names: self.ports.names.clone(),
            lake: self.lake.clone(),
            clock: self.clock.clone(),
            followers: vec![follower],
        };
        Ok(Webhooks::new(secrets, store, github, orgs))
    }

    fn tasks_in(&self, records: Arc<dyn RecordStore>) -> Tasks {
        let pick = Arc::new(|count| fastrand::usize(..count));
        Tasks::new(records, self.clock.clone(), pick)
    }

    /// Returns the records of the store, or `None` if the user may only read it.
    pub(crate) fn writable_records(&self) -> Option<Arc<dyn RecordStore>> {
        match &self.writer {
            Some(writer) => Some(writer.records.clone()),
            None => self.is_writable.then(|| self.ports.records.clone()),
        }
    }

    /// Returns what takes session events of other machines into a lake, or `None` if the user may only read the store.
    pub(crate) fn pushed_sessions(&self, inbox: &LakeSessionInbox) -> Option<PushedSessions> {
        let records = self.writable_records()?;
        Some(PushedSessions::new(records, Arc::new(inbox.clone()), self.clock.clone()))
    }

    /// Returns what counts refused requests, or `None` if the user may only read the store.
    pub(crate) fn refusal_log(&self) -> Option<RefusalLog> {
        self.writable_records().map(|records| RefusalLog::new(records, self.clock.clone()))
    }

    /// Returns the ports of an aggregation for reading: a local lake refuses writes.
    pub(crate) fn aggregate_ports_for_reading(&self) -> AggregatePorts {
        AggregatePorts {
            objects: self.lake.clone(),
            rollups: self.ports.rollups.clone(),
            names: self.ports.names.clone(),
            checkpoints: self.ports.checkpoints.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Returns the registry of organizations.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn registry(&self) -> anyhow::Result<OrgRegistry> {
        Ok(registry::read(&*self.lake).await?)
    }

    /// Returns the name of every organization in the store. It differs from the storage key in upper and lower
    /// case only.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn orgs(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.ports.names.orgs().await?)
    }

    /// Returns the ids and latest names of the repositories of the organization with this storage key.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn repos(&self, key: &str) -> anyhow::Result<Vec<(i64, String)>> {
        let names = self.ports.names.names(key, NameKind::Repo).await?;
        Ok(names.into_iter().map(|entry| (entry.id, entry.name)).collect())
    }

    /// Returns the months of the organization with this storage key that answers derive from.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn folded_months(&self, key: &str) -> anyhow::Result<Vec<Month>> {
        let head = Checkpoint::load_head(&*self.ports.checkpoints, key).await?;
        let Some(active) = head.value.active else { return Ok(Vec::new()) };
        let markers = self.ports.rollups.markers(key, active.epoch).await?;
        Ok(markers.into_iter().map(|marker| marker.month).collect())
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        // The reader first: the last connection moves the log into the file, which a reader is not allowed to do.
        self.ports.close().await;
        if let Some(writer) = self.writer {
            writer.close().await;
        }
    }
}

impl OpenData {
    /// Opens the lake and the store. Local ones are created if they are missing.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub(crate) async fn open(settings: &CliSettings) -> anyhow::Result<Self> {
        let objects = open_lake(&settings.lake).await?;
        Ok(OpenData { objects, store: OpenStore::open(settings).await? })
    }

    /// Returns the ports of a collection.
    pub(crate) fn collect_ports(&self) -> CollectPorts {
        CollectPorts {
            objects: self.objects.clone(),
            names: self.store.ports.names.clone(),
            checkpoints: self.store.ports.checkpoints.clone(),
            clock: self.store.clock.clone(),
        }
    }

    /// Returns the storage key of the organization with this name.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub(crate) async fn key_of(&self, org: &str) -> anyhow::Result<String> {
        Ok(self.store.registry().await?.key_of(org))
    }

    /// Returns the ports of an aggregation.
    pub(crate) fn aggregate_ports(&self) -> AggregatePorts {
        AggregatePorts {
            objects: self.objects.clone(),
            rollups: self.store.ports.rollups.clone(),
            names: self.store.ports.names.clone(),
            checkpoints: self.store.ports.checkpoints.clone(),
            clock: self.store.clock.clone(),
        }
    }

    /// Returns the ports of the audit log.
    pub(crate) fn audit_ports(&self) -> AuditPorts {
        AuditPorts {
            objects: self.objects.clone(),
            records: self.store.ports.records.clone(),
            clock: self.store.clock.clone(),
        }
    }

    /// Returns the clock of all use cases.
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.store.clock()
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

/// Opens the lake. A local directory is created if it is missing.
///
/// # Errors
/// If the lake cannot be opened.
pub(crate) async fn open_lake(location: &LakeLocation) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match location {
        LakeLocation::Dir(dir) => Ok(Arc::new(FileStore::open(dir)?)),
        LakeLocation::S3 { lake, audit_log } => aws::open_lake(lake, audit_log.as_ref()).await,
    }
}

/// Opens the lake for reading. A missing local directory is not created, and counts as empty.
///
/// # Errors
/// If the lake cannot be opened.
pub(crate) async fn open_lake_for_reading(location: &LakeLocation) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match location {
        LakeLocation::Dir(dir) => Ok(Arc::new(FileStore::open_for_reading(dir))),
        LakeLocation::S3 { lake, audit_log } => aws::open_lake(lake, audit_log.as_ref()).await,
    }
}

/// Opens the ports of a dry run, which writes nothing: a missing store is not created. The caller
/// closes the store, if there is one.
///
/// # Errors
/// As [`OpenStore::open`].
pub(crate) async fn open_dry_run(settings: &CliSettings) -> anyhow::Result<(DryRunPorts, Option<OpenStore>)> {
    let exists = store_exists(&settings.store).await?;
    let store = match &settings.store {
        StoreLocation::Postgres(_) if exists => Some(OpenStore::open_existing(settings).await?),
        _ if exists => Some(OpenStore::open(settings).await?),
        _ => None,
    };
    let checkpoints = store.as_ref().map(|open| open.ports.checkpoints.clone());
    let objects = open_lake_for_reading(&settings.lake).await?;
    Ok((DryRunPorts { objects, checkpoints, clock: Arc::new(SystemClock) }, store))
}

/// Returns the number of batches of the organization that wait in a local inbox. Returns 0 if it cannot
/// be determined cheaply.
pub(crate) async fn waiting_batches(settings: &CliSettings, org: &str) -> usize {
    // A remote lake is not listed: that takes time, and may be refused.
    let LakeLocation::Dir(dir) = &settings.lake else { return 0 };
    if settings.api.is_some() || !dir.is_dir() {
        return 0;
    }
    // A reader waits for no lock, and needs no permission to write.
    let objects = FileStore::open_for_reading(dir);
    let Ok(registry) = registry::read(&objects).await else { return 0 };
    gam_lake::inbox::list::<gam_lake::Events>(&objects, &registry.key_of(org))
        .await
        .map_or(0, |batches| batches.len())
}

/// Returns the message for a store that does not exist.
fn missing_store(path: &Path) -> String {
    format!(
        "there is no store at {} yet: run `github-metrics up ORG` first, or name another directory with --data-dir, or \
         a server with --api",
        path.display()
    )
}

/// Returns whether there is a store. A table of DynamoDB is not looked for.
///
/// # Errors
/// If the server of a database cannot be reached, or refuses the user or the database.
pub(crate) async fn store_exists(location: &StoreLocation) -> anyhow::Result<bool> {
    match location {
        StoreLocation::Sqlite(path) => Ok(!is_missing(path)),
        StoreLocation::Postgres(database) => postgres::exists(database).await,
        StoreLocation::Dynamo(_) => Ok(true),
    }
}

/// Returns whether the file is missing. If that cannot be determined, opening the file reports why.
fn is_missing(path: &Path) -> bool {
    !path.try_exists().unwrap_or(true)
}
