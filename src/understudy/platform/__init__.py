"""Many clusters from a distance: the Platform protocol, its errors as data, and the bus."""
