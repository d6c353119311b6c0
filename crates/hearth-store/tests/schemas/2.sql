-- A database of schema 2: conversations were added.
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
CREATE TABLE conversations (
    row        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(8)))),
    title      TEXT,
    model      TEXT,
    system     TEXT,
    sampling   TEXT    CHECK (sampling IS NULL OR json_valid(sampling)),
    leaf       TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX conversations_by_change ON conversations (updated_at);
CREATE TABLE messages (
    row           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(8)))),
    conversation  INTEGER NOT NULL REFERENCES conversations (row) ON DELETE CASCADE,
    parent        TEXT,
    role          TEXT    NOT NULL CHECK (role IN ('user', 'assistant', 'tool')),
    content       TEXT    NOT NULL,
    reasoning     TEXT,
    tool_calls    TEXT    CHECK (tool_calls IS NULL OR json_valid(tool_calls)),
    finish_reason TEXT,
    session       TEXT,
    report        TEXT    CHECK (report IS NULL OR json_valid(report)),
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_conversation ON messages (conversation);
CREATE VIRTUAL TABLE title_words USING fts5(title, content = 'conversations', content_rowid = 'row');
CREATE VIRTUAL TABLE message_words USING fts5(content, content = 'messages', content_rowid = 'row');
CREATE TRIGGER conversation_added AFTER INSERT ON conversations BEGIN
    INSERT INTO title_words (rowid, title) VALUES (new.row, new.title);
END;
CREATE TRIGGER conversation_retitled AFTER UPDATE OF title ON conversations WHEN new.title IS NOT old.title BEGIN
    INSERT INTO title_words (title_words, rowid, title) VALUES ('delete', old.row, old.title);
    INSERT INTO title_words (rowid, title) VALUES (new.row, new.title);
END;
CREATE TRIGGER conversation_removed AFTER DELETE ON conversations BEGIN
    INSERT INTO title_words (title_words, rowid, title) VALUES ('delete', old.row, old.title);
END;
CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
    INSERT INTO message_words (rowid, content) VALUES (new.row, new.content);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF content ON messages BEGIN
    INSERT INTO message_words (message_words, rowid, content) VALUES ('delete', old.row, old.content);
    INSERT INTO message_words (rowid, content) VALUES (new.row, new.content);
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
    INSERT INTO message_words (message_words, rowid, content) VALUES ('delete', old.row, old.content);
END;
INSERT INTO models VALUES
    (1, 'owner/Name', 'Name', 'name', 0, 1790000000, 1790000060, 3, 1, '{"context_length":8192,"temperature":0.5}');
INSERT INTO aliases VALUES ('short', 1);
INSERT INTO downloads VALUES (1, 'owner/Name', 'main', 'done', 100, 100, NULL, 1790000000, 1790000009);
INSERT INTO settings VALUES ('model_folders', '["/models"]');
INSERT INTO conversations VALUES
    (1, '0123456789abcdef', 'A title', 'name', NULL, '{"temperature":0.5}', 'fedcba9876543210', 1790000000000, 1790000000001);
INSERT INTO messages VALUES
    (1, 'fedcba9876543210', 1, NULL, 'user', 'Hello', NULL, NULL, NULL, 's', NULL, 1790000000001);
PRAGMA user_version = 2;
