"""The three operational regimes as token sequences: what each branch is given and what it may say."""
