//! The adapters pass the suites of their ports, on a calm AWS and on one that refuses and forgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gam_aws::{DynamoStore, S3Objects, SdkConfig};
use gam_lake::ObjectStore;
use gam_tests::proxy::{self, Proxy};
use serde_json::{Value, json};

use super::calls::calls;
use super::emulator::{Emulator, config_at, template};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator];

/// A runtime with several threads, so that races are real.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A name that nothing else has, also not on an AWS that was there before.
fn fresh(kind: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("gam-{kind}-{:08x}-{}-{number}", fastrand::u32(..), std::process::id())
}

/// The lake's port, on fresh buckets of the emulator, by way of those clients.
async fn objects(aws: &Emulator, config: &SdkConfig) {
    gam_lake::conformance::run(async || {
        let bucket = fresh("lake");
        aws.call("s3", "create_bucket", json!({ "Bucket": bucket }));
        let objects: Arc<dyn ObjectStore> = Arc::new(S3Objects::new(config, &bucket, "some/where/"));
        objects
    })
    .await;
}

/// The table as the template has it, under another name.
fn table(template: &Value, name: &str) -> Value {
    let properties = &template["Resources"]["Table"]["Properties"];
    let kept = ["BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"];
    let mut table = json!({ "TableName": name });
    for name in kept {
        table[name] = properties[name].clone();
    }
    table
}

/// The store's ports, on fresh tables of the emulator, by way of those clients.
async fn store(aws: &Emulator, config: &SdkConfig) {
    let template = template(calls().expect("the emulator has boto3"));
    gam_store::conformance::run(async || {
        let name = fresh("table");
        aws.call("dynamodb", "create_table", table(&template, &name));
        DynamoStore::new(config, &name)
    })
    .await;
}

fn the_lake_on_s3_keeps_its_port() {
    let aws = Emulator::given_or_started();
    runtime().block_on(async { objects(&aws, &aws.config().await).await });
}

fn the_store_on_dynamodb_keeps_its_ports() {
    let aws = Emulator::given_or_started();
    runtime().block_on(async { store(&aws, &aws.config().await).await });
}

fn the_lake_on_s3_keeps_its_port_through_refusals() {
    let aws = Emulator::given_or_started();
    let proxy = Proxy::start(1);
    proxy.set_upstream(aws.endpoint());
    let faults = [proxy::INTERNAL, proxy::SLOW_DOWN, proxy::ProxyFault::LostRequest];
    for fault in faults {
        proxy.inject_randomly(4, fault, |_| true);
    }
    proxy.inject_randomly(12, proxy::CONFLICT, |request| request.operation.starts_with("PUT "));
    runtime().block_on(async { objects(&aws, &config_at(&proxy.endpoint()).await).await });
    for fault in [faults.as_slice(), &[proxy::CONFLICT]].concat() {
        assert!(proxy.injected_count(fault) > 5, "{fault:?} was tried {} times", proxy.injected_count(fault));
    }
}

fn the_store_on_dynamodb_keeps_its_ports_through_throttling() {
    let aws = Emulator::given_or_started();
    let proxy = Proxy::start(2);
    proxy.set_upstream(aws.endpoint());
    let faults =
        [proxy::THROTTLED, proxy::THROTTLING, proxy::ProxyFault::LostRequest, proxy::ProxyFault::LostAnswer];
    for fault in faults {
        proxy.inject_randomly(3, fault, |_| true);
    }
    runtime().block_on(async { store(&aws, &config_at(&proxy.endpoint()).await).await });
    for fault in faults {
        assert!(proxy.injected_count(fault) > 5, "{fault:?} was tried {} times", proxy.injected_count(fault));
    }
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, the_lake_on_s3_keeps_its_port),
        external_test!(NEEDS, the_store_on_dynamodb_keeps_its_ports),
        external_test!(NEEDS, the_lake_on_s3_keeps_its_port_through_refusals),
        external_test!(NEEDS, the_store_on_dynamodb_keeps_its_ports_through_throttling),
    ]
}
