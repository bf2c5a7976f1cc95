//! The store on DynamoDB, in one table.
//!
//! | partition key `pk` | sort key `sk` | item |
//! |---|---|---|
//! | `items#{org}#{epoch}#{class}#{kind}#{subject}` | `{month}`, `{month}#{week}` | an item of rollups; one query reads a range |
//! | `parts#{org}#{epoch}#{month}` | `{class}#{kind}#{week}#{subject}#{generation}#{id}#{number}` | a part of a body that is too large for one item |
//! | `org#{org}` | `marker#{epoch}#{month}` | a month's marker |
//! | `org#{org}` | `name#{kind}#{id}` | a name |
//! | `orgs` | `org#{org}` | an organization that has a name or a head |
//! | `checkpoint#{org}` | `org`, `head`, `repo#{id}` | a checkpoint |
//! | `record#{org}#{kind}` | the parts of the key | a record; `_` instead of an organization for none |
//!
//! A commit of records is one transaction. Every other write of an item is a `PutItem` of the complete item, under a condition unless it always writes the same. If
//! a response is lost, the retry finds what the first attempt wrote and changes nothing. See
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html>.
//!
//! All reads are consistent.

mod batch;
mod body;
mod checkpoints;
mod item;
mod keys;
mod markers;
mod names;
mod orgs;
mod parts;
mod records;
mod rollups;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::ProvideErrorMetadata;
use gam_store::error::{Error, Result};

use crate::config::{timeouts, without_retry_quota};
use crate::service_error::ServiceError;
use item::{Item, text};
use keys::TableKey;

/// Timeout of one attempt of a request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of requests that one call sends concurrently at most.
const MAX_CONCURRENT_REQUESTS: usize = 32;

/// Returns the table of an address `dynamodb:TABLE`, or `None` if the address is invalid.
pub fn parse(address: &str) -> Option<&str> {
    address.strip_prefix("dynamodb:").filter(|table| !table.is_empty())
}

/// The store in a DynamoDB table. Clones share their connections.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
    /// Organizations that this process has registered, by key. Another process may have removed them since.
    registered: Arc<Mutex<HashSet<String>>>,
}

/// The outcome of a conditional `PutItem`.
enum ConditionalPut {
    Written,
    /// The condition does not hold for the stored item, which is this one.
    ConditionFailed(Item),
}

impl DynamoStore {
    /// Creates a store on a table. Sends no request.
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(timeouts(ATTEMPT_TIMEOUT))
            .retry_partition(without_retry_quota("dynamodb"))
            .build();
        DynamoStore { client: Client::from_conf(config), table: table.to_owned(), registered: Arc::default() }
    }

    fn error<E>(&self, action: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let cause = ServiceError::new(error);
        let table = &self.table;
        if cause.code == "ResourceNotFoundException" {
            let text = format!(
                "table {table} does not exist in this region: deploy the stack that creates it, or set AWS_REGION"
            );
            return Error::unusable(text, cause);
        }
        if cause.is_access_denied() {
            let text = format!(
                "{action} in table {table} is not permitted ({cause}): sign in to AWS, or grant this role access to the table"
            );
            return Error::unusable(text, cause);
        }
        if cause.code == "ValidationException" {
            return Error::unusable(format!("{action} in table {table} was rejected: {cause}"), cause);
        }
        Error::unavailable(format!("{action} in table {table}: {cause}"), cause)
    }

    async fn get_item(&self, action: &str, key: &TableKey) -> Result<Option<Item>> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let response = request.set_key(Some(key.attributes())).send().await;
        Ok(response.map_err(|error| self.error(action, &error))?.item.map(Item))
    }

    /// Returns all items of a partition whose sort key starts with `prefix.sk`, ordered by sort key.
    async fn query_prefix(&self, action: &str, prefix: &TableKey) -> Result<Vec<Item>> {
        self.query_all_pages(action, self.prefix_query(prefix)).await
    }

    /// Returns the query for all items of a partition whose sort key starts with `prefix.sk`.
    fn prefix_query(&self, prefix: &TableKey) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression(prefix.condition())
            .set_expression_attribute_values(Some(prefix.values()))
    }

    /// Returns the query for the items of a partition whose sort key is between two others, both included.
    fn between_query(&self, pk: &str, from: &str, to: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to))
    }

    /// Sends a query and returns the items of all its pages.
    async fn query_all_pages(&self, action: &str, request: QueryFluentBuilder) -> Result<Vec<Item>> {
        let mut pages = request.into_paginator().items().send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            items.push(Item(item.map_err(|error| self.error(action, &error))?));
        }
        Ok(items)
    }

    fn put_request(&self, item: Item) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.table).set_item(Some(item.0))
    }

    /// Sends a conditional `PutItem`, and returns the stored item if the condition fails.
    async fn put_conditionally(&self, action: &str, request: PutItemFluentBuilder) -> Result<ConditionalPut> {
        use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
        match request.return_values_on_condition_check_failure(AllOld).send().await {
            Ok(_) => Ok(ConditionalPut::Written),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(ConditionalPut::ConditionFailed(Item(failed.item().cloned().unwrap_or_default())))
                }
                _ => Err(self.error(action, &error)),
            },
        }
    }

    /// Writes the item that lists the organization.
    async fn register(&self, org: &str) -> Result<()> {
        let action = "registering the organization";
        let request = self.put_request(Item::new(&TableKey::registered(org)));
        request.send().await.map_err(|error| self.error(action, &error))?;
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).insert(org.to_owned());
        Ok(())
    }

    /// Writes the item that lists the organization unless this process has done so before. Only for writes that follow
    /// others of the same organization: after another process has removed the organization, the first ones register it
    /// again.
    async fn register_once(&self, org: &str) -> Result<()> {
        if self.registered.lock().unwrap_or_else(PoisonError::into_inner).contains(org) {
            return Ok(());
        }
        self.register(org).await
    }
}
