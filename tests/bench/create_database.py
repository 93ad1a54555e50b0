"""Create the database of the Dagster that runs on defaults: `create_database.py NAME OWNER`."""

import os
import sys

import psycopg2
from psycopg2 import sql

if __name__ == "__main__":
    name, owner = sys.argv[1:]
    server = psycopg2.connect(
        host="postgres", dbname="postgres", user="postgres", password=os.environ["POSTGRES_PASSWORD"]
    )
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            create = sql.SQL("CREATE DATABASE {} OWNER {}")
            cursor.execute(create.format(sql.Identifier(name), sql.Identifier(owner)))
