"""What alembic runs: the migrations, on the connection and in the transaction that the journal hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=True)
context.run_migrations()
