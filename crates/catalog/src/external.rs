//! Tables that are declared: `CREATE EXTERNAL TABLE … LOCATION`.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use lakebed_storage::{Location, Mode};
use lakebed_tables::{FileKind, TextOptions};
use lakebed_types::{Error, ErrorKind, Result};

use crate::{
    Catalog, CreateTable, Table,
    content::kind_name,
    crawler::layout::{LayoutFile, one_table},
    members::Members,
    settled::{Settled, unsettled},
    store::tables::{self, FilesRecord, NewTable},
    survey::{self, Listing, Survey},
    table::{already_exists, find},
};

impl Catalog {
    /// Declares a table over a location: inspects the files now. Declared columns and partition columns are checked
    /// against what is found; a table without files needs both its columns and its kind declared.
    ///
    /// # Errors
    /// `already_exists`, unless `if_not_exists` or `or_replace`; `database_not_found`; `location_not_allowed`;
    /// `schema_conflict`, naming file, column and both types; `invalid_request` where the location has no data files;
    /// the store's errors.
    pub async fn create_external_table(&self, request: CreateTable) -> Result<Table> {
        self.inner.storage.check(&request.location, Mode::Read)?;
        let default = self.inner.settings.default_freshness;
        let existing = find(&mut *self.inner.store.read().await?, &request.name, default).await?;
        if let Some(existing) = existing {
            if !existing.is_view() && request.if_not_exists {
                return Ok(existing.table);
            }
            if existing.files.is_none() || !request.or_replace {
                return Err(already_exists(&existing));
            }
        }
        let listed = self.inner.clock.now();
        let (location, survey) = self.survey_declared(&request).await?;
        let record = declared_record(&request, location, &survey)?;
        let settled = settle_declared(&request, record, &survey)?;
        let mut write = self.inner.store.write().await?;
        // Someone else may have taken the name while the files were read.
        if let Some(existing) = find(write.connection(), &request.name, default).await? {
            if existing.files.is_none() || !request.or_replace {
                return Err(already_exists(&existing));
            }
            tables::delete_record(write.connection(), existing.id).await?;
        }
        let comment = request.comment.as_deref();
        let new = NewTable { name: &request.name, comment, freshness: request.freshness, created: listed };
        let id = tables::insert(write.connection(), &new).await?;
        tables::replace(write.connection(), id, &settled.state(true, listed)).await?;
        write.commit().await?;
        self.inner.slots.remove(&request.name);
        self.table(&request.name).await
    }

    async fn survey_declared(&self, request: &CreateTable) -> Result<(Location, Survey)> {
        let may_be_empty = request.schema.is_some() && request.kind.is_some();
        let listed = match &request.written {
            Some(objects) => Ok((request.location.clone(), Listing::of(objects.clone()))),
            None => survey::list_written(&self.inner, &request.location, &|_| true, &|_| {}).await,
        };
        let (location, listing) = match listed {
            Ok(found) => found,
            Err(error) if may_be_empty && error.kind() == ErrorKind::ObjectNotFound => {
                (request.location.clone(), Listing::default())
            }
            Err(error) => return Err(error),
        };
        let survey = survey::inspect_new(&self.inner, &location, listing, true, &|_| {}).await?;
        if survey.found.is_empty() && !may_be_empty {
            let error = Error::invalid_request(format!("{location} has no data files"));
            return Err(match survey.refused.first() {
                Some(refused) => error.with_hint(format!("`{}` is left out: {}.", refused.path, refused.reason)),
                None => error.with_hint("Declare the columns and the format to create a table without files."),
            });
        }
        Ok((location, survey))
    }
}

/// What the request fixes, and for the rest what most files have.
fn declared_record(request: &CreateTable, location: Location, survey: &Survey) -> Result<FilesRecord> {
    let files: Vec<LayoutFile> = survey.found.iter().map(LayoutFile::from).collect();
    let found = one_table(request.name.table(), &files, location.is_folder());
    let kind = match (request.kind, &found) {
        (Some(kind), _) => kind,
        (None, Some(found)) => found.kind,
        (None, None) => return Err(Error::invalid_request(format!("{location} has no data files"))),
    };
    let keys = match &request.partition_columns {
        Some(keys) => keys.clone(),
        None => found.map(|draft| draft.keys).unwrap_or_default(),
    };
    let members = Members { everything: true, ..Members::default() };
    let record = FilesRecord { text: request.text.clone(), ..unsettled(location, kind, &keys, members) };
    Ok(match &request.schema {
        Some(schema) => with_columns(record, schema, survey),
        None => record,
    })
}

/// Declared columns; those that are partition columns are taken out of them.
fn with_columns(record: FilesRecord, declared: &SchemaRef, survey: &Survey) -> FilesRecord {
    let is_key = |name: &str| record.partitions.fields().iter().any(|key| key.name().eq_ignore_ascii_case(name));
    let columns: Vec<Arc<Field>> = declared.fields().iter().filter(|field| !is_key(field.name())).cloned().collect();
    // Partition columns that are not among the declared columns get their type from their values, once.
    let candidates: Vec<_> = survey.found.iter().collect();
    let found = Settled::new(record.clone(), &candidates, &[], &HashMap::new()).files.partitions;
    let key = |key: &Arc<Field>| {
        let declared = declared.fields().iter().find(|field| field.name().eq_ignore_ascii_case(key.name()));
        declared.map_or_else(|| Arc::clone(key), |field| Arc::new(field.as_ref().clone().with_nullable(true)))
    };
    let partitions = found.fields().iter().map(key).collect::<Vec<_>>();
    FilesRecord {
        file_schema: Arc::new(Schema::new(columns)),
        partitions: Arc::new(Schema::new(partitions)),
        declared: true,
        ..record
    }
}

fn settle_declared(request: &CreateTable, record: FilesRecord, survey: &Survey) -> Result<Settled> {
    check_text_options(request, &record, survey)?;
    let candidates: Vec<_> = survey.found.iter().collect();
    let refused: Vec<_> = survey.refused.iter().filter(|refused| !refused.hidden).collect();
    let settled = Settled::new(record, &candidates, &refused, &HashMap::new());
    let misfit = settled.left_out.iter().find(|(i, _)| candidates[*i].kind == settled.files.kind);
    if let Some((i, reason)) = misfit {
        let message = format!("file `{}` does not fit into table `{}`: {reason}", candidates[*i].path, request.name);
        return Err(Error::new(ErrorKind::SchemaConflict, message)
            .with_hint("Declare other columns or partition columns, or a location without that file."));
    }
    if settled.file_count == 0 && !candidates.is_empty() {
        let mut kinds = HashMap::<FileKind, usize>::new();
        candidates.iter().for_each(|found| *kinds.entry(found.kind).or_default() += 1);
        let most = kinds.into_iter().max_by_key(|(_, count)| *count).map_or("other", |(kind, _)| kind_name(kind));
        let (location, declared) = (&settled.files.location, kind_name(settled.files.kind));
        return Err(Error::new(ErrorKind::SchemaConflict, format!("{location} has no {declared} files, but {most}")));
    }
    Ok(settled)
}

/// Columns found under one way of reading text do not hold under another.
fn check_text_options(request: &CreateTable, record: &FilesRecord, survey: &Survey) -> Result<()> {
    let Some(text) = request.text.as_ref().filter(|_| record.kind == FileKind::Csv && !record.declared) else {
        return Ok(());
    };
    let other = survey.found.iter().find(|found| found.kind == FileKind::Csv && !same_dialect(&found.text, text));
    match other {
        None => Ok(()),
        Some(found) => Err(Error::invalid_request(format!(
            "file `{}` looks to have another delimiter, quote or header than the table's options say",
            found.path
        ))
        .with_hint("Leave out the options, or declare the columns as well.")),
    }
}

fn same_dialect(left: &TextOptions, right: &TextOptions) -> bool {
    (left.delimiter, left.quote, left.header) == (right.delimiter, right.quote, right.header)
}
