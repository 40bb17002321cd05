"""The vendor's checklist for clients, point by point, with evidence; `make conformance` writes the report."""
