-- Who writes or removes objects, and until when that is certain without hearing of them again.
CREATE TABLE leases (
    holder   TEXT    NOT NULL PRIMARY KEY,
    removes  INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    until    INTEGER NOT NULL
);
