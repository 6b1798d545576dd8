"""One `Client` protocol, two transports: a view in process, or any Kubernetes API over HTTPS.

Everything above this room reaches a cluster through it and cannot tell the two apart. `ViewClient`
takes anything that has a view's verbs, so this room does not import the embedded API.
"""
