//! Page tokens. None but the one that the server gave out opens anything, and a signed one with any position in it is
//! still no fault of the server's.
//!
//! An input of one line is a token. Of three lines the second says by how much the letters of a good token are turned, from
//! the front. Of two lines the second is the position in a token that is signed as the server signs.

use std::sync::OnceLock;

use axum::{body::Body, http::Request};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use sha2::Sha256;

use crate::world::{Answer, TOKEN_SECRET, world};

const ROWS: &str = "/v1/databases/default/tables/trips/rows?limit=3";
/// The letters of a token.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

pub(super) fn run(input: &[u8]) {
    let lines: Vec<&[u8]> = input.splitn(3, |byte| *byte == b'\n').collect();
    match lines.as_slice() {
        [_, position] => {
            let position = String::from_utf8_lossy(position);
            ask(with_position(&position).as_bytes()).check(false);
        }
        [_, turns, _] => refused_unless_good(&turned(turns)),
        _ => refused_unless_good(input),
    }
}

fn refused_unless_good(token: &[u8]) {
    let answer = ask(token);
    answer.check(false);
    let status = answer.status.as_u16();
    let expected = if token == good().as_bytes() { 200 } else { 400 };
    // An empty one is none.
    assert!(status == expected || token.is_empty(), "{status} for {}", String::from_utf8_lossy(token));
}

fn ask(token: &[u8]) -> Answer {
    get(&format!("{ROWS}&page_token={}", percent_encode(token, NON_ALPHANUMERIC)))
}

fn get(uri: &str) -> Answer {
    world().send(Request::get(uri).body(Body::empty()).expect("a request"))
}

/// The token that the server gives out for the second page.
fn good() -> &'static str {
    static GOOD: OnceLock<String> = OnceLock::new();
    GOOD.get_or_init(|| get(ROWS).json()["next_page_token"].as_str().expect("a second page").to_owned())
}

fn turned(turns: &[u8]) -> Vec<u8> {
    let mut token = good().as_bytes().to_vec();
    for (letter, turn) in token.iter_mut().zip(turns) {
        let place = LETTERS.iter().position(|known| known == letter).unwrap_or_default();
        *letter = LETTERS[(place + usize::from(*turn)) % LETTERS.len()];
    }
    token
}

fn with_position(position: &str) -> String {
    let (payload, _) = good().split_once('.').expect("payload and signature");
    let mut payload: Value = serde_json::from_slice(&BASE64.decode(payload).expect("base64")).expect("JSON");
    payload["position"] = position.into();
    let payload = payload.to_string();
    let mut signature = Hmac::<Sha256>::new_from_slice(&TOKEN_SECRET).expect("a key of any length");
    signature.update(payload.as_bytes());
    format!("{}.{}", BASE64.encode(&payload), BASE64.encode(signature.finalize().into_bytes()))
}
