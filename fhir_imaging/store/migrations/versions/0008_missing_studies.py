"""Synchronisation: since when an archive has not had a study. What was written last goes: nobody read it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_study", sa.Column("missed_ms", sa.BigInteger, nullable=True))
    op.drop_column("sync_study", "known")


def downgrade() -> None:
    op.add_column("sync_study", sa.Column("known", sa.LargeBinary, nullable=True))
    op.drop_column("sync_study", "missed_ms")
