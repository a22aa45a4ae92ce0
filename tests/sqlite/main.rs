//! Records in a file of SQLite.
