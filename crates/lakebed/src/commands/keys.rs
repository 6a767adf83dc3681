//! `lakebed keys`: who may ask a server, here in its data folder or there over HTTP.

use std::io::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use comfy_table::{Table, presets};
use lakebed_access::{ApiKey, DEFAULT_WORKGROUP, Grants, Keys, NewKey, Principal, Role};
use lakebed_types::{Clock, Error, Result, SystemClock};
use serde_json::{Value, json};

use crate::{
    assembly,
    remote::HttpApi,
    settings::{ClientSettings, Sources, parse_duration},
};

/// Creates, lists and revokes the keys of a server
#[derive(Debug, Args)]
#[command(after_help = "The first key must be an administrator's; from then on every request needs a key.

Examples:
  lakebed keys create root --role admin
  lakebed keys create reports --grant sales --grant hr.people --expires 90d
  lakebed keys list --url http://127.0.0.1:8000 --key lb_...
  lakebed keys revoke reports")]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    action: Action,
    /// Folder of the catalog, while no server has it open [default: lakebed-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Ask this server instead, such as http://127.0.0.1:8000
    #[arg(long, global = true, conflicts_with = "data_dir")]
    url: Option<String>,
    /// An administrator's key for that server; better in LAKEBED_CLIENT_KEY
    #[arg(long, global = true, requires = "url")]
    key: Option<String>,
    /// PEM file of the authorities of that server's certificate [default: the system's]
    #[arg(long, global = true, requires = "url", value_name = "FILE")]
    ca_cert: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a key and prints it; it is shown this once
    Create(CreateArgs),
    /// Lists the keys, those that have ended too
    List,
    /// Ends a key at once
    Revoke {
        /// Its id or name
        #[arg(value_name = "KEY")]
        which: String,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Whose key it is, as the history will name them
    name: String,
    /// What it may do
    #[arg(long, default_value = "read", value_parser = PossibleValuesParser::new(["read", "write", "admin"]))]
    role: String,
    /// A database or table that it may see, such as sales or hr.people (repeatable) [default: everything]
    #[arg(long = "grant", value_name = "NAME")]
    grants: Vec<String>,
    /// The workgroup whose limits hold for it
    #[arg(long, default_value = DEFAULT_WORKGROUP, value_name = "NAME")]
    workgroup: String,
    /// When it ends by itself: in a time such as 90d, or at one such as 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

pub(super) async fn run(args: KeysArgs, mut sources: Sources) -> Result<()> {
    let data_dir = args.data_dir.clone();
    super::set_flags(
        &mut sources,
        &[
            ("--data-dir", "data.dir", data_dir),
            ("--key", "client.key", args.key.clone()),
            ("--ca-cert", "client.ca_cert", args.ca_cert.clone()),
        ],
    )?;
    match &args.url {
        Some(url) => there(&HttpApi::new(url, &ClientSettings::read(&sources.values))?, args.action).await,
        None => here(&assembly::open_keys(&sources).await?, args.action).await,
    }
}

async fn here(keys: &Keys, action: Action) -> Result<()> {
    let (who, now) = (Principal::local(), SystemClock.now());
    match action {
        Action::Create(args) => {
            let (key, text) = keys.create(&who, args.into_new(now)?).await?;
            print_created(&text.to_string(), &key.name, &key.id)
        }
        Action::List => print_list(keys.list().iter().map(|key| line(key, now))),
        Action::Revoke { which } => {
            let key = keys.revoke(&who, &which).await?;
            eprintln!("revoked key {} ({})", key.name, key.id);
            Ok(())
        }
    }
}

async fn there(server: &HttpApi, action: Action) -> Result<()> {
    match action {
        Action::Create(args) => {
            let NewKey { name, role, grants, workgroup, expires } = args.into_new(SystemClock.now())?;
            let body =
                json!({ "name": name, "role": role, "grants": grants, "workgroup": workgroup, "expires": expires });
            let created = server.create_key(&body).await?;
            let text = |name: &str| created[name].as_str().unwrap_or_default();
            print_created(text("key"), text("name"), text("id"))
        }
        Action::List => {
            let answer = server.list_keys().await?;
            print_list(answer["keys"].as_array().into_iter().flatten().cloned())
        }
        Action::Revoke { which } => {
            server.revoke_key(&which).await?;
            eprintln!("revoked key {which}");
            Ok(())
        }
    }
}

impl CreateArgs {
    fn into_new(self, now: DateTime<Utc>) -> Result<NewKey> {
        let role = Role::from_name(&self.role).ok_or_else(|| Error::internal("a role has no name"))?;
        let grants = match self.grants.is_empty() {
            true => Grants::everything(),
            false => Grants::only(self.grants.iter().map(|name| name.parse()).collect::<Result<_>>()?)?,
        };
        let expires = self.expires.as_deref().map(|text| end(text, now)).transpose()?;
        Ok(NewKey { name: self.name, role, grants, workgroup: self.workgroup, expires })
    }
}

/// `90d` from now, or a time.
fn end(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let wrong = || {
        Error::invalid_request(format!("`{}` is no time and no duration", text.escape_debug()))
            .with_hint("Write 12h, 90d or 2027-01-31T00:00:00Z.")
    };
    match parse_duration(text) {
        Some(duration) => {
            let duration = TimeDelta::from_std(duration).map_err(|_| wrong())?;
            now.checked_add_signed(duration).ok_or_else(wrong)
        }
        None => DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| wrong()),
    }
}

/// The key alone on stdout, so that it can be put where it belongs without being looked at.
fn print_created(text: &str, name: &str, id: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").map_err(stdout_failed)?;
    eprintln!("created key {name} ({id}); it is shown only now");
    Ok(())
}

/// The members of a key as the HTTP API has them.
fn line(key: &ApiKey, now: DateTime<Utc>) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "grants": key.grants,
        "workgroup": key.workgroup,
        "state": key.state(now),
        "created": key.created,
        "expires": key.expires,
        "last_used": key.last_used,
    })
}

fn print_list(keys: impl Iterator<Item = Value>) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(["id", "name", "role", "state", "sees", "workgroup", "created", "expires", "last used"]);
    for key in keys {
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let time = |name: &str, none: &str| {
            let time = key[name].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            time.map_or_else(|| none.to_owned(), |time| time.to_utc().format("%Y-%m-%d %H:%M").to_string())
        };
        let grants: Option<Vec<&str>> =
            key["grants"].as_array().map(|all| all.iter().flat_map(Value::as_str).collect());
        table.add_row([
            text("id"),
            text("name"),
            text("role"),
            text("state"),
            grants.map_or_else(|| "everything".to_owned(), |grants| grants.join(", ")),
            text("workgroup"),
            time("created", ""),
            time("expires", "never"),
            time("last_used", "never"),
        ]);
    }
    writeln!(std::io::stdout(), "{table}").map_err(stdout_failed)
}

fn stdout_failed(error: std::io::Error) -> Error {
    Error::internal("stdout cannot be written").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_after_a_time_or_at_one() {
        let now = DateTime::parse_from_rfc3339("2026-12-01T12:00:00Z").unwrap().to_utc();
        assert_eq!(end("90d", now).unwrap(), now + TimeDelta::days(90));
        assert_eq!(end("2027-01-31T02:00:00+02:00", now).unwrap().to_rfc3339(), "2027-01-31T00:00:00+00:00");
        for bad in ["", "soon", "90", "2027-01-31", "99999999999999d"] {
            assert!(end(bad, now).is_err(), "{bad}");
        }
    }
}
