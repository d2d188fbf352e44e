"""All SQL of the broker. Every function takes a transaction of `database.Database` and the time as arguments."""
