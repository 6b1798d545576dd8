"""Server-side apply and field ownership: who set which field, and what happens to it.

Pure functions over JSON objects and schema nodes. `apply` merges a configuration as one manager and
raises conflicts; `track_update` keeps the owners right after every other write; `scales` does so
for the scale subresource. Built-in kinds, custom kinds with a schema and untyped objects go the
same way: the schema says which lists are maps or sets and what is owned as a whole. Nothing here
reads a store, a clock or the catalogue: what a write may not set comes in as `resets`, other
versions of a kind as `updating.Versions`.
"""

from understudy.kube.apply.applying import apply as apply
from understudy.kube.apply.updating import track_update as track_update
