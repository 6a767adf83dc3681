-- A Delta table has `rules` and a `location`; what is in it says its own log. `schema` and `partition_schema` are as
-- the log was last seen.
ALTER TABLE tables ADD COLUMN rules TEXT;       -- JSON: how rows that are sent become rows of the table
