//! Spans of text → Arrow arrays. A value that does not fit its column's type is an error, never a NULL.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BooleanBuilder, GenericStringBuilder, ListArray, NullArray, OffsetSizeTrait, PrimitiveBuilder,
        StringArray, StringViewBuilder, StructArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::{CastOptions, cast_with_options},
    datatypes::{
        ArrowPrimitiveType, ArrowTimestampType, DataType, Date32Type, FieldRef, Fields, Float64Type, Int64Type,
        TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
};

use super::{
    csv, json,
    span::{Form, Malformed, Span},
    values::{self, Moment},
};

/// How the quoted and escaped texts of a chunk are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Language {
    Csv(csv::Dialect),
    Json,
}

/// Why a column cannot be built. `row` counts from 0 in the chunk.
#[derive(Debug)]
pub(super) enum Misfit {
    /// A value that is none of the column's type.
    Value { row: usize, text: String },
    /// A nested value that is no proper JSON.
    Malformed { row: usize, malformed: Malformed },
    /// The column's type cannot be read from text.
    Unsupported,
}

/// One column of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<'a> {
    /// The chunk.
    pub data: &'a str,
    pub language: Language,
    /// Texts that mean NULL in this column of this file, beside the empty one.
    pub null_texts: &'a [String],
}

impl<'a> Column<'a> {
    /// The array of these values, one per row.
    pub fn build(&self, spans: &[Span], data_type: &DataType) -> Result<ArrayRef, Misfit> {
        Ok(match data_type {
            DataType::Utf8 => self.strings::<i32>(spans)?,
            DataType::LargeUtf8 => self.strings::<i64>(spans)?,
            DataType::Utf8View => self.string_views(spans)?,
            DataType::Int64 => self.primitives::<Int64Type>(spans, data_type, values::integral)?,
            DataType::Float64 => self.primitives::<Float64Type>(spans, data_type, values::float)?,
            DataType::Date32 => self.primitives::<Date32Type>(spans, data_type, values::date)?,
            DataType::Timestamp(unit, _) => self.timestamps(spans, data_type, *unit)?,
            DataType::Boolean => self.booleans(spans)?,
            DataType::Null => self.nulls(spans)?,
            DataType::Struct(fields) => self.structs(spans, fields)?,
            DataType::List(element) => self.lists(spans, element)?,
            other => self.cast(spans, other)?,
        })
    }

    /// The text that a span stands for; `None` is NULL. Objects and arrays are their JSON text.
    fn text(&self, row: usize, span: Span) -> Result<Option<Cow<'a, str>>, Misfit> {
        let raw = &self.data[span.range()];
        Ok(match (span.form, self.language) {
            (Form::Missing, _) => None,
            (Form::Plain | Form::Quoted, Language::Csv(_)) if raw.is_empty() => None,
            (Form::Escaped, Language::Csv(dialect)) => Some(csv::unescape(&dialect, raw)),
            (Form::Escaped, Language::Json) => {
                let malformed = Malformed("has a string with an escape that JSON does not know");
                Some(json::unescape(raw).ok_or(Misfit::Malformed { row, malformed })?)
            }
            _ => Some(Cow::Borrowed(raw)),
        })
    }

    fn is_null_text(&self, text: &str) -> bool {
        self.null_texts.iter().any(|null| null == text)
    }

    fn each_string(&self, spans: &[Span], mut each: impl FnMut(Option<&str>)) -> Result<(), Misfit> {
        for (row, span) in spans.iter().enumerate() {
            let text = self.text(row, *span)?;
            each(text.as_deref().filter(|text| self.null_texts.is_empty() || !self.is_null_text(text)));
        }
        Ok(())
    }

    fn strings<O: OffsetSizeTrait>(&self, spans: &[Span]) -> Result<ArrayRef, Misfit> {
        let bytes = spans.iter().map(|span| span.length as usize).sum();
        let mut builder = GenericStringBuilder::<O>::with_capacity(spans.len(), bytes);
        self.each_string(spans, |text| builder.append_option(text))?;
        Ok(Arc::new(builder.finish()))
    }

    fn string_views(&self, spans: &[Span]) -> Result<ArrayRef, Misfit> {
        let mut builder = StringViewBuilder::with_capacity(spans.len());
        self.each_string(spans, |text| builder.append_option(text))?;
        Ok(Arc::new(builder.finish()))
    }

    /// The value of one scalar, NULL for the empty text, for white space and for the file's NULL texts.
    fn scalar<T>(&self, row: usize, span: Span, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Misfit> {
        let Some(text) = self.text(row, span)? else { return Ok(None) };
        if matches!(span.form, Form::Object | Form::Array) {
            return Err(Misfit::Value { row, text: text.into_owned() });
        }
        if let Some(value) = parse(text.as_bytes()) {
            return Ok(Some(value));
        }
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() || self.is_null_text(trimmed) {
            return Ok(None);
        }
        match parse(trimmed.as_bytes()) {
            Some(value) => Ok(Some(value)),
            None => Err(Misfit::Value { row, text: text.into_owned() }),
        }
    }

    fn primitives<T: ArrowPrimitiveType>(
        &self,
        spans: &[Span],
        data_type: &DataType,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> Result<ArrayRef, Misfit> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(spans.len()).with_data_type(data_type.clone());
        for (row, span) in spans.iter().enumerate() {
            builder.append_option(self.scalar(row, *span, &parse)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn booleans(&self, spans: &[Span]) -> Result<ArrayRef, Misfit> {
        let mut builder = BooleanBuilder::with_capacity(spans.len());
        for (row, span) in spans.iter().enumerate() {
            builder.append_option(self.scalar(row, *span, values::boolean)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn timestamps(&self, spans: &[Span], data_type: &DataType, unit: TimeUnit) -> Result<ArrayRef, Misfit> {
        match unit {
            TimeUnit::Second => self.moments::<TimestampSecondType>(spans, data_type, 1),
            TimeUnit::Millisecond => self.moments::<TimestampMillisecondType>(spans, data_type, 1_000),
            TimeUnit::Microsecond => self.moments::<TimestampMicrosecondType>(spans, data_type, 1_000_000),
            TimeUnit::Nanosecond => self.moments::<TimestampNanosecondType>(spans, data_type, 1_000_000_000),
        }
    }

    /// A time finer than the column's unit does not fit it: it would come back as another time.
    fn moments<T: ArrowTimestampType>(
        &self,
        spans: &[Span],
        data_type: &DataType,
        per_second: u32,
    ) -> Result<ArrayRef, Misfit> {
        let step = 1_000_000_000 / per_second;
        self.primitives::<T>(spans, data_type, |text| {
            let Moment { seconds, nanoseconds, .. } = values::moment(text)?;
            let units = seconds.checked_mul(i64::from(per_second))?.checked_add(i64::from(nanoseconds / step))?;
            (nanoseconds % step == 0).then_some(units)
        })
    }

    fn nulls(&self, spans: &[Span]) -> Result<ArrayRef, Misfit> {
        for (row, span) in spans.iter().enumerate() {
            self.scalar(row, *span, |_| None::<()>)?;
        }
        Ok(Arc::new(NullArray::new(spans.len())))
    }

    fn structs(&self, spans: &[Span], fields: &Fields) -> Result<ArrayRef, Misfit> {
        let mut children = vec![vec![Span::MISSING; spans.len()]; fields.len()];
        let find = |key: &str| {
            let exact = fields.iter().position(|field| field.name() == key);
            exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(key)))
        };
        for (row, span) in spans.iter().enumerate() {
            if !self.expect(row, *span, Form::Object)? {
                continue;
            }
            json::members(self.data.as_bytes(), *span, |key, value| {
                let key = self.text(row, key)?.unwrap_or_default();
                if let Some(child) = find(&key) {
                    children[child][row] = value;
                }
                Ok::<_, Misfit>(())
            })
            .map_err(|misfit| misfit.in_row(|_| row))?;
        }
        let columns = fields.iter().zip(&children).map(|(field, spans)| self.build(spans, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let nulls = NullBuffer::from_iter(spans.iter().map(|span| span.form != Form::Missing));
        StructArray::try_new(fields.clone(), columns, Some(nulls))
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|_| Misfit::Unsupported)
    }

    fn lists(&self, spans: &[Span], element: &FieldRef) -> Result<ArrayRef, Misfit> {
        let (mut values, mut rows) = (Vec::new(), Vec::new());
        let mut lengths = Vec::with_capacity(spans.len());
        for (row, span) in spans.iter().enumerate() {
            let before = values.len();
            if self.expect(row, *span, Form::Array)? {
                json::elements(self.data.as_bytes(), *span, |value| {
                    values.push(value);
                    rows.push(row);
                    Ok::<_, Misfit>(())
                })
                .map_err(|misfit| misfit.in_row(|_| row))?;
            }
            lengths.push(values.len() - before);
        }
        let elements = self.build(&values, element.data_type()).map_err(|misfit| misfit.in_row(|child| rows[child]))?;
        let nulls = NullBuffer::from_iter(spans.iter().map(|span| span.form != Form::Missing));
        ListArray::try_new(element.clone(), OffsetBuffer::from_lengths(lengths), elements, Some(nulls))
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|_| Misfit::Unsupported)
    }

    /// Whether there is a value, and that it is of this form.
    fn expect(&self, row: usize, span: Span, form: Form) -> Result<bool, Misfit> {
        match span.form {
            Form::Missing => Ok(false),
            found if found == form => Ok(true),
            _ => Err(Misfit::Value { row, text: self.data[span.range()].to_owned() }),
        }
    }

    /// Types that files do not have by themselves but tables may declare: through the engine's cast from text.
    fn cast(&self, spans: &[Span], data_type: &DataType) -> Result<ArrayRef, Misfit> {
        let texts: Vec<Option<String>> = spans
            .iter()
            .enumerate()
            .map(|(row, span)| self.scalar(row, *span, |text| String::from_utf8(text.trim_ascii().to_vec()).ok()))
            .map(|text| Ok(text?.filter(|text| !text.is_empty() && !self.is_null_text(text))))
            .collect::<Result<_, Misfit>>()?;
        let options = CastOptions { safe: true, ..Default::default() };
        let texts = StringArray::from(texts);
        let array = cast_with_options(&texts, data_type, &options).map_err(|_| Misfit::Unsupported)?;
        match (0..texts.len()).find(|row| array.is_null(*row) && texts.is_valid(*row)) {
            Some(row) => Err(Misfit::Value { row, text: texts.value(row).to_owned() }),
            None => Ok(array),
        }
    }
}

impl From<Malformed> for Misfit {
    fn from(malformed: Malformed) -> Self {
        Misfit::Malformed { row: 0, malformed }
    }
}

impl Misfit {
    /// The same in another row: the row of the table for a value inside a list.
    fn in_row(self, map: impl Fn(usize) -> usize) -> Self {
        match self {
            Misfit::Value { row, text } => Misfit::Value { row: map(row), text },
            Misfit::Malformed { row, malformed } => Misfit::Malformed { row: map(row), malformed },
            Misfit::Unsupported => Misfit::Unsupported,
        }
    }
}
