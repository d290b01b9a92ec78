-- Since when messages of a webhook wait because somebody paused it; 0 where nobody did.
ALTER TABLE webhooks ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;

-- What became of the last messages of each webhook.
CREATE TABLE ended_deliveries (
    webhook   BIGINT NOT NULL,
    operation BIGINT NOT NULL,
    erasure   BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    attempts  BIGINT NOT NULL,
    ended     BIGINT NOT NULL,
    -- Why it was given up; empty where it arrived.
    said      TEXT   NOT NULL,
    PRIMARY KEY (webhook, operation)
);
