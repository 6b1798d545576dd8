"""Nodes: taints that follow their conditions, pods that cannot stay, pods whose node is gone."""
