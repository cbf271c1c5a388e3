"""One module for each CDS service that discovery offers."""
