"""Policy updates: what turns preferences and rewards into new weights."""
