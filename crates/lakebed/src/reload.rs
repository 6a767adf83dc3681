//! Settings read again while the server runs: what can change does, and the rest is named.

use std::{path::Path, sync::Arc};

use lakebed_access::{Access, IssuerSettings, KeySource};
use lakebed_query::QueryService;
use lakebed_types::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    http::Tls,
    issuer_keys::IssuerKeys,
    logging::{self, Logging},
    settings::{
        DataSettings, LogSettings, OidcSettings, RowsLimits, ServerSettings, Sources, all_keys, catalog_settings,
        ingest_settings, limits, price, storage_settings,
    },
};

/// Settings that change without a restart, by their beginnings.
const LIVE: [&str; 6] =
    ["server.tls_cert", "server.tls_key", "server.tls_client_ca", "oidc.", "log.filter", "log.slow_query"];
/// And this one, which is no beginning.
const LIVE_PRICE: &str = "query.price_per_tib";

/// The parts of a running server that settings can change.
pub(crate) struct Live {
    pub(crate) sources: Sources,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) query: QueryService,
    pub(crate) logging: Logging,
}

/// What the settings ask for, read and checked, but not yet done.
struct Change {
    sources: Sources,
    tls: Option<crate::http::LoadedTls>,
    /// Some: another issuer, or none.
    issuer: Option<Option<OidcSettings>>,
    filter: tracing_subscriber::EnvFilter,
    slow_query: Option<std::time::Duration>,
    price_per_tib_usd: f64,
}

impl Live {
    /// Reads the settings again at every SIGHUP.
    pub(crate) async fn watch(mut self) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => return tracing::warn!(%error, "SIGHUP cannot be watched"),
        };
        while hangups.recv().await.is_some() {
            match self.read() {
                Ok(change) => self.apply(change),
                Err(error) => {
                    tracing::error!(?error, "the settings cannot be used; nothing was changed");
                }
            }
        }
    }

    fn read(&self) -> Result<Change> {
        let sources = self.sources.reload()?;
        let values = &sources.values;
        check_others(&sources)?;
        let server = ServerSettings::read(values)?;
        let tls = match (&self.tls, server.tls) {
            (Some(_), Some(settings)) => Some(Tls::load(settings)?),
            _ => None,
        };
        let (before, after) = (OidcSettings::read(&self.sources.values)?, OidcSettings::read(values)?);
        let log = LogSettings::read(values, false)?;
        Ok(Change {
            tls,
            issuer: (before != after).then_some(after),
            filter: logging::filter(&log)?,
            slow_query: log.slow_query,
            price_per_tib_usd: price(values)?,
            sources,
        })
    }

    fn apply(&mut self, change: Change) {
        if let Some(issuer) = change.issuer
            && let Err(error) = believe(self.query.access(), issuer.as_ref())
        {
            return tracing::error!(?error, "the settings cannot be used; nothing was changed");
        }
        if let (Some(tls), Some(loaded)) = (&self.tls, change.tls) {
            tls.replace(loaded);
        }
        self.query.set_slow_query(change.slow_query);
        self.query.set_price_per_tib(change.price_per_tib_usd);
        if let Err(error) = self.logging.set(change.filter) {
            tracing::error!(?error, "log.filter stays as it was");
        }
        self.tell(&change.sources);
        self.sources.values = change.sources.values;
    }

    /// One line for each setting that has changed. Not its value: it may be a secret.
    fn tell(&self, fresh: &Sources) {
        let mut changed = 0;
        for key in all_keys().filter(|key| self.sources.values.text(key.name) != fresh.values.text(key.name)) {
            changed += 1;
            match self.is_live(key.name, fresh) {
                true => tracing::info!(setting = key.name, "changed"),
                false => tracing::warn!(setting = key.name, "changed, and holds after a restart"),
            }
        }
        if self.sources.tables != fresh.tables {
            changed += 1;
            tracing::warn!(setting = "tables", "changed, and holds after a restart");
        }
        tracing::info!(changed, "the settings were read again");
    }

    fn is_live(&self, name: &str, fresh: &Sources) -> bool {
        // From plain HTTP to TLS and back is another server to its clients.
        let keeps_tls = self.tls.is_some() == fresh.values.text("server.tls_cert").is_some();
        let is_live = name == LIVE_PRICE || LIVE.iter().any(|live| name.starts_with(live));
        is_live && (keeps_tls || !name.starts_with("server.tls_"))
    }
}

/// What needs a restart must be right as well: the next one reads it.
fn check_others(sources: &Sources) -> Result<()> {
    DataSettings::read(&sources.values)?;
    storage_settings(sources)?;
    catalog_settings(&sources.values)?;
    limits(&sources.values)?;
    ingest_settings(&sources.values, Path::new(""))?;
    RowsLimits::read(&sources.values)?;
    Ok(())
}

/// Believes the tokens of this issuer from now on, and gets its keys in the background.
///
/// # Errors
/// `internal` if the client for its keys does not start.
pub(crate) fn believe(access: &Access, settings: Option<&OidcSettings>) -> Result<()> {
    let issuer: Option<(IssuerSettings, Arc<dyn KeySource>)> = match settings {
        Some(settings) => Some((settings.issuer.clone(), Arc::new(IssuerKeys::new(settings)?))),
        None => None,
    };
    access.set_issuer(issuer);
    let access = access.clone();
    tokio::spawn(async move {
        if let Err(error) = access.warm_issuer().await {
            tracing::warn!(?error, "tokens are refused until the issuer's keys can be fetched");
        }
    });
    Ok(())
}
