//! Sessions: options that a cookie carries from call to call.

use std::collections::HashMap;

use arrow_flight::{Action, FlightDescriptor};
use prost::Message;
use tonic::{Request, Status, metadata::MetadataMap};

use crate::server::{Server, fetch, reason, statement, with_header};

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(sfixed64, optional, tag = "3")]
    number: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Wrong {
    #[prost(int32, tag = "1")]
    value: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Errors {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, Wrong>,
}

struct Session<'a> {
    server: &'a Server,
    cookie: Option<String>,
}

impl Session<'_> {
    async fn act(&mut self, name: &str, body: Vec<u8>) -> Result<(MetadataMap, Vec<u8>), Status> {
        let answer = self.server.client().await.do_action(self.with_cookie(Action::new(name, body))).await?;
        let headers = answer.metadata().clone();
        if let Some(cookie) = headers.get("set-cookie") {
            self.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        let body = answer.into_inner().message().await?.unwrap().body;
        Ok((headers, body.to_vec()))
    }

    async fn set(&mut self, options: &[(&str, &str)]) -> HashMap<String, Wrong> {
        let value = |text: &str| Value { text: Some(text.to_owned()), number: None };
        let options = options.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
        let (_, body) = self.act("SetSessionOptions", Options { options }.encode_to_vec()).await.unwrap();
        Errors::decode(body.as_slice()).unwrap().errors
    }

    async fn get(&mut self) -> HashMap<String, Value> {
        let (_, body) = self.act("GetSessionOptions", Vec::new()).await.unwrap();
        Options::decode(body.as_slice()).unwrap().options
    }

    fn with_cookie<T>(&self, message: T) -> Request<T> {
        match &self.cookie {
            Some(cookie) => with_header(message, "cookie", &format!("other=1; {cookie}")),
            None => Request::new(message),
        }
    }

    async fn rows(&self, descriptor: FlightDescriptor) -> Result<usize, Status> {
        let mut client = self.server.client().await;
        let info = client.get_flight_info(self.with_cookie(descriptor)).await?.into_inner();
        Ok(fetch(&mut client, &info).await?.1.iter().map(|batch| batch.num_rows()).sum())
    }
}

#[tokio::test]
async fn a_database_is_chosen_for_a_session() {
    let server = Server::start().await;
    server.rows("CREATE DATABASE other").await;
    server.rows("CREATE TABLE other.only AS SELECT 1 AS one").await;
    let mut session = Session { server: &server, cookie: None };
    assert_eq!(session.get().await["schema"].text.as_deref(), Some("default"));
    assert!(session.cookie.is_none(), "asking begins no session");
    assert!(session.set(&[("catalog", "lakebed"), ("schema", "Other"), ("compression", "zstd")]).await.is_empty());
    let options = session.get().await;
    let text = |name: &str| options[name].text.clone().unwrap_or_default();
    assert_eq!(
        (text("catalog"), text("schema"), text("compression")),
        ("lakebed".into(), "other".into(), "zstd".into())
    );
    assert_eq!(session.rows(statement("SELECT * FROM only")).await.unwrap(), 1);
    let stranger = Session { server: &server, cookie: None };
    assert_eq!(reason(&stranger.rows(statement("SELECT * FROM only")).await.unwrap_err()), "table_not_found");
}

#[tokio::test]
async fn wrong_options_are_told_apart_and_change_nothing() {
    let server = Server::start().await;
    let mut session = Session { server: &server, cookie: None };
    let wrong =
        session.set(&[("catalog", "nowhere"), ("schema", "nowhere"), ("timeout-ms", "soon"), ("color", "red")]).await;
    let codes: HashMap<&str, i32> = wrong.iter().map(|(name, wrong)| (name.as_str(), wrong.value)).collect();
    assert_eq!(codes, HashMap::from([("catalog", 2), ("schema", 2), ("timeout-ms", 2), ("color", 1)]));
    assert_eq!(session.get().await["schema"].text.as_deref(), Some("default"));
    let status = session.act("SetSessionOptions", vec![0xff, 0xff]).await.unwrap_err();
    assert_eq!(reason(&status), "invalid_request");
}

#[tokio::test]
async fn a_closed_session_is_not_forgotten_in_silence() {
    let server = Server::start().await;
    let mut session = Session { server: &server, cookie: None };
    session.set(&[("schema", "default")]).await;
    let kept = session.cookie.clone();
    let (headers, _) = session.act("CloseSession", Vec::new()).await.unwrap();
    assert!(headers.get("set-cookie").unwrap().to_str().unwrap().contains("Max-Age=0"));
    session.cookie = kept;
    assert_eq!(reason(&session.rows(statement("SELECT 1")).await.unwrap_err()), "expired");
    session.cookie = Some("lakebed_session=nonsense".into());
    assert_eq!(reason(&session.rows(statement("SELECT 1")).await.unwrap_err()), "invalid_request");
}
