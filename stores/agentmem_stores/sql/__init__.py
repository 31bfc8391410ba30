"""The SQL ledger: one schema for SQLite and Postgres, on SQLAlchemy Core."""
