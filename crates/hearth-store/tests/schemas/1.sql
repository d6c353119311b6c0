-- A database of schema 1, as Hearth 0.1 left it.
CREATE TABLE models (
    id           INTEGER PRIMARY KEY,
    source       TEXT    NOT NULL UNIQUE,
    display_name TEXT    NOT NULL,
    api_name     TEXT    NOT NULL UNIQUE,
    user_named   INTEGER NOT NULL DEFAULT 0,
    added        INTEGER NOT NULL DEFAULT (unixepoch()),
    last_used    INTEGER,
    uses         INTEGER NOT NULL DEFAULT 0,
    pinned       INTEGER NOT NULL DEFAULT 0,
    settings     TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(settings))
) STRICT;
CREATE TABLE aliases (
    name  TEXT    PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_model ON aliases (model);
CREATE TABLE downloads (
    id       INTEGER PRIMARY KEY,
    repo     TEXT    NOT NULL,
    revision TEXT    NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
    bytes    INTEGER NOT NULL DEFAULT 0,
    total    INTEGER,
    error    TEXT,
    created  INTEGER NOT NULL DEFAULT (unixepoch()),
    updated  INTEGER NOT NULL DEFAULT (unixepoch()),
    UNIQUE (repo, revision)
) STRICT;
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;
INSERT INTO models VALUES
    (1, 'owner/Name', 'Name', 'name', 0, 1790000000, 1790000060, 3, 1, '{"context_length":8192,"temperature":0.5}');
INSERT INTO aliases VALUES ('short', 1);
INSERT INTO downloads VALUES (1, 'owner/Name', 'main', 'done', 100, 100, NULL, 1790000000, 1790000009);
INSERT INTO settings VALUES ('model_folders', '["/models"]');
PRAGMA user_version = 1;
