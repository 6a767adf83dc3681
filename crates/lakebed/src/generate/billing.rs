//! `billing`: a cost-and-usage report of 93 columns, as AWS names them in Parquet.

use std::{borrow::Cow, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use lakebed_types::Result;

use super::{
    billing_line::{Charge, Line, line},
    draw::{Draw, record_batch, round},
};

type Text = Option<Cow<'static, str>>;

/// What a column makes of a line.
enum Column {
    Text(fn(&Line) -> Text),
    Number(fn(&Line) -> Option<f64>),
    /// Microseconds since 1970-01-01.
    Time(fn(&Line) -> Option<i64>),
}
use Column::{Number, Text as Words, Time};

const HOUR: i64 = 3_600_000_000;
const PAYER: &str = "100000000000";

fn some(text: &'static str) -> Text {
    Some(text.into())
}

fn when(condition: bool, text: &'static str) -> Text {
    condition.then_some(text.into())
}

fn of(text: String) -> Text {
    Some(text.into())
}

/// A fact of an instance.
fn instance(line: &Line, fact: fn(&super::billing_line::Instance) -> &'static str) -> Text {
    line.instance.as_ref().map(|instance| fact(instance).into())
}

fn is_reserved(line: &Line) -> bool {
    line.charge == Charge::Reserved
}

fn is_planned(line: &Line) -> bool {
    line.charge == Charge::SavingsPlan
}

fn is_transfer(line: &Line) -> bool {
    line.product.code == "AWSDataTransfer"
}

fn is_product(line: &Line, code: &str) -> bool {
    line.product.code == code
}

/// An ISO 8601 instant of whole seconds.
fn iso(microseconds: i64) -> String {
    let instant = chrono::DateTime::from_timestamp_micros(microseconds).unwrap_or_default();
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A number that belongs to a price: FNV-1a over what the price depends on.
fn price_number(line: &Line) -> u64 {
    let parts = [line.product.usage, line.region.0, line.instance.map_or("", |instance| instance.0)];
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    parts.iter().flat_map(|part| part.bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
}

fn sku(line: &Line) -> String {
    format!("{:016X}", price_number(line))
}

fn schema_of(columns: &[(&'static str, Column)]) -> SchemaRef {
    let field = |(name, column): &(&'static str, Column)| {
        let data_type = match column {
            Words(_) => DataType::Utf8,
            Number(_) => DataType::Float64,
            Time(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

pub(super) fn schema() -> SchemaRef {
    schema_of(COLUMNS)
}

/// The rows of this range, of `total` in all.
pub(super) fn batch(rows: Range<u64>, total: u64, draw: &mut Draw) -> Result<RecordBatch> {
    let lines: Vec<Line> = rows.map(|row| line(row, total, draw)).collect();
    let column = |(_, column): &(&'static str, Column)| -> ArrayRef {
        match column {
            Words(value) => Arc::new(lines.iter().map(value).collect::<StringArray>()),
            Number(value) => Arc::new(lines.iter().map(value).collect::<Float64Array>()),
            Time(value) => Arc::new(lines.iter().map(value).collect::<TimestampMicrosecondArray>()),
        }
    };
    record_batch(schema(), COLUMNS.iter().map(column).collect())
}

#[rustfmt::skip] // One column, one line: it is a table.
const COLUMNS: &[(&str, Column)] = &[
    ("identity_line_item_id", Words(|l| of(format!("{:016x}{:016x}", l.id, l.id.rotate_left(17))))),
    ("identity_time_interval", Words(|l| of(format!("{}/{}", iso(l.hour), iso(l.hour + HOUR))))),
    ("bill_invoice_id", Words(|l| of(format!("{}", 1_000_000_000 + l.month.0 / HOUR)))),
    ("bill_invoicing_entity", Words(|_| some("Amazon Web Services, Inc."))),
    ("bill_billing_entity", Words(|_| some("AWS"))),
    ("bill_bill_type", Words(|_| some("Anniversary"))),
    ("bill_payer_account_id", Words(|_| some(PAYER))),
    ("bill_billing_period_start_date", Time(|l| Some(l.month.0))),
    ("bill_billing_period_end_date", Time(|l| Some(l.month.1))),
    ("line_item_usage_account_id", Words(|l| of(l.account.to_string()))),
    ("line_item_line_item_type", Words(|l| some(match l.charge {
        Charge::OnDemand => "Usage",
        Charge::Reserved => "DiscountedUsage",
        Charge::SavingsPlan => "SavingsPlanCoveredUsage",
        Charge::Tax => "Tax",
        Charge::Credit => "Credit",
    }))),
    ("line_item_usage_start_date", Time(|l| Some(l.hour))),
    ("line_item_usage_end_date", Time(|l| Some(l.hour + HOUR))),
    ("line_item_product_code", Words(|l| some(l.product.code))),
    ("line_item_usage_type", Words(|l| of(l.usage_type()))),
    ("line_item_operation", Words(|l| some(l.product.operation))),
    ("line_item_availability_zone", Words(|l| l.zone.map(|zone| format!("{}{zone}", l.region.0).into()))),
    ("line_item_resource_id", Words(|l| l.resource_id().map(Cow::Owned))),
    ("line_item_usage_amount", Number(|l| Some(if l.is_usage() { l.usage } else { 0.0 }))),
    ("line_item_normalization_factor", Number(Line::normalization)),
    ("line_item_normalized_usage_amount", Number(|l| l.normalization().map(|factor| factor * l.usage))),
    ("line_item_currency_code", Words(|_| some("USD"))),
    ("line_item_unblended_rate", Words(|l| l.is_usage().then(|| format!("{:.10}", l.rate).into()))),
    ("line_item_unblended_cost", Number(|l| Some(l.unblended_cost()))),
    ("line_item_blended_rate", Words(|l| l.is_usage().then(|| format!("{:.10}", l.rate * 0.9).into()))),
    ("line_item_blended_cost", Number(|l| Some(round(l.unblended_cost() * 0.9)))),
    ("line_item_line_item_description", Words(|l| of(match l.charge {
        Charge::Tax => "Tax for product code, VAT".to_owned(),
        Charge::Credit => "Promotional credit, \"welcome\"".to_owned(),
        _ => format!("${} per {} of {} in {}", l.rate, l.product.unit, l.product.operation, l.region.2),
    }))),
    ("line_item_tax_type", Words(|l| when(l.charge == Charge::Tax, "VAT"))),
    ("line_item_legal_entity", Words(|_| some("Amazon Web Services, Inc."))),
    ("product_product_name", Words(|l| some(l.product.name))),
    ("product_product_family", Words(|l| some(l.product.family))),
    ("product_servicecode", Words(|l| some(l.product.code))),
    ("product_servicename", Words(|l| some(l.product.name))),
    ("product_region", Words(|l| some(l.region.0))),
    ("product_region_code", Words(|l| some(l.region.0))),
    ("product_location", Words(|l| some(l.region.2))),
    ("product_location_type", Words(|_| some("AWS Region"))),
    ("product_from_location", Words(|l| when(is_transfer(l), l.region.2))),
    ("product_to_location", Words(|l| when(is_transfer(l), "External"))),
    ("product_transfer_type", Words(|l| when(is_transfer(l), "AWS Outbound"))),
    ("product_instance_type", Words(|l| instance(l, |i| i.0))),
    ("product_instance_type_family", Words(|l| instance(l, |i| i.0.split('.').next().unwrap_or(i.0)))),
    ("product_instance_family", Words(|l| instance(l, |i| i.1))),
    ("product_vcpu", Words(|l| instance(l, |i| i.2))),
    ("product_memory", Words(|l| instance(l, |i| i.3))),
    ("product_storage", Words(|l| when(l.instance.is_some(), "EBS only"))),
    ("product_physical_processor", Words(|l| when(l.instance.is_some(), "Intel Xeon Platinum 8175"))),
    ("product_processor_architecture", Words(|l| when(l.instance.is_some(), "64-bit"))),
    ("product_network_performance", Words(|l| when(l.instance.is_some(), "Up to 10 Gigabit"))),
    ("product_operating_system", Words(|l| when(l.product.usage == "BoxUsage", "Linux"))),
    ("product_license_model", Words(|l| when(l.instance.is_some(), "No License required"))),
    ("product_tenancy", Words(|l| when(l.product.usage == "BoxUsage", "Shared"))),
    ("product_volume_type", Words(|l| when(l.product.unit == "GB-Mo", if is_product(l, "AmazonS3") { "Standard" } else { "General Purpose" }))),
    ("product_volume_api_name", Words(|l| when(l.product.usage.starts_with("EBS:"), "gp3"))),
    ("product_storage_class", Words(|l| when(is_product(l, "AmazonS3"), "General Purpose"))),
    ("product_database_engine", Words(|l| when(is_product(l, "AmazonRDS"), "PostgreSQL"))),
    ("product_group", Words(|l| when(l.product.family == "API Request", "S3-API-Tier2"))),
    ("product_usagetype", Words(|l| of(l.usage_type()))),
    ("product_operation", Words(|l| some(l.product.operation))),
    ("product_sku", Words(|l| of(sku(l)))),
    ("pricing_term", Words(|l| when(l.is_usage(), if is_reserved(l) { "Reserved" } else { "OnDemand" }))),
    ("pricing_unit", Words(|l| when(l.is_usage(), l.product.unit))),
    ("pricing_currency", Words(|l| when(l.is_usage(), "USD"))),
    ("pricing_rate_code", Words(|l| l.is_usage().then(|| format!("{}.JRTCKXETXF.6YS6EN2CT7", sku(l)).into()))),
    ("pricing_rate_id", Words(|l| l.is_usage().then(|| (price_number(l) % 10_000_000_000).to_string().into()))),
    ("pricing_public_on_demand_rate", Words(|l| l.is_usage().then(|| format!("{:.10}", l.rate).into()))),
    ("pricing_public_on_demand_cost", Number(|l| l.is_usage().then(|| l.on_demand_cost()))),
    ("pricing_lease_contract_length", Words(|l| when(is_reserved(l), "1yr"))),
    ("pricing_purchase_option", Words(|l| when(is_reserved(l), if l.contract % 2 == 0 { "No Upfront" } else { "All Upfront" }))),
    ("pricing_offering_class", Words(|l| when(is_reserved(l), "standard"))),
    ("reservation_reservation_a_r_n", Words(|l| is_reserved(l).then(|| format!("arn:aws:ec2:{}:{PAYER}:reserved-instances/{:08x}", l.region.0, l.contract).into()))),
    ("reservation_effective_cost", Number(|l| is_reserved(l).then(|| l.discounted_cost()))),
    ("reservation_amortized_upfront_fee_for_billing_period", Number(|l| is_reserved(l).then(|| if l.contract % 2 == 0 { 0.0 } else { l.discounted_cost() }))),
    ("reservation_recurring_fee_for_usage", Number(|l| is_reserved(l).then(|| if l.contract % 2 == 0 { l.discounted_cost() } else { 0.0 }))),
    ("reservation_unused_quantity", Number(|l| is_reserved(l).then_some(0.0))),
    ("reservation_unused_recurring_fee", Number(|l| is_reserved(l).then_some(0.0))),
    ("reservation_start_time", Words(|l| is_reserved(l).then(|| iso(l.month.0 - (1 + l.contract as i64) * 24 * HOUR).into()))),
    ("reservation_end_time", Words(|l| is_reserved(l).then(|| iso(l.month.0 + (364 - l.contract as i64) * 24 * HOUR).into()))),
    ("reservation_number_of_reservations", Words(|l| is_reserved(l).then(|| (l.contract % 8 + 1).to_string().into()))),
    ("savings_plan_savings_plan_a_r_n", Words(|l| is_planned(l).then(|| format!("arn:aws:savingsplans::{PAYER}:savingsplan/{:08x}", l.contract).into()))),
    ("savings_plan_savings_plan_rate", Number(|l| is_planned(l).then(|| round(l.rate * 0.64)))),
    ("savings_plan_savings_plan_effective_cost", Number(|l| is_planned(l).then(|| l.discounted_cost()))),
    ("savings_plan_total_commitment_to_date", Number(|l| is_planned(l).then(|| (l.hour - l.month.0) as f64 / HOUR as f64 * 10.0))),
    ("savings_plan_used_commitment", Number(|l| is_planned(l).then(|| round((l.hour - l.month.0) as f64 / HOUR as f64 * 9.25)))),
    ("savings_plan_offering_type", Words(|l| when(is_planned(l), "ComputeSavingsPlans"))),
    ("savings_plan_payment_option", Words(|l| when(is_planned(l), "No Upfront"))),
    ("savings_plan_region", Words(|l| when(is_planned(l), l.region.0))),
    ("resource_tags_user_name", Words(|l| l.resource.map(|number| format!("{}-{}", l.product.family.split(' ').next().unwrap_or_default().to_lowercase(), number % 400).into()))),
    ("resource_tags_user_environment", Words(|l| l.environment.map(Cow::Borrowed))),
    ("resource_tags_user_team", Words(|l| l.team.map(Cow::Borrowed))),
    ("resource_tags_user_project", Words(|l| l.project.map(Cow::Borrowed))),
    ("resource_tags_user_cost_center", Words(|l| l.team.map(|team| format!("CC-{}", 1000 + team.len() * 37).into()))),
    ("resource_tags_aws_created_by", Words(|l| l.resource.filter(|number| number % 3 == 0).map(|number| format!("IAMUser:AIDA{number:016}:deployer").into()))),
];
