"""Statistics that the platform reports: intervals, agreement, rankings."""
