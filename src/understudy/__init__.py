"""Rehearse a change to Kubernetes before the cluster feels it."""
