"""How calls reach a cluster's agent: in one process, or between hub replicas."""
