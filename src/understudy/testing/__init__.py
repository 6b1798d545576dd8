"""Shipped to users: pytest plugin, contract suites, fakes that pass them."""
