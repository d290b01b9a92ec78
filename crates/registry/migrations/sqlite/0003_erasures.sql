-- Erasure requests as of their last step. They follow from the log; what is looked for has columns.
CREATE TABLE erasures (
    id       INTEGER NOT NULL PRIMARY KEY,
    state    TEXT   NOT NULL,
    -- Whether the deadline still matters.
    pending  BIGINT NOT NULL,
    deadline BIGINT NOT NULL,
    -- The operation by which the run began that may publish its models, and until when it may not be
    -- taken over; 0 where there is none.
    run      BIGINT NOT NULL DEFAULT 0,
    lease    BIGINT NOT NULL DEFAULT 0,
    document TEXT   NOT NULL
);

-- The operations that concern a request.
CREATE TABLE erasure_operations (
    operation BIGINT NOT NULL PRIMARY KEY,
    erasure   BIGINT NOT NULL
);

CREATE INDEX erasures_by_deadline ON erasures (pending, deadline, id);
CREATE INDEX erasures_by_state ON erasures (state, deadline, id);
CREATE INDEX erasure_operations_by_erasure ON erasure_operations (erasure, operation);
