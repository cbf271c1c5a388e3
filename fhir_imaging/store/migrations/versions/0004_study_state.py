"""Imaging FHIR endpoint: when a study's present state was first seen."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "study_state",
        sa.Column("ehr", sa.String(64), primary_key=True),
        sa.Column("pacs", sa.String(64), primary_key=True),
        sa.Column("study_digest", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("study_state")
