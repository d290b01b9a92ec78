-- Model versions. A row never changes but for `superseded`.
CREATE TABLE models (
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    manifest   TEXT    NOT NULL,
    vertex     TEXT    NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    UNIQUE (name, version)
);

-- Inheritance: the child's parameters started from the parent's.
CREATE TABLE edges (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    child    TEXT NOT NULL,
    parent   TEXT NOT NULL,
    relation TEXT NOT NULL
);

-- FIM cards, by the digest of the model that they speak of.
CREATE TABLE cards (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    model     TEXT NOT NULL,
    estimator TEXT NOT NULL,
    blob      TEXT NOT NULL,
    UNIQUE (model, estimator)
);

-- The operation log.
CREATE TABLE operations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    time    INTEGER NOT NULL,
    command TEXT    NOT NULL,
    detail  TEXT    NOT NULL
);
