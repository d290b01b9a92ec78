-- Who may use the service: only hashes of tokens are kept.
CREATE TABLE access_tokens (
    id         BIGINT NOT NULL PRIMARY KEY,
    hash       TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    -- 0 where it did not happen yet.
    revoked    BIGINT NOT NULL DEFAULT 0,
    used       BIGINT NOT NULL DEFAULT 0
);

-- Work on erasure requests that a server takes, one at a time.
CREATE TABLE jobs (
    id      BIGINT NOT NULL PRIMARY KEY,
    erasure BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    state   TEXT   NOT NULL,
    -- Who works on it, and until when nobody else may.
    worker  TEXT   NOT NULL DEFAULT '',
    lease   BIGINT NOT NULL DEFAULT 0,
    filed   BIGINT NOT NULL,
    ended   BIGINT NOT NULL DEFAULT 0,
    said    TEXT   NOT NULL DEFAULT ''
);

CREATE INDEX jobs_by_erasure ON jobs (erasure, id);
CREATE INDEX jobs_by_state ON jobs (state, id);

-- Answers to calls that may be made again under the same key.
CREATE TABLE answers (
    name   TEXT   NOT NULL PRIMARY KEY,
    asked  TEXT   NOT NULL,
    time   BIGINT NOT NULL,
    -- 0 while it is not there yet.
    status BIGINT NOT NULL DEFAULT 0,
    body   TEXT   NOT NULL DEFAULT ''
);
