"""The embedded Kubernetes API: views over one revisioned store, and the server in front of them.

Face: `kapi.server` and `kapi.settings` to run it, `kapi.views` to use it in process. It knows
nothing of delivery, apps or platforms, and starts no process of its own.
"""
