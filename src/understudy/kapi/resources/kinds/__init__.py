"""The rules of the built-in kinds: defaults, validity, what a write may change, conversions.

One module for each family of kinds, most of them one `strategies.Strategy` a kind; beside them the
modules on what several kinds are made of (pod specs, containers, volumes, claims). Nothing here
reads a clock or keeps state; what is allocated (cluster IPs, node ports) is derived from the view.

Its face is `strategy_for` and `converters_for`. CustomResourceDefinitions bring their own rules.
"""

from understudy.kapi.resources.kinds.registry import (
    converters_for as converters_for,
    strategy_for as strategy_for,
)
