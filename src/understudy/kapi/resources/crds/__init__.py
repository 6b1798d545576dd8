"""Custom resources: what a CustomResourceDefinition says, and the rules of its objects.

Pure: schema, defaults, pruning, validation, CEL, columns. Nothing here reads a store; who keeps
definitions asks `resources_of` for what they add and `establish` for what becomes of them.
"""

from understudy.kapi.resources.crds.establishing import (
    CLEANUP as CLEANUP,
    establish as establish,
    instances_remain as instances_remain,
)
from understudy.kapi.resources.crds.resources import resources_of as resources_of
