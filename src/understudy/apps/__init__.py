"""Web apps as Knative Services: identity, spec, status, and the client that manages them.

Knows a cluster only through `client.protocol.Client`.
"""
