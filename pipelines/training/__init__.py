"""Training on imported data: prompt sets to rows, rows to a registered candidate."""
