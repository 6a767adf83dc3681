-- Workgroups, but for `default`, whose limits stand in the settings file. Times are microseconds since 1970 in UTC.
CREATE TABLE workgroups (
    name    TEXT PRIMARY KEY,
    limits  TEXT NOT NULL,                      -- JSON; null follows `default`
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL
) WITHOUT ROWID;

-- What each workgroup has scanned on its last day, and in the month of that day.
CREATE TABLE workgroup_usage (
    workgroup   TEXT PRIMARY KEY,
    day         TEXT NOT NULL,                  -- 2024-01-31, in UTC
    day_bytes   INTEGER NOT NULL,
    month_bytes INTEGER NOT NULL
) WITHOUT ROWID;

ALTER TABLE keys ADD COLUMN workgroup TEXT NOT NULL DEFAULT 'default';
