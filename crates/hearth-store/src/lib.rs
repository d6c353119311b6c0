//! What Hearth remembers between starts, in one SQLite database. A file for each table: its row, its queries, its tests.
