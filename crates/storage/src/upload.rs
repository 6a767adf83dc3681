//! A multipart upload that is counted.

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use crate::counters::Meter;

/// Counts the parts and bytes of the upload that it wraps.
#[derive(Debug)]
pub(crate) struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    meter: Meter,
}

impl CountedUpload {
    pub(crate) fn new(inner: Box<dyn MultipartUpload>, meter: Meter) -> Self {
        Self { inner, meter }
    }
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (bytes, meter) = (data.content_length() as u64, self.meter.clone());
        let part = self.inner.put_part(data);
        Box::pin(async move {
            meter.request("put_part");
            part.await?;
            meter.written(bytes);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.meter.request("complete_upload");
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.meter.request("abort_upload");
        self.inner.abort().await
    }
}
