//! Makes the client of a bucket from the settings. Does no request.

use std::{str::FromStr, sync::Arc, time::Duration};

use lakebed_types::{Error, Result};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey as S3Key},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::SpawnedReqwestConnector,
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use crate::{Location, StorageSettings, instance_credentials::InstanceCredentials};

/// Connections that nobody used for this long are closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(60);
/// The longest pause between two tries.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// A client for the bucket of this location.
///
/// # Errors
/// `invalid_request` where options contradict each other or lack something, such as a secret for a key.
pub(crate) fn connect(location: &Location, settings: &StorageSettings) -> Result<Arc<dyn ObjectStore>> {
    let built = match location.scheme() {
        "gs" => connect_google(location.bucket(), settings),
        "az" => connect_azure(location.bucket(), settings),
        _ => connect_s3(location.bucket(), settings),
    };
    built.map_err(|error| {
        Error::invalid_request(format!("the settings for `{}` do not fit together: {error}", location.store_url()))
            .with_hint("Check the variables of this store, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
            .with_source(error)
    })
}

fn connect_s3(bucket: &str, settings: &StorageSettings) -> object_store::Result<Arc<dyn ObjectStore>> {
    let options = known_options::<S3Key>(settings);
    let plain_http =
        |key: &S3Key, value: &str| matches!(key, S3Key::Endpoint | S3Key::S3Endpoint) && value.starts_with("http://");
    let allow_http = options.iter().any(|(key, value)| plain_http(key, value));
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options(settings).with_allow_http(allow_http))
        .with_retry(retry_config(settings));
    for (key, value) in options {
        builder = builder.with_config(key, value);
    }
    if needs_instance_credentials(&builder) {
        let credentials = InstanceCredentials::new(bucket, &builder, settings)?;
        builder = builder.with_credentials(Arc::new(credentials));
    }
    if let Some(runtime) = &settings.io_runtime {
        builder = builder.with_http_connector(SpawnedReqwestConnector::new(runtime.clone()));
    }
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

/// Whether nothing says where credentials come from, so that only the machine itself can know.
fn needs_instance_credentials(builder: &AmazonS3Builder) -> bool {
    let has = |key| builder.get_config_value(&key).is_some();
    let skips = builder.get_config_value(&S3Key::SkipSignature).is_some_and(|value| value == "true");
    let web_identity = has(S3Key::WebIdentityTokenFile) && has(S3Key::RoleArn);
    let pod = has(S3Key::ContainerCredentialsFullUri) && has(S3Key::ContainerAuthorizationTokenFile);
    let keys = has(S3Key::AccessKeyId) || has(S3Key::SecretAccessKey);
    !(skips || keys || web_identity || pod || has(S3Key::ContainerCredentialsRelativeUri))
}

fn connect_google(bucket: &str, settings: &StorageSettings) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client_options(settings).with_allow_http(true))
        .with_retry(retry_config(settings));
    for (key, value) in known_options::<GoogleConfigKey>(settings) {
        builder = builder.with_config(key, value);
    }
    if let Some(runtime) = &settings.io_runtime {
        builder = builder.with_http_connector(SpawnedReqwestConnector::new(runtime.clone()));
    }
    Ok(Arc::new(builder.with_bucket_name(bucket).build()?))
}

fn connect_azure(container: &str, settings: &StorageSettings) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder =
        MicrosoftAzureBuilder::new().with_client_options(client_options(settings)).with_retry(retry_config(settings));
    for (key, value) in known_options::<AzureConfigKey>(settings) {
        builder = builder.with_config(key, value);
    }
    if let Some(runtime) = &settings.io_runtime {
        builder = builder.with_http_connector(SpawnedReqwestConnector::new(runtime.clone()));
    }
    builder = match container.contains('@') {
        true => builder.with_url(format!("abfss://{container}/")),
        false => builder.with_container_name(container),
    };
    Ok(Arc::new(builder.build()?))
}

/// The options that this kind of store knows. Empty values, as of variables that are set to nothing, do not count.
fn known_options<K: FromStr>(settings: &StorageSettings) -> Vec<(K, String)> {
    let set = settings.options.iter().filter(|(_, value)| !value.is_empty());
    set.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone()))).collect()
}

pub(crate) fn client_options(settings: &StorageSettings) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(settings.connect_timeout)
        .with_timeout(settings.request_timeout)
        .with_pool_max_idle_per_host(settings.max_connections)
        .with_pool_idle_timeout(IDLE_CONNECTION)
}

fn retry_config(settings: &StorageSettings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: MAX_BACKOFF, ..BackoffConfig::default() },
        max_retries: settings.retry_limit,
        retry_timeout: settings.retry_budget,
    }
}
