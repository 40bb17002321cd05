"""What an operator sees: telemetry, logs, HTTP endpoints, live view."""
