//! What the server is and can do, by the numbers of the protocol.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::sql::{
    CommandGetSqlInfo, SqlInfo as I, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert as C, SqlTransactionIsolationLevel,
    SupportedSqlGrammar,
    metadata::{SqlInfoData, SqlInfoDataBuilder},
};
use lakebed_types::Result;

use super::{batch, failed};

/// The version of the columnar format and of what it is written with.
const ARROW_VERSION: &str = "59.3.2";
/// Bytes of a name, and of a statement; results have so many columns at most.
const NAME_BYTES: i64 = 255;
const STATEMENT_BYTES: i64 = 256 << 10;
const COLUMNS: i64 = 2_000;
/// No limit, or none that is known.
const NO_LIMIT: i64 = 0;

const KEYWORDS: &[&str] = &[
    "DESCRIBE",
    "EXCEPT",
    "EXCLUDE",
    "EXPLAIN",
    "EXTERNAL",
    "ILIKE",
    "INTERSECT",
    "LATERAL",
    "LIMIT",
    "LOCATION",
    "OFFSET",
    "PARTITIONED",
    "PIVOT",
    "QUALIFY",
    "REPLACE",
    "SHOW",
    "STORED",
    "TABLESAMPLE",
    "UNNEST",
    "UNPIVOT",
];
const NUMERIC: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "cbrt", "ceil", "cos", "cot", "degrees", "exp", "floor", "ln", "log",
    "log10", "log2", "nanvl", "pi", "power", "radians", "random", "round", "signum", "sin", "sqrt", "tan", "trunc",
];
const STRING: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "char_length",
    "chr",
    "concat",
    "concat_ws",
    "ends_with",
    "initcap",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "overlay",
    "position",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "to_hex",
    "translate",
    "trim",
    "upper",
];
const SYSTEM: &[&str] = &["arrow_typeof", "coalesce", "nullif", "nvl", "uuid", "version"];
const DATETIME: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_part",
    "date_trunc",
    "extract",
    "from_unixtime",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_timestamp",
    "to_unixtime",
];

/// The schema of the answer.
pub(super) fn schema() -> SchemaRef {
    Arc::new(SqlInfoDataBuilder::schema().clone())
}

/// The facts that were asked for; all of them where none were.
pub(super) fn answer(all: &SqlInfoData, command: &CommandGetSqlInfo, schema: SchemaRef) -> Result<RecordBatch> {
    let found = all.record_batch(command.info.iter().copied()).map_err(|error| failed(&error))?;
    batch(schema, found.columns().to_vec())
}

/// All facts.
///
/// # Errors
/// `internal`.
pub(crate) fn all(version: &str) -> Result<SqlInfoData> {
    let mut facts = SqlInfoDataBuilder::new();
    server(&mut facts, version);
    names(&mut facts);
    functions(&mut facts);
    grammar(&mut facts);
    limits(&mut facts);
    transactions(&mut facts);
    results(&mut facts);
    facts.build().map_err(|error| failed(&error))
}

fn server(facts: &mut SqlInfoDataBuilder, version: &str) {
    facts.append(I::FlightSqlServerName, "Lakebed");
    facts.append(I::FlightSqlServerVersion, version);
    facts.append(I::FlightSqlServerArrowVersion, ARROW_VERSION);
    facts.append(I::FlightSqlServerReadOnly, false);
    facts.append(I::FlightSqlServerSql, true);
    facts.append(I::FlightSqlServerSubstrait, false);
    facts.append(I::FlightSqlServerSubstraitMinVersion, "");
    facts.append(I::FlightSqlServerSubstraitMaxVersion, "");
    facts.append(I::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    facts.append(I::FlightSqlServerCancel, true);
    facts.append(I::FlightSqlServerBulkIngestion, true);
    facts.append(I::FlightSqlServerIngestTransactionsSupported, false);
    facts.append(I::FlightSqlServerStatementTimeout, 0_i32);
    facts.append(I::FlightSqlServerTransactionTimeout, 0_i32);
}

fn names(facts: &mut SqlInfoDataBuilder) {
    facts.append(I::SqlDdlCatalog, false);
    facts.append(I::SqlDdlSchema, true);
    facts.append(I::SqlDdlTable, true);
    let insensitive = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i64;
    facts.append(I::SqlIdentifierCase, insensitive);
    facts.append(I::SqlIdentifierQuoteChar, "\"");
    facts.append(I::SqlQuotedIdentifierCase, insensitive);
    facts.append(I::SqlAllTablesAreSelectable, true);
    facts.append(I::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedAtEnd as i64);
    facts.append(I::SqlSearchStringEscape, "\\");
    facts.append(I::SqlExtraNameCharacters, "");
    facts.append(I::SqlSchemaTerm, "database");
    facts.append(I::SqlProcedureTerm, "procedure");
    facts.append(I::SqlCatalogTerm, "catalog");
    facts.append(I::SqlCatalogAtStart, true);
    // In none of the three places, of which there are none.
    facts.append(I::SqlSchemasSupportedActions, 0_i32);
    facts.append(I::SqlCatalogsSupportedActions, 0_i32);
}

fn functions(facts: &mut SqlInfoDataBuilder) {
    facts.append(I::SqlKeywords, KEYWORDS);
    facts.append(I::SqlNumericFunctions, NUMERIC);
    facts.append(I::SqlStringFunctions, STRING);
    facts.append(I::SqlSystemFunctions, SYSTEM);
    facts.append(I::SqlDatetimeFunctions, DATETIME);
    facts.append(I::SqlSupportsConvert, conversions());
}

/// From numbers and text to numbers and text, and between text and times.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    let numbers = [
        C::SqlConvertTinyint,
        C::SqlConvertSmallint,
        C::SqlConvertInteger,
        C::SqlConvertBigint,
        C::SqlConvertReal,
        C::SqlConvertFloat,
        C::SqlConvertDecimal,
        C::SqlConvertNumeric,
        C::SqlConvertBit,
    ];
    let times = [C::SqlConvertDate, C::SqlConvertTime, C::SqlConvertTimestamp];
    let texts = [C::SqlConvertChar, C::SqlConvertVarchar, C::SqlConvertLongvarchar];
    let to = |targets: &[&[C]]| targets.concat().into_iter().map(|target| target as i32).collect::<Vec<_>>();
    let mut all = BTreeMap::new();
    numbers.iter().for_each(|from| drop(all.insert(*from as i32, to(&[&numbers, &texts]))));
    times.iter().for_each(|from| drop(all.insert(*from as i32, to(&[&times, &texts]))));
    texts.iter().for_each(|from| drop(all.insert(*from as i32, to(&[&numbers, &times, &texts]))));
    all
}

fn grammar(facts: &mut SqlInfoDataBuilder) {
    facts.append(I::SqlSupportsColumnAliasing, true);
    facts.append(I::SqlNullPlusNullIsNull, true);
    facts.append(I::SqlSupportsTableCorrelationNames, true);
    facts.append(I::SqlSupportsDifferentTableCorrelationNames, false);
    facts.append(I::SqlSupportsExpressionsInOrderBy, true);
    facts.append(I::SqlSupportsOrderByUnrelated, true);
    let group_by =
        [SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32];
    facts.append(I::SqlSupportedGroupBy, mask(&group_by));
    facts.append(I::SqlSupportsLikeEscapeClause, true);
    facts.append(I::SqlSupportsNonNullableColumns, false);
    let grammar = [SupportedSqlGrammar::SqlMinimumGrammar as i32, SupportedSqlGrammar::SqlCoreGrammar as i32];
    facts.append(I::SqlSupportedGrammar, mask(&grammar));
    // The entry level.
    facts.append(I::SqlAnsi92SupportedLevel, 1_i32);
    facts.append(I::SqlSupportsIntegrityEnhancementFacility, false);
    facts.append(I::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    facts.append(I::SqlSupportedPositionedCommands, 0_i32);
    facts.append(I::SqlSelectForUpdateSupported, false);
    facts.append(I::SqlStoredProceduresSupported, false);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
    ];
    facts.append(I::SqlSupportedSubqueries, mask(&subqueries));
    facts.append(I::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    facts.append(I::SqlSupportedUnions, mask(&unions));
    facts.append(I::SqlNamedParametersSupported, true);
}

fn limits(facts: &mut SqlInfoDataBuilder) {
    for (limit, value) in [
        (I::SqlMaxBinaryLiteralLength, STATEMENT_BYTES),
        (I::SqlMaxCharLiteralLength, STATEMENT_BYTES),
        (I::SqlMaxColumnNameLength, NO_LIMIT),
        (I::SqlMaxColumnsInGroupBy, NO_LIMIT),
        (I::SqlMaxColumnsInIndex, NO_LIMIT),
        (I::SqlMaxColumnsInOrderBy, NO_LIMIT),
        (I::SqlMaxColumnsInSelect, COLUMNS),
        (I::SqlMaxColumnsInTable, NO_LIMIT),
        (I::SqlMaxConnections, NO_LIMIT),
        (I::SqlMaxCursorNameLength, NO_LIMIT),
        (I::SqlMaxIndexLength, NO_LIMIT),
        (I::SqlDbSchemaNameLength, NAME_BYTES),
        (I::SqlMaxProcedureNameLength, NO_LIMIT),
        (I::SqlMaxCatalogNameLength, NAME_BYTES),
        (I::SqlMaxRowSize, NO_LIMIT),
        (I::SqlMaxStatementLength, STATEMENT_BYTES),
        (I::SqlMaxStatements, NO_LIMIT),
        (I::SqlMaxTableNameLength, NAME_BYTES),
        (I::SqlMaxTablesInSelect, NO_LIMIT),
        (I::SqlMaxUsernameLength, NO_LIMIT),
    ] {
        facts.append(limit, value);
    }
    facts.append(I::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(facts: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    facts.append(I::SqlDefaultTransactionIsolation, i64::from(none));
    facts.append(I::SqlTransactionsSupported, false);
    facts.append(I::SqlSupportedTransactionsIsolationLevels, mask(&[none]));
    facts.append(I::SqlDataDefinitionCausesTransactionCommit, false);
    facts.append(I::SqlDataDefinitionsInTransactionsIgnored, false);
    facts.append(I::SqlSavepointsSupported, false);
}

fn results(facts: &mut SqlInfoDataBuilder) {
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    facts.append(I::SqlSupportedResultSetTypes, mask(&[forward]));
    let reading = mask(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    facts.append(I::SqlSupportedConcurrenciesForResultSetUnspecified, 0_i32);
    facts.append(I::SqlSupportedConcurrenciesForResultSetForwardOnly, reading);
    facts.append(I::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0_i32);
    facts.append(I::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0_i32);
    facts.append(I::SqlBatchUpdatesSupported, true);
    facts.append(I::SqlLocatorsUpdateCopy, false);
    facts.append(I::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

fn mask(bits: &[i32]) -> i32 {
    bits.iter().fold(0, |mask, bit| mask | 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_protocol_has_an_answer() {
        let all = all("1.2.3").unwrap();
        let wanted: Vec<u32> = (0..=11).chain(100..=101).chain(500..=576).collect();
        let command = CommandGetSqlInfo { info: Vec::new() };
        assert_eq!(answer(&all, &command, schema()).unwrap().num_rows(), wanted.len());
        for number in wanted {
            let command = CommandGetSqlInfo { info: vec![number] };
            assert_eq!(answer(&all, &command, schema()).unwrap().num_rows(), 1, "{number}");
        }
    }
}
