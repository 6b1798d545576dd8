"""Namespaces: what each one is given at birth, and how one is emptied when it is deleted."""
