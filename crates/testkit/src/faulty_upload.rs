//! A multipart upload that goes wrong as real ones do.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart, path::Path};

use crate::faults::{Fault, Faults, ON_WRITES, failed};

/// Parts go wrong one by one, and so does the end.
#[derive(Debug)]
pub(crate) struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    parts: u64,
    faults: Arc<Faults>,
    /// None once it has ended.
    open: Option<Arc<AtomicUsize>>,
}

impl FaultyUpload {
    pub(crate) fn new(
        inner: Box<dyn MultipartUpload>,
        path: &Path,
        faults: &Arc<Faults>,
        open: &Arc<AtomicUsize>,
    ) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self { inner, path: path.clone(), parts: 0, faults: faults.clone(), open: Some(open.clone()) }
    }

    fn ended(&mut self) {
        if let Some(open) = self.open.take() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts += 1;
        let fault = self.faults.draw(ON_WRITES, ("part", self.path.as_ref(), self.parts));
        let (faults, part) = (self.faults.clone(), self.inner.put_part(data));
        Box::pin(async move {
            faults.meet(fault).await?;
            part.await?;
            match fault {
                Some(Fault::AnswerLost) => Err(failed("no answer within the time limit")),
                _ => Ok(()),
            }
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.faults.draw(ON_WRITES, ("complete", self.path.as_ref()));
        self.faults.meet(fault).await?;
        let done = self.inner.complete().await?;
        self.ended();
        match fault {
            Some(Fault::AnswerLost) => Err(failed("no answer within the time limit")),
            _ => Ok(done),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.ended();
        self.inner.abort().await
    }
}
