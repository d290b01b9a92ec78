-- Who writes or removes objects, and until when that is certain without hearing of them again.
CREATE TABLE leases (
    holder   TEXT   NOT NULL PRIMARY KEY,
    removes  BIGINT NOT NULL,
    since    BIGINT NOT NULL,
    until    BIGINT NOT NULL
);
