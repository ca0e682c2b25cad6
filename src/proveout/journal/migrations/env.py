"""What alembic runs: the migrations, on the connection and in the transaction that the journal hands over."""

from alembic import context

if hasattr(context, "config"):  # alembic is at work; whoever else imports this file wants only to look at it
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
    context.run_migrations()
