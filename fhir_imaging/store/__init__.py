"""State that all worker processes share: one database, sealed where it holds tokens or patient data."""
