-- Conversations of Hearth's own page: each a tree of messages. Times are milliseconds of Unix; ids are what others call a
-- row, rows are what the search calls it.
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

-- What the search looks through: words alone, since the texts are in the tables above.
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
