//! Credentials of the machine itself, asked for without making a laptop wait.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lakebed_types::{Error, ErrorKind};
use object_store::{
    CredentialProvider, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey as S3Key, AwsCredential, AwsCredentialProvider},
    client::SpawnedReqwestConnector,
    path::Path,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{StorageSettings, allow_list::refusal, connect::client_options};

/// For the whole talk with the metadata service, which is one hop away or not there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failure nobody asks again for this long.
const FAILURE_MEMORY: Duration = Duration::from_secs(10);

/// Asks the metadata service of an EC2 instance, once and briefly, and says clearly when there is none.
#[derive(Debug)]
pub(crate) struct InstanceCredentials {
    /// None where the service is switched off by `AWS_EC2_METADATA_DISABLED`.
    service: Option<AwsCredentialProvider>,
    failed_at: Mutex<Option<Instant>>,
    bucket: String,
}

impl InstanceCredentials {
    /// Takes the endpoint of the service, where one is set, from the bucket's own builder.
    pub(crate) fn new(
        bucket: &str,
        builder: &AmazonS3Builder,
        settings: &StorageSettings,
    ) -> object_store::Result<Self> {
        let disabled = settings.options.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("aws_ec2_metadata_disabled") && value.eq_ignore_ascii_case("true")
        });
        let service = if disabled { None } else { Some(metadata_service(builder, settings)?) };
        Ok(Self { service, failed_at: Mutex::new(None), bucket: bucket.to_owned() })
    }

    fn missing(&self) -> object_store::Error {
        let message = format!("no AWS credentials were found for bucket `s3://{}`", self.bucket);
        let error = Error::new(ErrorKind::StoreWrongSignature, message).with_hint(
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true for a public bucket.",
        );
        refusal(&Path::ROOT, error)
    }

    fn failed_lately(&self) -> bool {
        self.failed_at.lock().is_some_and(|at| at.elapsed() < FAILURE_MEMORY)
    }
}

/// object_store's own client of the service, taken out of a store that is used for nothing else.
fn metadata_service(
    builder: &AmazonS3Builder,
    settings: &StorageSettings,
) -> object_store::Result<AwsCredentialProvider> {
    let mut service = AmazonS3Builder::new()
        .with_bucket_name("instance-credentials")
        .with_client_options(client_options(settings).with_timeout(ANSWER_TIMEOUT))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    for key in [S3Key::MetadataEndpoint, S3Key::ImdsV1Fallback] {
        if let Some(value) = builder.get_config_value(&key) {
            service = service.with_config(key, value);
        }
    }
    if let Some(runtime) = &settings.io_runtime {
        service = service.with_http_connector(SpawnedReqwestConnector::new(runtime.clone()));
    }
    Ok(service.build()?.credentials().clone())
}

#[async_trait]
impl CredentialProvider for InstanceCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let Some(service) = self.service.as_ref().filter(|_| !self.failed_lately()) else {
            return Err(self.missing());
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, service.get_credential()).await {
            Ok(Ok(credential)) => Ok(credential),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the instance metadata service gave no credentials");
                *self.failed_at.lock() = Some(Instant::now());
                Err(self.missing())
            }
            Err(_) => {
                *self.failed_at.lock() = Some(Instant::now());
                Err(self.missing())
            }
        }
    }
}
