"""How it sounds: predicted quality, whose voice, pitch, pace and level, and whether the style is the one asked."""
