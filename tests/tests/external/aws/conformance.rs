//! The adapters pass the conformance suites of their ports, on a healthy AWS and on one with faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gam_access::{NewToken, Role, Scope, TokenLookup, Tokens};
use gam_aws::{DynamoStore, S3Objects, SdkConfig};
use gam_lake::ObjectStore;
use gam_model::{ItemClass, ItemKey, Month, Subject, SubjectKind, SystemClock};
use gam_store::{
    CheckpointKey, CheckpointStore, Epoch, NameEntry, NameKind, NameStore, OrgStore, RecordStore,
    RollupStore, SaveOutcome, StoredItem,
};
use gam_tests::proxy::{self, Proxy};
use serde_json::{Value, json};

use super::calls::boto;
use super::emulator::{Emulator, config_at, template};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator];

/// Creates a runtime with several threads, so that races happen.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Returns a unique name, also on an AWS that other runs have used.
fn unique_name(kind: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("gam-{kind}-{:08x}-{}-{number}", fastrand::u32(..), std::process::id())
}

/// Runs the suite of the lake's port, on new buckets, with the clients of `config`.
async fn run_lake_suite(aws: &Emulator, config: &SdkConfig) {
    gam_lake::conformance::run(async || {
        let bucket = unique_name("lake");
        aws.call("s3", "create_bucket", json!({ "Bucket": bucket }));
        let objects: Arc<dyn ObjectStore> = Arc::new(S3Objects::new(config, &bucket, "some/where/"));
        objects
    })
    .await;
}

/// Returns the definition of the template's table under another name.
fn table_definition(template: &Value, name: &str) -> Value {
    let properties = &template["Resources"]["Table"]["Properties"];
    let copied = ["BillingMode", "AttributeDefinitions", "KeySchema"];
    let mut table = json!({ "TableName": name });
    for name in copied {
        table[name] = properties[name].clone();
    }
    table
}

/// Runs the suites of the store's ports, on new tables, with the clients of `config`.
async fn run_store_suites(aws: &Emulator, config: &SdkConfig) {
    let template = template(boto().expect("the emulator has boto3"));
    gam_store::conformance::run(async || {
        let name = unique_name("table");
        aws.call("dynamodb", "create_table", table_definition(&template, &name));
        DynamoStore::new(config, &name)
    })
    .await;
}

/// Creates and revokes tokens through one client, while another looks them up and answers are lost.
fn dynamodb_holds_tokens() {
    let aws = Emulator::from_environment_or_start();
    let proxy = Proxy::start(3);
    proxy.set_upstream(aws.endpoint());
    proxy.inject_randomly(3, proxy::ProxyFault::LostAnswer, |request| request.operation.contains("Transact"));
    let template = template(boto().expect("the emulator has boto3"));
    let name = unique_name("tokens");
    aws.call("dynamodb", "create_table", table_definition(&template, &name));
    runtime().block_on(async {
        let tokens = |config: &SdkConfig| {
            Tokens::new(Arc::new(DynamoStore::new(config, &name)), Arc::new(SystemClock))
        };
        let (writer, reader) = (tokens(&config_at(&proxy.endpoint()).await), tokens(&aws.config().await));
        assert!(!reader.is_in_use().await.expect("a read"));
        for number in 0..8 {
            let name = format!("token-{number}");
            let new = NewToken {
                name: name.clone(),
                role: Role::Viewer,
                scope: Scope::All,
                member: None,
                expires_at: None,
            };
            let (secret, token) = writer.create(new.clone(), "local").await.expect("a token");
            assert_eq!(reader.find(&secret).await.expect("a read"), TokenLookup::Valid(token.clone()));
            assert_eq!(reader.list().await.expect("a read"), std::slice::from_ref(&token));
            assert!(reader.create(new, "local").await.is_err(), "the name is taken");
            assert_eq!(writer.revoke(&name, "local").await.expect("it is revoked"), token);
            assert_eq!(reader.find(&secret).await.expect("a read"), TokenLookup::Unknown);
        }
        assert!(reader.is_in_use().await.expect("a read"));
    });
}

/// Workers claim tasks through two clients, one of which loses answers.
fn dynamodb_gives_each_task_to_one_worker() {
    let aws = Emulator::from_environment_or_start();
    let proxy = Proxy::start(4);
    proxy.set_upstream(aws.endpoint());
    proxy
        .inject_randomly(10, proxy::ProxyFault::LostAnswer, |request| request.operation.contains("Transact"));
    let template = template(boto().expect("the emulator has boto3"));
    let name = unique_name("claims");
    aws.call("dynamodb", "create_table", table_definition(&template, &name));
    runtime().block_on(async {
        let records =
            |config: &SdkConfig| -> Arc<dyn RecordStore> { Arc::new(DynamoStore::new(config, &name)) };
        let connections = [records(&config_at(&proxy.endpoint()).await), records(&aws.config().await)];
        crate::claims::check(&connections).await;
    });
}

/// An organization is removed and collected again by one process, while another one still runs that knew it before.
fn dynamodb_lists_an_organization_that_another_process_removed() {
    let aws = Emulator::from_environment_or_start();
    let template = template(boto().expect("the emulator has boto3"));
    let name = unique_name("removed");
    aws.call("dynamodb", "create_table", table_definition(&template, &name));
    runtime().block_on(async {
        let config = aws.config().await;
        let (warm, other) = (DynamoStore::new(&config, &name), DynamoStore::new(&config, &name));
        let collect = async || {
            let name = |kind, id, name: &str| NameEntry {
                kind,
                id,
                name: name.to_owned(),
                as_of: chrono::DateTime::UNIX_EPOCH,
            };
            let names = [name(NameKind::Org, 0, "Acme"), name(NameKind::Repo, 7, "api")];
            warm.put_names("acme", &names).await.expect("names");
        };
        let save_head = async || {
            let saved = warm.save(&CheckpointKey::Head("acme".to_owned()), "{}", None).await.expect("a head");
            assert!(matches!(saved, SaveOutcome::Saved(_)), "there is no head");
        };
        // A collection writes names, an aggregation a head. Each one lists the organization.
        for has_head in [false, true] {
            collect().await;
            assert_eq!(other.org("acme").await.expect("a read").as_deref(), Some("Acme"));
            other.delete_org("acme").await.expect("it is removed");
            assert_eq!(warm.org("acme").await.expect("a read"), None);
            if has_head {
                save_head().await;
                assert_eq!(other.orgs().await.expect("a read"), ["acme"], "its head lists it");
            } else {
                collect().await;
                assert_eq!(other.orgs().await.expect("a read"), ["Acme"], "its name lists it");
            }
        }
    });
}

/// A process is killed before it has written all items of a month.
fn dynamodb_writes_lists_before_other_items() {
    let aws = Emulator::from_environment_or_start();
    let proxy = Proxy::start(5);
    proxy.set_upstream(aws.endpoint());
    proxy.inject_randomly(100, proxy::ProxyFault::Rejected(400, "ValidationException"), |request| {
        request.operation == "PutItem" && request.body.contains("#list#")
    });
    let template = template(boto().expect("the emulator has boto3"));
    let name = unique_name("lists");
    aws.call("dynamodb", "create_table", table_definition(&template, &name));
    runtime().block_on(async {
        let store = DynamoStore::new(&config_at(&proxy.endpoint()).await, &name);
        let month = Month::parse("2024-05").expect("a month");
        let item = |class| (ItemKey::new(class, month), StoredItem { generation: 1, body: vec![7] });
        let mut items: Vec<_> = (0..8).map(|id| item(ItemClass::Days(Subject::Repo(id)))).collect();
        items.push(item(ItemClass::List(SubjectKind::Repo)));
        let error = store.put("acme", Epoch(1), &items).await.expect_err("the list is rejected");
        assert!(error.to_string().contains("was rejected"), "{error}");
        let keys: Vec<_> = items.into_iter().map(|(key, _)| key).collect();
        let stored = RollupStore::get(&store, "acme", Epoch(1), &keys).await.expect("a read");
        assert_eq!(stored, [], "no item without its list");
    });
}

fn s3_passes_the_lake_suite() {
    let aws = Emulator::from_environment_or_start();
    runtime().block_on(async { run_lake_suite(&aws, &aws.config().await).await });
}

fn dynamodb_passes_the_store_suites() {
    let aws = Emulator::from_environment_or_start();
    runtime().block_on(async { run_store_suites(&aws, &aws.config().await).await });
}

fn s3_passes_the_lake_suite_despite_faults() {
    let aws = Emulator::from_environment_or_start();
    let proxy = Proxy::start(1);
    proxy.set_upstream(aws.endpoint());
    let faults = [proxy::INTERNAL, proxy::SLOW_DOWN, proxy::ProxyFault::LostRequest];
    for fault in faults {
        proxy.inject_randomly(4, fault, |_| true);
    }
    proxy.inject_randomly(12, proxy::CONFLICT, |request| request.operation.starts_with("PUT "));
    runtime().block_on(async { run_lake_suite(&aws, &config_at(&proxy.endpoint()).await).await });
    for fault in [faults.as_slice(), &[proxy::CONFLICT]].concat() {
        assert!(
            proxy.injected_count(fault) > 5,
            "{fault:?} was injected only {} times",
            proxy.injected_count(fault)
        );
    }
}

fn dynamodb_passes_the_store_suites_despite_faults() {
    let aws = Emulator::from_environment_or_start();
    let proxy = Proxy::start(2);
    proxy.set_upstream(aws.endpoint());
    let faults =
        [proxy::THROTTLED, proxy::THROTTLING, proxy::ProxyFault::LostRequest, proxy::ProxyFault::LostAnswer];
    for fault in faults {
        proxy.inject_randomly(3, fault, |_| true);
    }
    runtime().block_on(async { run_store_suites(&aws, &config_at(&proxy.endpoint()).await).await });
    for fault in faults {
        assert!(
            proxy.injected_count(fault) > 5,
            "{fault:?} was injected only {} times",
            proxy.injected_count(fault)
        );
    }
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, dynamodb_holds_tokens),
        external_test!(NEEDS, dynamodb_gives_each_task_to_one_worker),
        external_test!(NEEDS, dynamodb_lists_an_organization_that_another_process_removed),
        external_test!(NEEDS, dynamodb_writes_lists_before_other_items),
        external_test!(NEEDS, s3_passes_the_lake_suite),
        external_test!(NEEDS, dynamodb_passes_the_store_suites),
        external_test!(NEEDS, s3_passes_the_lake_suite_despite_faults),
        external_test!(NEEDS, dynamodb_passes_the_store_suites_despite_faults),
    ]
}
