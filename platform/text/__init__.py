"""Text as it is compared: normalisers by language and error rates over them."""
