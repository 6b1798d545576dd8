"""How pods come to run: simulated by rule, or as local processes."""
