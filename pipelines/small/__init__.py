"""trivox-small: the recipe of trivox-nano on a language model and an encoder that others trained."""
