"""What Trivox says of itself while it works: structured logs, figures for Prometheus, a health check."""
