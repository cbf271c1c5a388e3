"""One small client for each outside server."""
