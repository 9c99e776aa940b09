"""A scalar reward learned from preferences: Bradley-Terry on the shared backbone, over text and audio tokens."""
