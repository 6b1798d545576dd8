"""Pods as local processes: what a kubelet and a container runtime do, with the machine's own means.

Nothing here decides what should run; the pods bound to this node say it. What a container is given
is written in `docs/guides/running.md`. No process outlives the server, whatever ends it: each is
held by a supervisor (`supervise`) that ends it when the server is gone.
"""
