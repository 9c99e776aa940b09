"""Live speech: sessions that listen and answer, over one engine thread; the events and routes that clients use."""
