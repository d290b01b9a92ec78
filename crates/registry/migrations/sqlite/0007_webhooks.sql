-- Who is told when requests change their state.
CREATE TABLE webhooks (
    id         INTEGER NOT NULL PRIMARY KEY,
    url        TEXT   NOT NULL,
    -- Messages are signed with it, so that it is kept as it is.
    secret     TEXT   NOT NULL,
    -- The states that are told, with commas around each; empty for all.
    states     TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    pause      BIGINT NOT NULL,
    created_by TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    -- Which server delivers, and until when no other one does.
    worker     TEXT   NOT NULL DEFAULT '',
    lease      BIGINT NOT NULL DEFAULT 0,
    delivered  BIGINT NOT NULL DEFAULT 0,
    last       BIGINT NOT NULL DEFAULT 0,
    given_up   BIGINT NOT NULL DEFAULT 0,
    said       TEXT   NOT NULL DEFAULT ''
);

-- What is still to be delivered: written with the step that it tells of, deleted when it has arrived.
CREATE TABLE deliveries (
    webhook   BIGINT NOT NULL,
    operation BIGINT NOT NULL,
    erasure   BIGINT NOT NULL,
    -- Empty for a request that is new.
    before    TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    attempt   BIGINT NOT NULL DEFAULT 0,
    due       BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (webhook, operation)
);

CREATE INDEX deliveries_by_time ON deliveries (webhook, due);
