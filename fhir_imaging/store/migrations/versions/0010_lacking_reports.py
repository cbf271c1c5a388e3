"""Synchronisation: since when an archive has not listed a report series of a study whose results stand in FHIR."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_study", sa.Column("lacking_ms", sa.BigInteger, nullable=True))


def downgrade() -> None:
    op.drop_column("sync_study", "lacking_ms")
