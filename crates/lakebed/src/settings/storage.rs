//! `[storage]`: credentials, endpoints and waits of object stores.
//!
//! Credentials come from the usual places: the AWS, Google and Azure variables, AWS profiles, and the names that older
//! services of this kind use (`S3_ENDPOINT_URL`, `S3_KEY`, `S3_SECRET`).

use std::{collections::BTreeMap, path::PathBuf};

use lakebed_storage::{StorageSettings, aws_profile_options};
use lakebed_types::Result;

use super::{Key, Sources, query::available_memory_bytes, values::Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "storage.connect_timeout", default: "3s", about: "Time to connect to an object store." },
    Key { name: "storage.request_timeout", default: "30s", about: "Time for one request, its body included." },
    Key { name: "storage.retries", default: "3", about: "Retries of one request." },
    Key { name: "storage.retry_budget", default: "20s", about: "Time for one request with all its retries." },
    Key { name: "storage.connections", default: "128", about: "Idle connections kept per store." },
    Key {
        name: "storage.cache",
        default: "",
        about: "Memory for blocks of remote files; `0` keeps none (default: 10 % of the machine's or the container's).",
    },
];

/// Share of the machine's memory for blocks of remote files.
const CACHE_SHARE: f64 = 0.1;

/// Variables and the option that each sets; the first one that is there wins.
const S3_VARIABLES: &[(&str, &[&str])] = &[
    ("aws_access_key_id", &["AWS_ACCESS_KEY_ID", "S3_KEY"]),
    ("aws_secret_access_key", &["AWS_SECRET_ACCESS_KEY", "S3_SECRET"]),
    ("aws_session_token", &["AWS_SESSION_TOKEN"]),
    ("aws_region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("aws_endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"]),
    ("aws_web_identity_token_file", &["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    ("aws_role_arn", &["AWS_ROLE_ARN"]),
    ("aws_role_session_name", &["AWS_ROLE_SESSION_NAME"]),
    ("aws_container_credentials_relative_uri", &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]),
    ("aws_container_credentials_full_uri", &["AWS_CONTAINER_CREDENTIALS_FULL_URI"]),
    ("aws_container_authorization_token_file", &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]),
    ("aws_skip_signature", &["AWS_SKIP_SIGNATURE"]),
    ("aws_virtual_hosted_style_request", &["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"]),
];

/// Reads the section and the credentials.
pub(crate) fn storage_settings(sources: &Sources) -> Result<StorageSettings> {
    let values = &sources.values;
    Ok(StorageSettings {
        options: options(&sources.environment),
        connect_timeout: values.duration("storage.connect_timeout")?,
        request_timeout: values.duration("storage.request_timeout")?,
        retry_limit: values.parse("storage.retries", "a number")?,
        retry_budget: values.duration("storage.retry_budget")?,
        max_connections: values.parse("storage.connections", "a number")?,
        cache_bytes: cache_bytes(values)?,
        io_runtime: None,
    })
}

fn cache_bytes(values: &Values) -> Result<u64> {
    match values.text("storage.cache") {
        Some(_) => values.bytes("storage.cache"),
        None => Ok((available_memory_bytes() as f64 * CACHE_SHARE) as u64),
    }
}

fn options(environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let get = |name: &str| environment.get(name).filter(|text| !text.is_empty()).cloned();
    let mut options = profile_options(environment);
    for (option, variables) in S3_VARIABLES {
        if let Some(text) = variables.iter().find_map(|name| get(name)) {
            options.retain(|(name, _)| name != option);
            options.push(((*option).to_owned(), text));
        }
    }
    let plain_http = options.iter().any(|(name, text)| name == "aws_endpoint" && text.starts_with("http://"));
    if plain_http {
        options.push(("aws_allow_http".to_owned(), "true".to_owned()));
    }
    let other_clouds = environment.iter().filter(|(name, _)| name.starts_with("GOOGLE_") || name.starts_with("AZURE_"));
    options.extend(other_clouds.map(|(name, text)| (name.to_lowercase(), text.clone())));
    options
}

/// The profile's keys and region, where no key is given by a variable.
fn profile_options(environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    if environment.contains_key("AWS_ACCESS_KEY_ID") || environment.contains_key("S3_KEY") {
        return Vec::new();
    }
    let profile = environment.get("AWS_PROFILE").map_or("default", String::as_str);
    let file = |variable: &str, name: &str| {
        let path = environment
            .get(variable)
            .map(PathBuf::from)
            .or_else(|| environment.get("HOME").map(|home| PathBuf::from(home).join(".aws").join(name)));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = file("AWS_CONFIG_FILE", "config");
    aws_profile_options(profile, &credentials, &config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let environment = variables.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        options(&environment).into_iter().collect()
    }

    #[test]
    fn the_more_specific_variable_wins() {
        let options = options_of(&[
            ("AWS_ENDPOINT_URL", "http://a:1"),
            ("AWS_ENDPOINT_URL_S3", "http://b:2"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("S3_KEY", "old"),
        ]);
        assert_eq!(options["aws_endpoint"], "http://b:2");
        assert_eq!(options["aws_access_key_id"], "key");
        assert_eq!(options["aws_allow_http"], "true");
    }

    #[test]
    fn the_older_names_work() {
        let options = options_of(&[("S3_ENDPOINT_URL", "https://s3"), ("S3_KEY", "k"), ("S3_SECRET", "s")]);
        assert_eq!(options["aws_secret_access_key"], "s");
        assert!(!options.contains_key("aws_allow_http"));
    }
}
