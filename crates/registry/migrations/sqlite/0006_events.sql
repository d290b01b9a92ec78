-- What the request was after each step, so that what happened can be told without the log's documents. Empty
-- for steps from before.
ALTER TABLE erasure_operations ADD COLUMN state TEXT NOT NULL DEFAULT '';

-- The jobs that ended of late.
CREATE INDEX jobs_by_end ON jobs (ended);
