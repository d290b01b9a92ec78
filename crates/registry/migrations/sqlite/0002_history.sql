-- Weights that were deleted for good, and the operation that replaced a version.
ALTER TABLE models ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN superseded_by BIGINT NOT NULL DEFAULT 0;

-- Who did it, what it made, and the chain of hashes over all entries.
ALTER TABLE operations ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE operations ADD COLUMN made TEXT NOT NULL DEFAULT '{}';
ALTER TABLE operations ADD COLUMN previous TEXT NOT NULL DEFAULT '';
ALTER TABLE operations ADD COLUMN hash TEXT NOT NULL DEFAULT '';

-- Finished tasks of requests that have not been published: a run that was stopped takes them up.
CREATE TABLE drafts (
    request TEXT   NOT NULL,
    task    TEXT   NOT NULL,
    time    BIGINT NOT NULL,
    value   TEXT   NOT NULL,
    blobs   TEXT   NOT NULL,
    PRIMARY KEY (request, task)
);

-- Choices that belong to the registry, such as how long superseded weights are kept.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE INDEX models_by_manifest ON models (manifest);
CREATE INDEX edges_by_child ON edges (child);
CREATE INDEX edges_by_parent ON edges (parent);
