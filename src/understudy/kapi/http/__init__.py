"""The only place that knows bytes, headers and query strings."""
