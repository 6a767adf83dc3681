//! Bytes on their way into one object.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayloadMut, Result, path::Path};
use parquet::{arrow::async_writer::AsyncFileWriter, errors::ParquetError};
use tokio::{runtime::Handle, task::JoinSet};

/// Bytes of a part; what is smaller is written by one request.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts that are on their way at once.
const PARALLEL_PARTS: usize = 8;

/// Bytes on their way into one object, which is there once [`Upload::finish`] has succeeded. One that is dropped before
/// gives up what it has begun: parts of an upload that never ends are seen by nobody and paid for.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    part_bytes: usize,
    buffer: PutPayloadMut,
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    upload: Box<dyn MultipartUpload>,
    under_way: JoinSet<Result<()>>,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { store, path, part_bytes: PART_BYTES, buffer: PutPayloadMut::new(), parts: None }
    }

    /// Takes more bytes, and waits where too many are on their way.
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.part_bytes - self.buffer.content_length();
            self.buffer.push(bytes.split_to(space.min(bytes.len())));
            if self.buffer.content_length() >= self.part_bytes {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Makes the object. To be called once.
    pub(super) async fn finish(&mut self) -> Result<()> {
        if self.parts.is_none() {
            let all = std::mem::take(&mut self.buffer).freeze();
            return self.store.put(&self.path, all).await.map(drop);
        }
        if self.buffer.content_length() > 0 {
            self.send_part().await?;
        }
        if let Some(parts) = &mut self.parts {
            parts.wait(0).await?;
            parts.upload.complete().await?;
        }
        self.parts = None;
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let upload = self.store.put_multipart(&self.path).await?;
                self.parts.insert(Parts { upload, under_way: JoinSet::new() })
            }
        };
        parts.wait(PARALLEL_PARTS - 1).await?;
        let part = std::mem::take(&mut self.buffer).freeze();
        parts.under_way.spawn(parts.upload.put_part(part));
        Ok(())
    }
}

impl Parts {
    /// Waits until at most so many are under way.
    async fn wait(&mut self, most: usize) -> Result<()> {
        while self.under_way.len() > most
            && let Some(done) = self.under_way.join_next().await
        {
            done??;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut parts), Ok(runtime)) = (self.parts.take(), Handle::try_current()) else { return };
        let path = self.path.clone();
        runtime.spawn(async move {
            parts.under_way.shutdown().await;
            // Where the last answer was lost the object may be there; then there is nothing to give up.
            if let Err(error) = parts.upload.abort().await {
                tracing::debug!(%path, ?error, "an upload was not given up; the store's own rules end it");
            }
        });
    }
}

impl AsyncFileWriter for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, std::result::Result<(), ParquetError>> {
        Box::pin(async move { Upload::write(self, bytes).await.map_err(external) })
    }

    fn complete(&mut self) -> BoxFuture<'_, std::result::Result<(), ParquetError>> {
        Box::pin(async move { self.finish().await.map_err(external) })
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lakebed_testkit::FaultyStore;

    use super::*;

    fn upload(store: &Arc<FaultyStore>, part_bytes: usize) -> Upload {
        let mut upload = Upload::new(Arc::clone(store) as Arc<dyn ObjectStore>, Path::from("t/x"));
        upload.part_bytes = part_bytes;
        upload
    }

    /// What an upload gave up in the background.
    async fn none_is_open(store: &FaultyStore) {
        for _ in 0..400 {
            if store.open_uploads() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("an upload was left open");
    }

    #[tokio::test]
    async fn objects_of_every_size_are_whole() {
        let store = Arc::new(FaultyStore::new(1));
        for size in [0, 1, 99, 100, 101, 250, 300, 1234] {
            let bytes: Bytes = (0..size).map(|byte| byte as u8).collect();
            let mut upload = upload(&store, 100);
            for chunk in bytes.chunks(70) {
                upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            upload.finish().await.unwrap();
            drop(upload);
            let found = store.get(&Path::from("t/x")).await.unwrap().bytes().await.unwrap();
            assert_eq!(found, bytes, "{size} bytes");
        }
        none_is_open(&store).await;
    }

    #[tokio::test]
    async fn whatever_goes_wrong_no_upload_is_left_open() {
        let (mut done, mut failed) = (0, 0);
        for seed in 0..60 {
            let store = Arc::new(FaultyStore::new(seed));
            store.set_faults(120);
            let mut upload = upload(&store, 100);
            let whole = async {
                for _ in 0..7 {
                    upload.write(Bytes::from(vec![7; 90])).await?;
                }
                upload.finish().await
            };
            match whole.await {
                Ok(()) => done += 1,
                Err(_) => failed += 1,
            }
            drop(upload);
            store.set_faults(0);
            none_is_open(&store).await;
        }
        assert!(done > 5 && failed > 5, "{done} done, {failed} failed");
    }

    #[tokio::test]
    async fn one_that_is_dropped_half_way_is_given_up() {
        let store = Arc::new(FaultyStore::new(1));
        let mut upload = upload(&store, 100);
        upload.write(Bytes::from(vec![7; 350])).await.unwrap();
        assert_eq!(store.open_uploads(), 1);
        drop(upload);
        none_is_open(&store).await;
        assert!(store.names().await.is_empty());
    }
}
