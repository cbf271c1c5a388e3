"""Audit: an id for every event, and what has still to reach a file or a FHIR server."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_event", sa.Column("event_key", sa.String(36), nullable=True))
    op.create_table(
        "audit_delivery",
        sa.Column("sink", sa.String(40), primary_key=True),
        sa.Column("event_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.String(200), nullable=True),
    )
    op.create_index("ix_audit_delivery_sink_due_at", "audit_delivery", ["sink", "due_at"])
    op.create_index("ix_audit_delivery_event_id", "audit_delivery", ["event_id"])
    op.create_table(
        "audit_sink",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("resume_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_error", sa.String(200), nullable=True),
        sa.Column("delivered_at", sa.BigInteger, nullable=True),
    )


def downgrade() -> None:
    op.drop_table("audit_sink")
    op.drop_table("audit_delivery")
    op.drop_column("audit_event", "event_key")
