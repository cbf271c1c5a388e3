"""Shared state: sealed records, replayed tokens, audit events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealed_record",
        sa.Column("kind", sa.String(40), primary_key=True),
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_sealed_record_expires_at", "sealed_record", ["expires_at"])
    op.create_table(
        "replayed_token",
        sa.Column("issuer", sa.String(255), primary_key=True),
        sa.Column("token_id", sa.String(255), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_replayed_token_expires_at", "replayed_token", ["expires_at"])
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("ehr", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("patient_digest", sa.String(64), nullable=False),
        sa.Column("user_digest", sa.String(64), nullable=False),
        sa.Column("study_digest", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_audit_event_recorded_at", "audit_event", ["recorded_at"])
    op.create_index("ix_audit_event_patient_digest", "audit_event", ["patient_digest"])


def downgrade() -> None:
    op.drop_table("audit_event")
    op.drop_table("replayed_token")
    op.drop_table("sealed_record")
