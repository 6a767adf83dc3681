//! Where settings come from: the environment, `.env`, `lakebed.toml`. Flags are put on top by each command.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lakebed_types::{Error, ErrorKind, Result};

use super::{Values, all_keys};

/// The settings and the environment that they were read from (for the AWS variables).
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) values: Values,
    /// `.env` below, real variables above.
    pub(crate) environment: BTreeMap<String, String>,
    /// `NAME = "LOCATION"` of the file's `[tables]`.
    pub(crate) tables: Vec<(String, String)>,
    /// `--config`.
    config: Option<PathBuf>,
    /// Settings of the command line: name, text, flag.
    flags: Vec<(String, String, String)>,
}

impl Sources {
    /// Puts a flag's setting on top of the other sources.
    pub(crate) fn set_flag(&mut self, name: &str, text: impl Into<String>, flag: &str) -> Result<()> {
        let text = text.into();
        self.values.set(name, text.clone(), flag)?;
        self.flags.push((name.to_owned(), text, flag.to_owned()));
        Ok(())
    }

    /// The same sources, read again: what has changed in the files since the start is in the result.
    pub(crate) fn reload(&self) -> Result<Self> {
        let mut fresh = load(self.config.as_deref())?;
        for (name, text, flag) in &self.flags {
            fresh.set_flag(name, text.clone(), flag)?;
        }
        Ok(fresh)
    }
}

/// Reads `lakebed.toml` (`config`, else the one in the working directory if it is there), `.env` and the environment.
///
/// # Errors
/// `invalid_request` for an unknown key or a file that does not parse; `not_found` for a missing `--config` file.
pub(crate) fn load(config: Option<&Path>) -> Result<Sources> {
    let mut sources = Sources {
        values: Values::default(),
        environment: environment()?,
        tables: Vec::new(),
        config: config.map(Path::to_owned),
        flags: Vec::new(),
    };
    let default_file = Path::new("lakebed.toml");
    match config {
        Some(file) => read_file(file, &mut sources)?,
        None if default_file.exists() => read_file(default_file, &mut sources)?,
        None => {}
    }
    read_variables(&mut sources)?;
    Ok(sources)
}

fn read_variables(sources: &mut Sources) -> Result<()> {
    let known: BTreeMap<String, &str> = all_keys().map(|key| (key.variable(), key.name)).collect();
    let ours: Vec<(String, String)> = sources
        .environment
        .iter()
        .filter(|(name, _)| name.starts_with("LAKEBED_") && !name.starts_with("LAKEBED_TEST_"))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    for (variable, text) in ours {
        match known.get(&variable) {
            Some(name) => sources.values.set(name, text, &variable)?,
            None => {
                let dotted = variable["LAKEBED_".len()..].to_lowercase().replacen('_', ".", 1);
                return sources.values.set(&dotted, text, &variable);
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    match dotenvy::dotenv_iter() {
        Ok(entries) => {
            for entry in entries {
                let (name, text) = entry.map_err(|error| {
                    Error::invalid_request(".env does not parse").with_hint(error.to_string()).with_source(error)
                })?;
                environment.insert(name, text);
            }
        }
        Err(error) if error.not_found() => {}
        Err(error) => return Err(Error::invalid_request(".env cannot be read").with_source(error)),
    }
    environment.extend(std::env::vars());
    Ok(environment)
}

fn read_file(file: &Path, sources: &mut Sources) -> Result<()> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(ErrorKind::NotFound, format!("settings file {shown} cannot be read: {error}")).with_source(error)
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::invalid_request(format!("settings file {shown} does not parse: {}", error.message())).with_source(error)
    })?;
    for (section, entries) in table {
        let toml::Value::Table(entries) = entries else {
            return Err(Error::invalid_request(format!("`{section}` in {shown} stands outside a section"))
                .with_hint("Settings stand in sections, such as [server]."));
        };
        for (name, value) in entries {
            let text = scalar(&value).ok_or_else(|| {
                Error::invalid_request(format!(
                    "`{section}.{name}` in {shown} is not a string, number, flag or list of strings"
                ))
            })?;
            match section.as_str() {
                "tables" => sources.tables.push((name, text)),
                _ => sources.values.set(&format!("{section}.{name}"), text, &shown)?,
            }
        }
    }
    Ok(())
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        _ => None,
    }
}
