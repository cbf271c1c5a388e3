"""The CDS Hooks service: imaging-finding cards."""
