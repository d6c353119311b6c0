-- What Hearth knows of a model beyond its files. Times are seconds of Unix; names are kept in lower case.
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

-- Further names of a model. That none of them is also an `api_name` is checked where either is written.
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
