//! `[client]`: how this command line asks other servers.

use super::Key;

pub(super) const KEYS: &[Key] = &[Key {
    name: "client.key",
    default: "",
    about: "Key that commands with `--url` send; what `--key` says otherwise.",
}];
