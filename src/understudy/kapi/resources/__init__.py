"""Which kinds exist and what they allow: catalogue, schemas, defaults, validity, columns.

Pure: every function takes objects and gives objects or causes back. Reading the store, time and
identifiers come in through arguments (`strategies.WriteContext`).
"""
