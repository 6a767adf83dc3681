-- Keys of principals. Of a secret only its SHA-256 is kept. Times are microseconds since 1970 in UTC.
CREATE TABLE keys (
    id        TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    role      TEXT NOT NULL,
    grants    TEXT NOT NULL,                    -- JSON: null for everything, else a list of names
    digest    BLOB NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER,
    revoked   INTEGER,
    last_used INTEGER
) WITHOUT ROWID;
