//! The lake on S3 and the store on DynamoDB, in builds with the feature `aws`.

#[cfg(feature = "aws")]
pub(crate) use enabled::{duckdb_secret, open_lake, open_store};
#[cfg(not(feature = "aws"))]
pub(crate) use missing::{duckdb_secret, open_lake, open_store};

/// Whether this build supports AWS.
pub(crate) const IS_ENABLED: bool = cfg!(feature = "aws");

/// What is wrong with a build without AWS support, and what to do.
pub(crate) const HOW_TO_ENABLE: &str =
    "this build has no AWS support; use a release binary, or build with `--features aws`";

#[cfg(feature = "aws")]
mod enabled {
    use std::sync::Arc;

    use gam_aws::{DynamoStore, S3Access, S3Objects, SdkConfig};
    use gam_lake::{ObjectStore, SplitLake};
    use url::Url;

    use crate::lake_views::text_literal;
    use crate::location::S3Location;
    use crate::settings::plain_http_error;
    use crate::store::StorePorts;
    use gam_client::is_protected;

    /// Opens a lake, and its audit log if that is elsewhere. It sends no request.
    ///
    /// # Errors
    /// If the endpoint of a service is a plain http address of another machine. A build without AWS support
    /// always fails.
    pub(crate) async fn open_lake(
        lake: &S3Location,
        audit_log: Option<&S3Location>,
    ) -> anyhow::Result<Arc<dyn ObjectStore>> {
        let config = load().await?;
        let open = |S3Location { bucket, prefix }: &S3Location| -> Arc<dyn ObjectStore> {
            Arc::new(S3Objects::new(&config, bucket, prefix))
        };
        Ok(match audit_log {
            Some(audit_log) => Arc::new(SplitLake::new(open(lake), open(audit_log))),
            None => open(lake),
        })
    }

    /// Opens a store in a table. It sends no request.
    ///
    /// # Errors
    /// As [`open_lake`].
    pub(crate) async fn open_store(table: &str) -> anyhow::Result<StorePorts> {
        Ok(StorePorts::new(Arc::new(DynamoStore::new(&load().await?, table))))
    }

    /// Returns the statement that lets DuckDB read the lake and its audit log on S3 as this program does: with the
    /// credentials, the region and the endpoint of the environment. It holds a secret.
    ///
    /// # Errors
    /// As [`open_lake`], or if the credentials cannot be read.
    pub(crate) async fn duckdb_secret(
        lake: &S3Location,
        audit_log: Option<&S3Location>,
    ) -> anyhow::Result<String> {
        let access = S3Access::load(&load().await?).await?;
        let scopes = std::iter::once(lake).chain(audit_log);
        let scopes: Vec<String> = scopes.map(|location| text_literal(&location.to_string())).collect();
        let scopes = format!("SCOPE [{}]", scopes.join(", "));
        let mut options = vec!["TYPE s3".to_owned(), "PROVIDER config".to_owned(), scopes];
        let mut add = |name: &str, value: &str| options.push(format!("{name} {}", text_literal(value)));
        if let Some(region) = &access.region {
            add("REGION", region);
        }
        if let Some(credentials) = &access.credentials {
            add("KEY_ID", credentials.access_key_id());
            add("SECRET", credentials.secret_access_key());
            if let Some(token) = credentials.session_token() {
                add("SESSION_TOKEN", token);
            }
        }
        if let Some(url) = access.endpoint.and_then(|text| Url::parse(&text).ok()) {
            let host = url.host_str().unwrap_or_default();
            add("ENDPOINT", &url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")));
            add("URL_STYLE", "path");
            options.push(format!("USE_SSL {}", url.scheme() == "https"));
        }
        Ok(format!("CREATE OR REPLACE SECRET lake (\n  {}\n);\n", options.join(",\n  ")))
    }

    /// Reads the configuration of AWS, and refuses an endpoint to which requests would travel unencrypted.
    async fn load() -> anyhow::Result<SdkConfig> {
        let config = gam_aws::load().await;
        for service in ["S3", "DynamoDB", "STS"] {
            let endpoint = gam_aws::endpoint_override(&config, service);
            if let Some(url) = endpoint.and_then(|text| Url::parse(&text).ok())
                && !is_protected(&url)
            {
                return Err(plain_http_error("AWS_ENDPOINT_URL", &url.origin().ascii_serialization()));
            }
        }
        Ok(config)
    }
}

#[cfg(not(feature = "aws"))]
mod missing {
    use std::sync::Arc;

    use gam_lake::ObjectStore;

    use crate::error::usage_error;
    use crate::location::S3Location;
    use crate::store::StorePorts;

    /// Refuses to read a bucket.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn duckdb_secret(lake: &S3Location, _: Option<&S3Location>) -> anyhow::Result<String> {
        Err(usage_error(format!("cannot read the lake {lake}: {}", super::HOW_TO_ENABLE)))
    }

    /// Refuses to open a bucket.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn open_lake(
        lake: &S3Location,
        _: Option<&S3Location>,
    ) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Err(usage_error(format!("cannot open the lake {lake}: {}", super::HOW_TO_ENABLE)))
    }

    /// Refuses to open a table.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn open_store(table: &str) -> anyhow::Result<StorePorts> {
        Err(usage_error(format!("cannot open the store dynamodb:{table}: {}", super::HOW_TO_ENABLE)))
    }
}
