"""An event may be emptied, and only that; effects are looked up by their run.

The triggers still refuse everything else: the hash of an emptied event stays, so the chain does, too.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = ("position", '"case"', "kind", '"key"', '"at"', "previous", "hash")
SAME = " AND ".join(f"NEW.{name} = OLD.{name}" for name in COLUMNS)

STATEMENTS = {
    "sqlite": [
        "DROP TRIGGER events_refuse_UPDATE",
        f"""CREATE TRIGGER events_refuse_UPDATE BEFORE UPDATE ON events WHEN NOT (NEW.payload = '' AND {SAME})
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
        """CREATE INDEX effects_by_run ON events (CASE WHEN json_valid(payload) THEN json_extract(payload, '$.run') END)
           WHERE kind = 'effect intended'""",
    ],
    "postgresql": [
        "DROP TRIGGER events_refuse_change ON events",
        """CREATE TRIGGER events_refuse_change BEFORE DELETE OR TRUNCATE ON events
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        f"""CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
            FOR EACH ROW WHEN (NOT (NEW.payload = '' AND {SAME})) EXECUTE FUNCTION refuse_change()""",
        """CREATE INDEX effects_by_run ON events (substring(payload from '.*"run":"([^"]*)"'))
           WHERE kind = 'effect intended'""",
    ],
}


def upgrade() -> None:
    for statement in STATEMENTS[op.get_bind().dialect.name]:
        op.execute(statement)
