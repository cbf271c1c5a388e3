"""Imaging server: decisions that all workers share, and marks that end access."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shared_decision",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=True),
    )
    op.create_index("ix_shared_decision_until_ms", "shared_decision", ["until_ms"])
    op.create_table(
        "revocation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("marked_at", sa.BigInteger, nullable=False),
        sa.Column("ehr", sa.String(64), nullable=True),
        sa.Column("patient_digest", sa.String(64), nullable=True),
        sa.Column("token_digest", sa.String(64), nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("revocation")
    op.drop_table("shared_decision")
