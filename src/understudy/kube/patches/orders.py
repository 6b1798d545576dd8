"""The order of a list after strategic merging.

Items that the patch (or its `$setElementOrder`) names come in its order, the live object's other
items in theirs; the two are then interleaved as the live list had them, as far as that is possible.
Items of merging lists are told apart by their merge key, scalars by themselves (key `""`).

    >>> normalized(["a", "b", "new"], ["new"], ["a", "b"], "")
    ['new', 'a', 'b']
"""

from __future__ import annotations

from understudy.kube import goformats, objects, statuses

Items = list[objects.Json]


def normalized(merged: Items, order: Items, live: Items, key: str) -> Items:
    """Return the merged items, those named in `order` as there, the others as in `live`."""
    named_values = [_value(item, key) for item in order]
    live_values = [_value(item, key) for item in live]
    named: Items = []
    others: Items = []
    for item in merged:
        (named if _value(item, key) in named_values else others).append(item)
    named.sort(key=lambda item: named_values.index(_value(item, key)))
    others.sort(key=lambda item: _index(live_values, _value(item, key)))
    return _interleaved(others, named, live_values, key)


def _interleaved(left: Items, right: Items, live_values: Items, key: str) -> Items:
    """Insert the left items among the right ones before the first that follows them in `live`."""
    out: Items = []
    waiting = list(reversed(left))
    for item in right:
        limit = _index(live_values, _value(item, key))
        while waiting and 0 <= _index(live_values, _value(waiting[-1], key)) < limit:
            out.append(waiting.pop())
        out.append(item)
    return [*out, *reversed(waiting)]


def check_order(patch: Items, order: Items, key: str) -> None:
    """Refuse a patch list whose items are not, in their order, among those of the order list.

    Raises:
        InternalError: They are not, or an item lacks the merge key.
    """
    if not patch or not order:
        return
    kept = [item for item in patch if not (key and isinstance(item, dict) and "$patch" in item)]
    position = 0
    for named in order:
        if position == len(kept):
            return
        if _required_value(kept[position], key) == _required_value(named, key):
            position += 1
    if position < len(kept):
        raise statuses.InternalError(
            f"The order in patch list:\n{goformats.plain(patch)}\n doesn't match "
            f"$setElementOrder list:\n{goformats.plain(order)}\n",
            reason="",
        )


def deduplicated(items: Items) -> Items:
    """Return scalars once each; the order is settled later."""
    return [item for index, item in enumerate(items) if item not in items[:index]]


def no_merge_key(item: objects.Json, key: str) -> statuses.InternalError:
    """Build the error for an item of a merging list which does not say which one it is."""
    return statuses.InternalError(
        f"map: {goformats.plain(item)} does not contain declared merge key: {key}", reason=""
    )


def _value(item: objects.Json, key: str) -> objects.Json:
    return item.get(key) if key and isinstance(item, dict) else item


def _required_value(item: objects.Json, key: str) -> objects.Json:
    if key and not (isinstance(item, dict) and key in item):
        raise no_merge_key(item if isinstance(item, dict) else {}, key)
    return _value(item, key)


def _index(values: Items, value: objects.Json) -> int:
    return values.index(value) if value in values else -1
