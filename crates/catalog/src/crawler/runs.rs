//! Crawlers and the record of their runs.

use lakebed_types::{Error, ErrorKind, Result};

use crate::{Catalog, CrawlReport, Crawler, failure::crawler_not_found, store::runs};

impl Catalog {
    /// Keeps a location to crawl under a name.
    ///
    /// # Errors
    /// `already_exists`; `database_not_found`; `invalid_request` for an empty name.
    pub async fn create_crawler(&self, crawler: &Crawler) -> Result<()> {
        if crawler.name.trim().is_empty() || crawler.name.len() > 255 {
            return Err(Error::invalid_request("a crawler needs a name of 1 to 255 bytes"));
        }
        self.database(&crawler.database).await?;
        let mut write = self.inner.store.write().await?;
        let created = runs::insert_crawler(write.connection(), crawler).await?;
        write.commit().await?;
        match created {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::AlreadyExists, format!("crawler `{}` exists already", crawler.name))
                .with_hint("Choose another name, or drop the crawler first.")),
        }
    }

    /// All crawlers, by name. A crawl under a new name adds one.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn crawlers(&self) -> Result<Vec<Crawler>> {
        runs::crawlers(&mut *self.inner.store.read().await?).await
    }

    /// One crawler.
    ///
    /// # Errors
    /// `not_found`, with the nearest name as hint.
    pub async fn crawler(&self, name: &str) -> Result<Crawler> {
        let all = self.crawlers().await?;
        let known: Vec<String> = all.iter().map(|crawler| crawler.name.clone()).collect();
        all.into_iter().find(|crawler| crawler.name == name).ok_or_else(|| crawler_not_found(name, &known))
    }

    /// Forgets a crawler and its runs. Its tables stay.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn drop_crawler(&self, name: &str) -> Result<()> {
        self.crawler(name).await?;
        let mut write = self.inner.store.write().await?;
        runs::delete_crawler(write.connection(), name).await?;
        write.commit().await
    }

    /// The last runs of a crawler, newest first, without entries; None = of all crawlers. The last 100 runs of each
    /// crawler are kept.
    ///
    /// # Errors
    /// Those of the catalog file.
    pub async fn runs(&self, crawler: Option<&str>, limit: usize) -> Result<Vec<CrawlReport>> {
        runs::list(&mut *self.inner.store.read().await?, crawler, limit).await
    }

    /// One run with its entries.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn run(&self, id: &str) -> Result<CrawlReport> {
        let run = runs::get(&mut *self.inner.store.read().await?, id).await?;
        run.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run `{}` does not exist", id.escape_debug())))
    }
}
