//! `/v1/workgroups`: limits, and what was used of them. Changes are for administrators; everyone sees their own.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, NaiveDate, Utc};
use lakebed_access::{GroupLimits, Principal, Role, Workgroup};
use lakebed_types::{Error, ErrorKind};
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
    OpenApiRouter::new().routes(routes!(list_workgroups)).routes(routes!(get_workgroup, put_workgroup, drop_workgroup))
}

/// Limits. In a workgroup null follows the workgroup `default`; among those that hold null is no limit.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"run_time_ms": 10000, "concurrent_queries": 2, "scan_bytes_per_day": 107374182400_u64}))]
struct WorkgroupLimits {
    /// Queries that run at once.
    #[schema(minimum = 1)]
    concurrent_queries: Option<u64>,
    /// Queries that wait for their turn.
    queue_length: Option<u64>,
    /// Milliseconds that one waits at most.
    queue_wait_ms: Option<u64>,
    /// Requests in a second.
    #[schema(minimum = 1)]
    requests_per_second: Option<u64>,
    /// Milliseconds that a query runs at most which someone waits for.
    #[schema(minimum = 1)]
    run_time_ms: Option<u64>,
    /// Milliseconds that a query runs at most in the background.
    #[schema(minimum = 1)]
    run_time_background_ms: Option<u64>,
    /// Rows of one result.
    result_rows: Option<u64>,
    /// Bytes of one result in memory, before it is encoded.
    #[schema(minimum = 1)]
    result_bytes: Option<u64>,
    /// Bytes that one query scans.
    scan_bytes: Option<u64>,
    /// Bytes that all scan from midnight to midnight in UTC.
    scan_bytes_per_day: Option<u64>,
    /// Bytes that all scan in a calendar month in UTC.
    scan_bytes_per_month: Option<u64>,
    /// Bytes of memory that one query reserves.
    #[schema(minimum = 1)]
    memory_bytes: Option<u64>,
    /// Bytes that one query has in spill files at once.
    spill_bytes: Option<u64>,
    /// Whether rows may be sent to a table that is not there yet and is made of them.
    create_tables: Option<bool>,
}

impl From<GroupLimits> for WorkgroupLimits {
    fn from(limits: GroupLimits) -> Self {
        Self {
            concurrent_queries: limits.concurrent_queries,
            queue_length: limits.queue_length,
            queue_wait_ms: limits.queue_wait_ms,
            requests_per_second: limits.requests_per_second,
            run_time_ms: limits.run_time_ms,
            run_time_background_ms: limits.run_time_background_ms,
            result_rows: limits.result_rows,
            result_bytes: limits.result_bytes,
            scan_bytes: limits.scan_bytes,
            scan_bytes_per_day: limits.scan_bytes_per_day,
            scan_bytes_per_month: limits.scan_bytes_per_month,
            memory_bytes: limits.memory_bytes,
            spill_bytes: limits.spill_bytes,
            create_tables: limits.create_tables,
        }
    }
}

impl From<WorkgroupLimits> for GroupLimits {
    fn from(limits: WorkgroupLimits) -> Self {
        Self {
            concurrent_queries: limits.concurrent_queries,
            queue_length: limits.queue_length,
            queue_wait_ms: limits.queue_wait_ms,
            requests_per_second: limits.requests_per_second,
            run_time_ms: limits.run_time_ms,
            run_time_background_ms: limits.run_time_background_ms,
            result_rows: limits.result_rows,
            result_bytes: limits.result_bytes,
            scan_bytes: limits.scan_bytes,
            scan_bytes_per_day: limits.scan_bytes_per_day,
            scan_bytes_per_month: limits.scan_bytes_per_month,
            memory_bytes: limits.memory_bytes,
            spill_bytes: limits.spill_bytes,
            create_tables: limits.create_tables,
        }
    }
}

/// What a workgroup uses.
#[derive(Serialize, ToSchema)]
struct WorkgroupUsage {
    /// The day, in UTC.
    #[schema(value_type = String, format = "date")]
    day: NaiveDate,
    /// Bytes scanned on that day.
    day_scanned_bytes: u64,
    /// Bytes scanned in that day's month.
    month_scanned_bytes: u64,
    running_queries: u64,
    queued_queries: u64,
}

/// A workgroup.
#[derive(Serialize, ToSchema)]
struct WorkgroupAnswer {
    #[schema(example = "reports")]
    name: String,
    /// What it sets.
    limits: WorkgroupLimits,
    /// What holds.
    effective: WorkgroupLimits,
    usage: WorkgroupUsage,
    /// Null for `default`, whose limits stand in the settings file.
    created: Option<DateTime<Utc>>,
    changed: Option<DateTime<Utc>>,
}

impl WorkgroupAnswer {
    fn of(state: &RestState, group: Workgroup) -> Self {
        let access = state.query.access();
        let limits = access.workgroups().limits(&group.name);
        let usage = access.workgroups().usage(&group.name);
        let (running, queued) = access.counts(&group.name);
        let memory = access.memory().limit_of_query(limits.memory_bytes) as u64;
        let effective = GroupLimits { memory_bytes: Some(memory), ..GroupLimits::shown(&limits) };
        let times = (group.name != lakebed_access::DEFAULT_WORKGROUP).then_some((group.created, group.changed));
        Self {
            name: group.name,
            limits: group.limits.into(),
            effective: effective.into(),
            usage: WorkgroupUsage {
                day: usage.day,
                day_scanned_bytes: usage.day_bytes,
                month_scanned_bytes: usage.month_bytes,
                running_queries: running as u64,
                queued_queries: queued as u64,
            },
            created: times.map(|(created, _)| created),
            changed: times.map(|(_, changed)| changed),
        }
    }
}

/// Workgroups.
#[derive(Serialize, ToSchema)]
struct WorkgroupList {
    workgroups: Vec<WorkgroupAnswer>,
}

/// One's own, and for an administrator all.
fn may_see(who: &Principal, name: &str) -> bool {
    who.role() == Role::Admin || who.workgroup() == name
}

/// Lists the workgroups that this caller may see: its own, and for an administrator all.
#[utoipa::path(
    get, path = "/v1/workgroups", tag = "workgroups", operation_id = "list_workgroups",
    responses((status = 200, description = "The workgroups, with what they use", body = WorkgroupList))
)]
async fn list_workgroups(State(state): State<RestState>, Caller(who): Caller) -> ApiResult<Response> {
    let groups = state.query.access().workgroups().list().into_iter().filter(|group| may_see(&who, &group.name));
    let workgroups = groups.map(|group| WorkgroupAnswer::of(&state, group)).collect();
    Ok(json_answer(&WorkgroupList { workgroups }))
}

/// Tells the limits of a workgroup and what it uses.
#[utoipa::path(
    get, path = "/v1/workgroups/{name}", tag = "workgroups", operation_id = "get_workgroup",
    params(("name" = String, Path, description = "The workgroup's name", example = "default")),
    responses((status = 200, description = "The workgroup", body = WorkgroupAnswer))
)]
async fn get_workgroup(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    if !may_see(&who, &name) {
        let message = format!("there is no workgroup `{}`", name.escape_debug());
        return Err(Error::new(ErrorKind::NotFound, message).with_hint("`GET /v1/workgroups` lists them.").into());
    }
    Ok(json_answer(&WorkgroupAnswer::of(&state, state.query.access().workgroups().get(&name)?)))
}

/// Creates a workgroup, or replaces the limits of one that is there.
///
/// They hold at once for queries that begin, those that wait already included. What is missing follows `default`.
#[utoipa::path(
    put, path = "/v1/workgroups/{name}", tag = "workgroups", operation_id = "put_workgroup",
    params(("name" = String, Path, description = "1 to 64 letters, digits and `-_.`", example = "reports")),
    request_body = WorkgroupLimits,
    responses(
        (status = 200, description = "Replaced", body = WorkgroupAnswer),
        (status = 201, description = "Created", body = WorkgroupAnswer),
    )
)]
async fn put_workgroup(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Json(limits): Json<WorkgroupLimits>,
) -> ApiResult<Response> {
    who.require(Role::Admin, "change workgroups")?;
    let workgroups = state.query.access().workgroups();
    let status = if workgroups.put(&who, &name, limits.into()).await? { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_with_status(status, &WorkgroupAnswer::of(&state, workgroups.get(&name)?)))
}

/// Drops a workgroup, and forgets what it has used. 409 while a valid key names it.
#[utoipa::path(
    delete, path = "/v1/workgroups/{name}", tag = "workgroups", operation_id = "drop_workgroup",
    params(("name" = String, Path, description = "The workgroup's name", example = "reports")),
    responses((status = 204, description = "Dropped"))
)]
async fn drop_workgroup(
    State(state): State<RestState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    who.require(Role::Admin, "drop workgroups")?;
    state.query.access().keys().drop_workgroup(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
