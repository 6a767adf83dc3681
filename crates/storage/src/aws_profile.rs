//! Reads the text of `~/.aws/credentials` and `~/.aws/config`.

/// The options of a profile for [`crate::StorageSettings::options`]: keys, session token, region, endpoint, and web
/// identity where the profile names a token file. What the credentials file says wins over the config file.
/// Single sign-on, credential processes and roles of other profiles are not followed.
///
/// Either text may be empty. Lines that make no sense are passed over, as the AWS tools do.
pub fn aws_profile_options(profile: &str, credentials_text: &str, config_text: &str) -> Vec<(String, String)> {
    let config_section = if profile == "default" { "default".to_owned() } else { format!("profile {profile}") };
    let config = section(config_text, &config_section);
    let credentials = section(credentials_text, profile);
    let services = find(&config, "services").map(|name| section(config_text, &format!("services {name}")));

    let mut options = Vec::new();
    for (key, name) in NAMES {
        let value = find(&credentials, key).or_else(|| find(&config, key));
        options.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
    }
    let s3_endpoint = services.as_ref().and_then(|entries| find(entries, "s3.endpoint_url"));
    if let Some(endpoint) = s3_endpoint.or_else(|| find(&config, "s3.endpoint_url")) {
        options.push(("aws_endpoint_url_s3".to_owned(), endpoint.to_owned()));
    }
    if find(&config, "s3.addressing_style") == Some("virtual") {
        options.push(("aws_virtual_hosted_style_request".to_owned(), "true".to_owned()));
    }
    options
}

/// Names in the files, and of the options that they become.
const NAMES: &[(&str, &str)] = &[
    ("aws_access_key_id", "aws_access_key_id"),
    ("aws_secret_access_key", "aws_secret_access_key"),
    ("aws_session_token", "aws_session_token"),
    ("region", "aws_region"),
    ("endpoint_url", "aws_endpoint_url"),
    ("web_identity_token_file", "aws_web_identity_token_file"),
    ("role_arn", "aws_role_arn"),
    ("role_session_name", "aws_role_session_name"),
];

type Entries = Vec<(String, String)>;

fn find<'a>(entries: &'a Entries, key: &str) -> Option<&'a str> {
    let found = entries.iter().rev().find(|(name, value)| name == key && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

/// The entries of a section. An entry without a value opens a block of indented entries, named `block.entry`.
fn section(text: &str, wanted: &str) -> Entries {
    let mut entries = Entries::new();
    let mut inside = false;
    let mut block = None;
    for line in text.lines() {
        let indented = line.starts_with([' ', '\t']);
        let line = without_comment(line).trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.split_whitespace().collect::<Vec<_>>().join(" ") == wanted;
            block = None;
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        match (&block, indented) {
            (Some(block), true) => entries.push((format!("{block}.{name}"), value)),
            _ => {
                block = value.is_empty().then(|| name.clone());
                entries.push((name, value));
            }
        }
    }
    entries
}

/// Whole-line comments begin with `#` or `;`; later in a line only after a space, since secrets may hold both.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let end = [" #", " ;"].iter().filter_map(|mark| line.find(mark)).min();
    end.map_or(line, |end| &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=abc/def+g#h=
[ work ]
AWS_ACCESS_KEY_ID = AKIAWORK   # of the office
aws_secret_access_key = s3cret
aws_session_token = token==
; the end
";
    const CONFIG: &str = "
[default]
region = eu-central-1
[profile work]
region = us-west-2
services = local
s3 =
    addressing_style = virtual
    max_concurrent_requests = 20
output = json
[profile pod]
role_arn = arn:aws:iam::1:role/x
web_identity_token_file = /var/run/token
[services local]
s3 =
  endpoint_url = http://127.0.0.1:9000
dynamodb =
  endpoint_url = http://127.0.0.1:8000
";

    fn options(profile: &str) -> Vec<String> {
        let options = aws_profile_options(profile, CREDENTIALS, CONFIG);
        options.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn the_default_profile_joins_both_files() {
        let expected =
            ["aws_access_key_id: AKIADEFAULT", "aws_secret_access_key: abc/def+g#h=", "aws_region: eu-central-1"];
        assert_eq!(options("default"), expected);
    }

    #[test]
    fn a_named_profile_with_token_service_and_addressing() {
        let expected = [
            "aws_access_key_id: AKIAWORK",
            "aws_secret_access_key: s3cret",
            "aws_session_token: token==",
            "aws_region: us-west-2",
            "aws_endpoint_url_s3: http://127.0.0.1:9000",
            "aws_virtual_hosted_style_request: true",
        ];
        assert_eq!(options("work"), expected);
    }

    #[test]
    fn web_identity_and_unknown_profiles() {
        let expected = ["aws_web_identity_token_file: /var/run/token", "aws_role_arn: arn:aws:iam::1:role/x"];
        assert_eq!(options("pod"), expected);
        assert!(options("nobody").is_empty());
        assert!(aws_profile_options("default", "", "").is_empty());
    }
}
