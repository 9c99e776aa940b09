"""Ray actors that do the parallel work of a round, and the pool that feeds them."""
