"""Who may do what: accounts, sessions, invites, API tokens, limits, and the log of what was done."""
