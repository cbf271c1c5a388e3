"""CDS service: issued cards and what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cds_issued_card",
        sa.Column("card_uuid", sa.String(128), primary_key=True),
        sa.Column("service_id", sa.String(64), nullable=False),
        sa.Column("rule_id", sa.String(128), nullable=False),
        sa.Column("indicator", sa.String(16), nullable=False),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_cds_issued_card_rule_id", "cds_issued_card", ["rule_id"])
    op.create_table(
        "cds_card_feedback",
        sa.Column("entry_digest", sa.String(64), primary_key=True),
        sa.Column("card_uuid", sa.String(128), nullable=False),
        sa.Column("service_id", sa.String(64), nullable=False),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("outcome_at", sa.BigInteger, nullable=False),
        sa.Column("accepted_suggestions", sa.String(4096), nullable=False),
        sa.Column("reason_system", sa.String(255)),
        sa.Column("reason_code", sa.String(255)),
        sa.Column("reason_display", sa.String(255)),
        sa.Column("comment", sa.LargeBinary),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_cds_card_feedback_card_uuid", "cds_card_feedback", ["card_uuid"])


def downgrade() -> None:
    op.drop_table("cds_card_feedback")
    op.drop_table("cds_issued_card")
