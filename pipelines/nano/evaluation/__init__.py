"""`trivox nano evaluate`: how well a checkpoint hears, speaks and converses, by judges that it never met."""
