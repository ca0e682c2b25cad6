"""The chain of events, its tip, and the triggers that keep it append-only.

Written out, not taken from `schema.py`: this file says for ever what version 0001 was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

GENESIS = "0" * 64


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "events",
        sa.Column("position", number, primary_key=True, autoincrement=False),
        sa.Column("case", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    keyed = sa.text("key <> ''")
    op.create_index("one_event_a_key", "events", ["key", "kind"], unique=True, sqlite_where=keyed, postgresql_where=keyed)
    other = sa.text("kind <> 'decision'")
    op.create_index("events_by_case", "events", ["case"], sqlite_where=other, postgresql_where=other)
    op.create_index("events_by_kind", "events", ["kind", "position"])
    op.create_table(
        "tip",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", number, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.execute(f"INSERT INTO tip (id, position, hash) VALUES (1, 0, '{GENESIS}')")
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


TRIGGERS = {
    "sqlite": [
        f"""CREATE TRIGGER events_refuse_{verb} BEFORE {verb} ON events
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
        """CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
    ],
}
