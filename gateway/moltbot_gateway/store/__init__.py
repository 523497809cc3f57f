"""What the assistant remembers: one SQLite database, one connection, one thread.

`database` owns thread and connection, `schema` the tables, `conversations` what is asked of them. Nothing else in the gateway imports
sqlite3.
"""
