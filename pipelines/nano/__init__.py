"""The public recipe of trivox-nano: prepare speech, train codec and language model, evaluate."""
