"""What the backbone hears with: audio encoders, frozen once they are trained."""
