"""The three patches that name what changes: JSON patch, merge patch, strategic merge patch.

Pure functions from a live object and a patch, both as JSON, to the patched object. Parts that do
not change are shared with the live object, nothing given is ever modified. What the result means
(unknown fields, wrong types, validity) is judged where it is decoded, not here. Server-side apply
is `kube.apply`.
"""

from understudy.kube.patches.dispatch import (
    JSON_PATCH as JSON_PATCH,
    MERGE_PATCH as MERGE_PATCH,
    STRATEGIC_MERGE_PATCH as STRATEGIC_MERGE_PATCH,
    apply as apply,
    complaints as complaints,
    printed as printed,
    refusal as refusal,
)
