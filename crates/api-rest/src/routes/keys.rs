//! `/v1/keys`: create, list, revoke. For administrators.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lakebed_access::{ApiKey, DEFAULT_WORKGROUP, Grants, NewKey, Role};
use lakebed_types::Result;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    RestState,
    error::ApiResult,
    extract::{Caller, Json, Path},
    routes::{json_answer, json_with_status},
};

pub(crate) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(list_keys, create_key)).routes(routes!(revoke_key))
}

/// A key without its secret.
#[derive(Serialize, ToSchema)]
struct KeyAnswer {
    /// The public half of the key's text.
    #[schema(example = "0f3b5c7d9e1a2b4c")]
    id: String,
    /// Whose key it is: the principal of its queries in the history.
    #[schema(example = "reports")]
    name: String,
    /// `read`, `write` or `admin`.
    #[schema(example = "read")]
    role: &'static str,
    /// Databases and tables that it may see; null for everything.
    #[schema(value_type = Option<Vec<String>>, example = json!(["sales", "hr.people"]))]
    grants: Grants,
    /// The workgroup whose limits hold for it.
    #[schema(example = "default")]
    workgroup: String,
    /// `valid`, `expired` or `revoked`.
    #[schema(example = "valid")]
    state: &'static str,
    created: DateTime<Utc>,
    /// When it ends by itself; null for never.
    expires: Option<DateTime<Utc>>,
    revoked: Option<DateTime<Utc>>,
    /// When it last let a request in.
    last_used: Option<DateTime<Utc>>,
}

impl KeyAnswer {
    fn of(key: ApiKey, now: DateTime<Utc>) -> Self {
        Self {
            role: key.role.name(),
            state: key.state(now),
            id: key.id,
            name: key.name,
            grants: key.grants,
            workgroup: key.workgroup,
            created: key.created,
            expires: key.expires,
            revoked: key.revoked,
            last_used: key.last_used,
        }
    }
}

/// All keys.
#[derive(Serialize, ToSchema)]
struct KeyList {
    keys: Vec<KeyAnswer>,
}

/// Lists the keys, the newest first, those that have ended too.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", operation_id = "list_keys",
    responses((status = 200, description = "The keys, without their secrets", body = KeyList))
)]
async fn list_keys(State(state): State<RestState>, Caller(who): Caller) -> ApiResult<Response> {
    who.require(Role::Admin, "list keys")?;
    let now = state.clock.now();
    let keys = state.query.access().keys().list();
    Ok(json_answer(&KeyList { keys: keys.into_iter().map(|key| KeyAnswer::of(key, now)).collect() }))
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "reports", "role": "read", "grants": ["sales", "hr.people"]}))]
struct CreateKey {
    /// 1 to 64 letters, digits and `-_.@`. No two keys share one.
    name: String,
    /// `read`, `write` or `admin`.
    #[schema(value_type = String, example = "read")]
    role: Role,
    /// Databases (`sales`) and tables (`hr.people`) that it may see; everything if missing.
    grants: Option<Vec<String>>,
    /// The workgroup whose limits hold for it; `default` if missing.
    workgroup: Option<String>,
    /// When it ends by itself; never if missing.
    expires: Option<DateTime<Utc>>,
}

impl CreateKey {
    fn into_new(self) -> Result<NewKey> {
        let grants = match self.grants {
            Some(names) => Grants::only(names.iter().map(|name| name.parse()).collect::<Result<_>>()?)?,
            None => Grants::everything(),
        };
        let workgroup = self.workgroup.unwrap_or_else(|| DEFAULT_WORKGROUP.to_owned());
        Ok(NewKey { name: self.name, role: self.role, grants, workgroup, expires: self.expires })
    }
}

/// A key and its text, which is told this once.
#[derive(Serialize, ToSchema)]
struct CreatedKey {
    /// What to send as `Authorization: Bearer KEY`, or as the password of Basic.
    #[schema(example = "lb_0f3b5c7d9e1a2b4c_…")]
    key: String,
    #[serde(flatten)]
    kept: KeyAnswer,
}

/// Creates a key. Its text is in this answer and nowhere else.
///
/// The first key is an administrator's; from then on every request needs a key.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", operation_id = "create_key",
    request_body = CreateKey,
    responses((status = 201, description = "Created", body = CreatedKey))
)]
async fn create_key(
    State(state): State<RestState>,
    Caller(who): Caller,
    Json(body): Json<CreateKey>,
) -> ApiResult<Response> {
    who.require(Role::Admin, "create keys")?;
    let (key, text) = state.query.access().keys().create(&who, body.into_new()?).await?;
    let created = CreatedKey { key: text.to_string(), kept: KeyAnswer::of(key, state.clock.now()) };
    let mut response = json_with_status(StatusCode::CREATED, &created);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Revokes a key. It lets nobody in from now on, and what runs on its behalf is cancelled.
///
/// A key that was revoked before stays as it is. 409 for the last administrator's.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "revoke_key",
    params(("id" = String, Path, description = "The key's id or name", example = "reports")),
    responses((status = 204, description = "Revoked"))
)]
async fn revoke_key(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    who.require(Role::Admin, "revoke keys")?;
    state.query.access().keys().revoke(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
