//! `a || b`, which the engine plans as an operator, and functions that it plans without asking the registry.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{DataType, Field, Schema},
    },
    common::{DFSchema, Result, config::ConfigOptions, tree_node::Transformed},
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility, expr::ScalarFunction, expr_rewriter::FunctionRewrite,
    },
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr as PhysicalBinary, Column},
    },
};

/// The name of `||` between texts, as plans show it.
pub(super) const STRING_CONCAT: &str = "string_concat";

/// Puts bounded functions where the planner has put the engine's own.
#[derive(Debug)]
pub(super) struct BoundEverywhere {
    /// By name.
    pub(super) functions: HashMap<String, Arc<ScalarUDF>>,
}

impl FunctionRewrite for BoundEverywhere {
    fn name(&self) -> &str {
        "bound_everywhere"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(call) => Ok(self.rewrite_call(call)),
            Expr::BinaryExpr(operation) if operation.op == Operator::StringConcat => {
                self.rewrite_operator(operation, schema)
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

impl BoundEverywhere {
    fn rewrite_call(&self, call: ScalarFunction) -> Transformed<Expr> {
        match self.functions.get(call.func.name()) {
            Some(bounded) if *bounded != call.func => {
                Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(bounded), call.args)))
            }
            _ => Transformed::no(Expr::ScalarFunction(call)),
        }
    }

    fn rewrite_operator(&self, operation: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let types = [operation.left.get_type(schema), operation.right.get_type(schema)];
        let is_text = types.iter().flatten().any(DataType::is_string);
        match self.functions.get(STRING_CONCAT) {
            Some(function) if is_text => {
                let call = ScalarFunction::new_udf(Arc::clone(function), vec![*operation.left, *operation.right]);
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            _ => Ok(Transformed::no(Expr::BinaryExpr(operation))),
        }
    }
}

/// `||` between texts: NULL where either is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct StringConcat {
    signature: Signature,
}

impl StringConcat {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for StringConcat {
    fn name(&self) -> &str {
        STRING_CONCAT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Both sides become the wider kind of text.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let text = |wanted: DataType| arg_types.contains(&wanted).then_some(wanted);
        let common = text(DataType::Utf8View).or_else(|| text(DataType::LargeUtf8)).unwrap_or(DataType::Utf8);
        Ok(vec![common; arg_types.len()])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Utf8))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let fields: Vec<_> =
            columns.iter().map(|column| Field::new("text", column.data_type().clone(), true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let column = |at| Arc::new(Column::new("text", at)) as Arc<dyn PhysicalExpr>;
        let array = PhysicalBinary::new(column(0), Operator::StringConcat, column(1)).evaluate(&batch)?;
        match array.into_array(rows)? {
            array if is_constant => {
                datafusion::common::ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar)
            }
            array => Ok(ColumnarValue::Array(array)),
        }
    }
}
