"""The commands of `trivox`, one module for each group; each imports what it needs only when it runs."""
