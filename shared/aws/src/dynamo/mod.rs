//! The store on DynamoDB, in one table with one index.
//!
//! | partition `pk` | sort key `sk` | what |
//! |---|---|---|
//! | `rollup#{org}#{kind}#{subject}` | `{grain}#{start}#{month}` | a rollup: one query reads a subject's range |
//! | `org#{org}` | `marker#{month}` | a month's marker |
//! | `org#{org}` | `name#{kind}#{id}` | a name |
//! | `orgs` | `org#{org}` | that there is such an organization |
//! | `checkpoint#{org}` | `org`, `repo#{id}` | a checkpoint |
//!
//! The index `by_kind` holds the rollups once more, by kind, grain and stretch of time, for listings of
//! all subjects. It follows the table with some delay; everything else is read consistently.
//!
//! Every write is a conditional `PutItem` of a whole item. One whose answer was lost and that is sent
//! again finds its own work and changes nothing. See
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html>.

mod body;
mod checkpoints;
mod entry;
pub mod keys;
mod names;
mod rollups;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::ProvideErrorMetadata;
use gam_store::error::{Error, Result};

use crate::config::{patient, timeouts};
use crate::failure::Failure;
use entry::Entry;
use keys::Key;

const ATTEMPT: Duration = Duration::from_secs(5);

/// How many requests of one call are in flight.
const IN_FLIGHT: usize = 32;

/// The table of an address `dynamodb:TABLE`; `None` where it is none.
pub fn parse(address: &str) -> Option<&str> {
    address.strip_prefix("dynamodb:").filter(|table| !table.is_empty())
}

/// The store in a table. Clones share their connections.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
    /// Organizations that are known to be registered.
    registered: Arc<Mutex<HashSet<String>>>,
}

/// What became of a conditional write.
enum Put {
    Done,
    /// The condition does not hold for what is stored.
    Refused(Entry),
}

impl DynamoStore {
    /// The store in that table. It sends nothing.
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        let own = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(timeouts(ATTEMPT))
            .retry_partition(patient("dynamodb"))
            .build();
        DynamoStore { client: Client::from_conf(own), table: table.to_owned(), registered: Arc::default() }
    }

    fn error<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = Failure::of(error);
        let table = &self.table;
        if failure.code == "ResourceNotFoundException" {
            let text =
                format!("there is no table {table} here: deploy the stack that makes it, or set AWS_REGION");
            return Error::unusable(text, failure);
        }
        if failure.is_refusal() {
            let text = format!(
                "{doing} in table {table} is not permitted ({failure}): sign in to AWS, or grant this role access to it"
            );
            return Error::unusable(text, failure);
        }
        if failure.code == "ValidationException" {
            return Error::unusable(format!("{doing} in table {table} cannot be done: {failure}"), failure);
        }
        Error::unavailable(format!("{doing} in table {table}: {failure}"), failure)
    }

    async fn get(&self, doing: &str, key: &Key) -> Result<Option<Entry>> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let found = request.set_key(Some(key.attributes())).send().await;
        Ok(found.map_err(|error| self.error(doing, &error))?.item.map(Entry))
    }

    /// All entries of a partition whose sort key begins so, in order.
    async fn all(&self, doing: &str, prefix: &Key) -> Result<Vec<Entry>> {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression(prefix.condition())
            .set_expression_attribute_values(Some(prefix.values()));
        self.pages(doing, request).await
    }

    async fn pages(
        &self,
        doing: &str,
        request: aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder,
    ) -> Result<Vec<Entry>> {
        let mut pages = request.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = pages.next().await {
            found.push(Entry(item.map_err(|error| self.error(doing, &error))?));
        }
        Ok(found)
    }

    fn put_request(&self, entry: Entry) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.table).set_item(Some(entry.0))
    }

    /// Sends a conditional write.
    async fn put_if(&self, doing: &str, request: PutItemFluentBuilder) -> Result<Put> {
        use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
        match request.return_values_on_condition_check_failure(AllOld).send().await {
            Ok(_) => Ok(Put::Done),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(Put::Refused(Entry(refusal.item().cloned().unwrap_or_default())))
                }
                _ => Err(self.error(doing, &error)),
            },
        }
    }

    /// Takes note that there is such an organization.
    async fn register(&self, org: &str) -> Result<()> {
        let known = || self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(org) {
            return Ok(());
        }
        let doing = "registering the organization";
        let request = self.put_request(Entry::at(&Key::registered(org)));
        request.send().await.map_err(|error| self.error(doing, &error))?;
        known().insert(org.to_owned());
        Ok(())
    }
}
