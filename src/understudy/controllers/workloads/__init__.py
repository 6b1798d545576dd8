"""Controllers that make pods: ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, CronJob.

They imitate kube-controller-manager 1.36, write by write: each reads the present state, acts on
it, and then reports what it had read, so a status trails the pods by one step as it does in a real
cluster. `tests/conformance/controllers` holds what the real ones wrote.
"""
