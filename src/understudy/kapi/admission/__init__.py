"""The ordered chain that every write passes: mutate, then validate."""
