-- Times are microseconds since 1970 in UTC; `modified` of objects is nanoseconds.

CREATE TABLE databases (
    name    TEXT PRIMARY KEY,
    comment TEXT,
    created INTEGER NOT NULL
) WITHOUT ROWID;

-- Distinct Arrow schemas as Arrow IPC, each stored once.
CREATE TABLE schemas (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    arrow  BLOB NOT NULL
);

-- Tables and views. A view has `view_sql`; a table has everything from `location` on.
CREATE TABLE tables (
    id               INTEGER PRIMARY KEY,
    database_name    TEXT NOT NULL REFERENCES databases (name) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    comment          TEXT,
    created          INTEGER NOT NULL,
    changed          INTEGER NOT NULL,
    view_sql         TEXT,
    schema           BLOB NOT NULL,             -- columns of the files, or of the view
    partition_schema BLOB NOT NULL,             -- partition columns, in path order
    location         TEXT,
    kind             TEXT,
    freshness        TEXT,                      -- NULL: the default
    members          TEXT,                      -- JSON: which paths below the location are candidates
    declared         INTEGER NOT NULL DEFAULT 0, -- the columns were declared, not found
    text_options     TEXT,                      -- JSON, where declared
    crawl            TEXT,                      -- the crawl that found it; NULL: declared by a statement
    last_listed      INTEGER,
    newest_file      INTEGER,
    files            INTEGER NOT NULL DEFAULT 0,
    row_count        INTEGER,
    bytes            INTEGER NOT NULL DEFAULT 0,
    fingerprint      BLOB,                      -- of its files' paths, sizes, times and ETags
    warnings         TEXT NOT NULL DEFAULT '[]',
    UNIQUE (database_name, name)
);

-- The columns of `tables.schema` and `partition_schema`, for people and other programs.
CREATE TABLE columns (
    table_id     INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    name         TEXT NOT NULL,
    type         TEXT NOT NULL,
    nullable     INTEGER NOT NULL,
    is_partition INTEGER NOT NULL,
    PRIMARY KEY (table_id, position)
) WITHOUT ROWID;

-- What looking into an object told. Shared by all tables that have the object.
CREATE TABLE objects (
    id           INTEGER PRIMARY KEY,
    store        TEXT NOT NULL,                 -- s3://bucket, file://
    path         TEXT NOT NULL,                 -- in the store
    size         INTEGER NOT NULL,
    modified     INTEGER NOT NULL,
    etag         TEXT,
    version      TEXT,
    rejection    TEXT,                          -- why it is no data file; the rest is NULL then
    kind         TEXT,
    compression  TEXT,
    text_options TEXT,
    schema_id    INTEGER REFERENCES schemas (id),
    row_count    INTEGER,
    summary      BLOB,
    UNIQUE (store, path)
);

CREATE INDEX objects_by_schema ON objects (schema_id);

-- The files of a table, and those left out of it with the reason.
CREATE TABLE files (
    table_id         INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    object_id        INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    partition_values TEXT NOT NULL,             -- JSON: one string or null per partition column
    problem          TEXT,
    PRIMARY KEY (table_id, object_id)
) WITHOUT ROWID;

CREATE INDEX files_by_object ON files (object_id);

CREATE VIEW partitions AS
SELECT f.table_id, f.partition_values, count(*) AS files, sum(o.size) AS bytes,
       CASE WHEN count(o.row_count) = count(*) THEN sum(o.row_count) END AS row_count
FROM files f JOIN objects o ON o.id = f.object_id
WHERE f.problem IS NULL
GROUP BY f.table_id, f.partition_values;

CREATE TABLE crawlers (
    name          TEXT PRIMARY KEY,
    location      TEXT NOT NULL,
    database_name TEXT NOT NULL,
    created       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    sequence      INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    crawler       TEXT NOT NULL,
    location      TEXT NOT NULL,
    database_name TEXT NOT NULL,
    state         TEXT NOT NULL,
    started       INTEGER NOT NULL,
    ended         INTEGER,
    listed        INTEGER NOT NULL DEFAULT 0,
    inspected     INTEGER NOT NULL DEFAULT 0,
    reused        INTEGER NOT NULL DEFAULT 0,
    error         TEXT
);

CREATE INDEX runs_by_crawler ON runs (crawler, sequence);

CREATE TABLE report_entries (
    run        INTEGER NOT NULL REFERENCES runs (sequence) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    path       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    table_name TEXT,
    reason     TEXT NOT NULL,
    files      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    change     TEXT NOT NULL,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
