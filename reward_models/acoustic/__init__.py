"""How it sounds: predicted quality, whose voice, pitch, pace and level, and whether it is in the style asked for."""
