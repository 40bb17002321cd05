"""What happened: published state and reconciliation. Pure."""
