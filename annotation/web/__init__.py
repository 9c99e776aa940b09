"""The annotators' pages: signing in, what waits, guidelines, checks of headphones, and the screens to judge on."""
