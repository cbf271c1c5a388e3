"""Synchronisation: its queue, what it knows of each study, and how far it has come."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sync_study",
        sa.Column("sync", sa.String(64), primary_key=True),
        sa.Column("study_digest", sa.String(64), primary_key=True),
        sa.Column("study", sa.LargeBinary, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("work", sa.String(16), nullable=False),
        sa.Column("noted_state", sa.String(64), nullable=False),
        sa.Column("noted_ms", sa.BigInteger, nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=True),
        sa.Column("queued_ms", sa.BigInteger, nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("ticket", sa.String(32), nullable=False),
        sa.Column("again_ms", sa.BigInteger, nullable=True),
        sa.Column("known", sa.LargeBinary, nullable=True),
        sa.Column("assigned", sa.LargeBinary, nullable=True),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.Column("trouble", sa.LargeBinary, nullable=True),
        sa.Column("since_ms", sa.BigInteger, nullable=True),
    )
    for column in ("due_ms", "since_ms"):
        is_set = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_sync_study_{column}", "sync_study", ["sync", column], postgresql_where=is_set)
    op.create_table(
        "sync_bookmark",
        sa.Column("sync", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("place", sa.LargeBinary, nullable=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("leased_until_ms", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.String(32), nullable=False),
    )
    op.create_table(
        "sync_tally",
        sa.Column("sync", sa.String(64), primary_key=True),
        sa.Column("outcome", sa.String(16), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("sync_tally")
    op.drop_table("sync_bookmark")
    op.drop_table("sync_study")
