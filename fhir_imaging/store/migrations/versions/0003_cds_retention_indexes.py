"""CDS service: what retention deletes by, and reports select by, is found without reading the whole table."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_cds_issued_card_issued_at", "cds_issued_card", ["issued_at"])
    op.create_index("ix_cds_card_feedback_received_at", "cds_card_feedback", ["received_at"])


def downgrade() -> None:
    op.drop_index("ix_cds_card_feedback_received_at", "cds_card_feedback")
    op.drop_index("ix_cds_issued_card_issued_at", "cds_issued_card")
