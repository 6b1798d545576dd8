"""Strategic merge patch: a merge patch that knows which lists merge, and by which key.

The schema says it (`patch_strategy`, `patch_merge_key`), and a patch may carry directives:

    $patch: replace | delete            in a mapping: take the patch as it is; leave nothing
    $patch: delete | replace            in an item of a merging list: drop that item; the others
    $retainKeys: [a, b]                 drop every other key of the live mapping first
    $setElementOrder/xs: [...]          order of the list `xs` after merging
    $deleteFromPrimitiveList/xs: [...]  items to take out of the list `xs`

Source: k8s.io/apimachinery `pkg/util/strategicpatch`.
"""

from __future__ import annotations

from understudy.kube import goformats, objects, schemas, statuses
from understudy.kube.patches import mergepatches, orders

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM_LIST = "$deleteFromPrimitiveList"
SET_ORDER = "$setElementOrder"

_GO_NAMES = {str: "string", list: "array", bool: "bool"}


def apply(obj: objects.Object, patch: objects.Json, schema: schemas.Schema) -> objects.Object:
    """Return the object merged with a patch.

    Raises:
        BadRequestError: The patch is no mapping, or a directive is not of its form.
        InvalidError: Lists of lists, which cannot merge.
        InternalError: Any other contradiction, in Kubernetes' words and without a reason.
    """
    if patch is None:
        return obj
    if not isinstance(patch, dict):
        found = _GO_NAMES.get(type(patch), "number")
        raise statuses.BadRequestError(
            f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )
    return merged_map(obj, patch, schema)


def merged_map(
    live: objects.Object, patch: objects.Object, schema: schemas.Schema
) -> objects.Object:
    """Merge one mapping, directives first."""
    if DIRECTIVE in patch:
        return _directed(patch)
    out, patch = dict(live), dict(patch)
    _retain_keys(out, patch)
    for key in [key for key in patch if key.startswith(SET_ORDER)]:
        _merge_in_order(out, patch, key, schema)
    for key, value in patch.items():
        deleting = key.startswith(DELETE_FROM_LIST)
        name = _list_name(key, DELETE_FROM_LIST) if deleting else key
        if value is None:
            out.pop(name, None)
        elif name not in out or _kind(out[name]) != _kind(value):
            if not deleting:
                _take(out, name, value)
        elif isinstance(value, dict):
            out[name] = _merged_field(out[name], value, _field(schema, name))
        elif isinstance(value, list):
            out[name] = _merged_list(out[name], value, _field(schema, name), deleting=deleting)
        else:
            out[name] = value
    return out


def _directed(patch: objects.Object) -> objects.Object:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    raise _unknown_directive(directive, patch)


def _retain_keys(out: objects.Object, patch: objects.Object) -> None:
    """Carry out `$retainKeys` on both mappings, in place."""
    if RETAIN_KEYS not in patch:
        return
    kept = patch.pop(RETAIN_KEYS)
    if not isinstance(kept, list):
        raise statuses.BadRequestError("invalid patch format of retainKeys")
    for key, value in patch.items():
        directive = key.startswith((DELETE_FROM_LIST, SET_ORDER))
        if value is not None and not directive and key not in kept:
            raise statuses.BadRequestError("invalid patch format of retainKeys")
    for key in [key for key in out if key not in kept]:
        del out[key]


def _take(out: objects.Object, name: str, value: objects.Json) -> None:
    """Set a value that the live object does not have: without its nulls and directives."""
    value, keep = _without_directives(mergepatches.without_nulls(value))
    if keep:
        out[name] = value
    else:
        out.pop(name, None)


def _without_directives(value: objects.Json) -> tuple[objects.Json, bool]:
    """Return a value without the mappings that are directives, and whether it is none itself."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return None, False
        pairs = {key: _without_directives(item) for key, item in value.items()}
        return {key: item for key, (item, keep) in pairs.items() if keep}, True
    if isinstance(value, list):
        items = [_without_directives(item) for item in value]
        return [item for item, keep in items if keep], True
    return value, True


def _merged_field(
    live: objects.Object, patch: objects.Object, schema: schemas.Schema
) -> objects.Object:
    return patch if "replace" in schema.patch_strategy else merged_map(live, patch, schema)


def _merged_list(
    live: list[objects.Json],
    patch: list[objects.Json],
    schema: schemas.Schema,
    *,
    deleting: bool = False,
) -> list[objects.Json]:
    if "merge" not in schema.patch_strategy and not deleting:
        return patch
    if not live and not patch:
        return live
    key = schema.patch_merge_key
    if not isinstance(_element_type(live, patch), dict):
        if deleting:
            return [item for item in live if item not in patch]
        merged = orders.deduplicated([*live, *patch])
    elif not key:
        raise _failed(f"cannot merge lists without merge key for {schema.name}")
    else:
        live, patch = _special_items_done(live, patch, key)
        merged = _items_merged(live, patch, key, schema.items or schemas.ANY)
    return orders.normalized(merged, patch, live, key)


def _special_items_done(
    live: list[objects.Json], patch: list[objects.Json], key: str
) -> tuple[list[objects.Json], list[objects.Json]]:
    """Carry out the directives among a list patch's items; return live and patch without them."""
    plain = []
    replaced = False
    for item in patch:
        if DIRECTIVE not in item:
            plain.append(item)
            continue
        directive = item[DIRECTIVE]
        if directive == "delete":
            if key not in item:
                raise orders.no_merge_key(item, key)
            live = [one for one in live if _merge_value(one, key) != item[key]]
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise _failed("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_directive(directive, item)
    return (plain, []) if replaced else (live, plain)


def _items_merged(
    live: list[objects.Json], patch: list[objects.Json], key: str, schema: schemas.Schema
) -> list[objects.Json]:
    merged = list(live)
    for item in patch:
        if key not in item:
            raise orders.no_merge_key(item, key)
        for index, present in enumerate(merged):
            if isinstance(present, dict) and key in present and present[key] == item[key]:
                merged[index] = merged_map(present, item, schema)
                break
        else:
            merged.append(item)
    return merged


def _merge_in_order(
    out: objects.Object, patch: objects.Object, directive: str, schema: schemas.Schema
) -> None:
    """Carry out one `$setElementOrder/xs` with the patch's `xs`, taking both out of the patch."""
    order = patch.pop(directive)
    if not isinstance(order, list):
        raise _wrong_type([], order)
    name = _list_name(directive, SET_ORDER)
    live, changes = out.get(name), patch.get(name)
    for there, found in ((name in out, live), (name in patch, changes)):
        if there and not isinstance(found, list):
            raise _wrong_type([], found)
    field = _field(schema, name)
    key = field.patch_merge_key
    orders.check_order(changes or [], order, key)
    if live is None and changes is None:
        return
    if changes is None:
        merged: list[objects.Json] = live or []
    elif live is None:
        merged = _without_directives(changes)[0]
    else:
        merged = _merged_list(live, changes, field)
    _element_type(live or [], changes or [])
    out[name] = orders.normalized(merged, order, live or [], key)
    patch.pop(name, None)


def _list_name(key: str, prefix: str) -> str:
    head, slash, name = key.partition("/")
    if head != prefix or not slash:
        what = "primitive list" if prefix == DELETE_FROM_LIST else "setElementOrder list"
        raise statuses.BadRequestError(f"invalid patch format of {what}")
    return name


def _field(schema: schemas.Schema, name: str) -> schemas.Schema:
    """Return the schema of a mapping's field or entry."""
    if schema.fields is not None and name in schema.fields:
        return schema.fields[name]
    if schema.values is not None:
        return schema.values
    if schema.fields is None and not schema.name:
        return schemas.ANY
    raise _failed(
        f"unable to find api field in struct {schema.name} for the json field "
        f"{goformats.quoted(name)}"
    )


def _element_type(*lists: list[objects.Json]) -> objects.Json:
    """Return one item of lists that have one type of items throughout."""
    items = [item for one in lists for item in one]
    if not items:
        raise _failed("no elements in any of the given slices")
    first = items[0]
    if isinstance(first, list):
        raise statuses.InvalidError(
            "the server rejected our request due to an error in our request", details={}
        )
    if any(_kind(item) != _kind(first) for item in items):
        shown = goformats.plain([list(one) for one in lists])
        raise _failed(f"list element types are not identical: {shown}")
    return first


def _merge_value(item: objects.Json, key: str) -> objects.Json:
    return item.get(key) if isinstance(item, dict) else None


def _kind(value: objects.Json) -> str:
    return goformats.type_name(value)


def _unknown_directive(directive: objects.Json, patch: objects.Object) -> statuses.InternalError:
    shown = directive
    if not isinstance(directive, str):
        shown = f"%!s({goformats.type_name(directive)}={goformats.plain(directive)})"
    return _failed(f"unknown patch type: {shown} in map: {goformats.plain(patch)}")


def _wrong_type(expected: objects.Json, found: objects.Json) -> statuses.InternalError:
    received = "%!s(<nil>)" if found is None else goformats.type_name(found)
    return _failed(f"expected a {goformats.type_name(expected)}, but received a {received}")


def _failed(message: str) -> statuses.InternalError:
    return statuses.InternalError(message, reason="")
