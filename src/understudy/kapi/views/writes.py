"""Create, update, patch and apply: what all kinds have in common, in Kubernetes' order.

    decode -> storage version -> defaults -> managed fields -> admission (mutate) -> prepare
    -> names and metadata -> validation -> admission (validate) -> commit

Objects handed to these functions belong to them; nothing is committed before everything passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from understudy.aio import clocks
from understudy.kapi.admission import chain as admission
from understudy.kapi.resources import catalogue, recognition, strategies
from understudy.kapi.store import entries
from understudy.kapi.views import deletion, options as opts, ownership, results, subresources
from understudy.kube import causes, identities, names, objects, patches, raws, statuses

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

GENERATED_BASE_MAX = 58
"""Letters of generateName that are kept: 63 less the five random ones."""
MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def create(
    view: views.View,
    resource: catalogue.Resource,
    obj: objects.Object,
    namespace: str,
    options: opts.WriteOptions,
    *,
    applied: bool = False,
) -> results.Written:
    """Create an object. With `applied`, its managedFields come from server-side apply.

    Raises:
        BadRequestError: It does not decode, or says another kind, version or namespace.
        NotFoundError: The namespace does not exist. ForbiddenError: it is terminating, or
            admission refuses. AlreadyExistsError: the name is taken. InvalidError: 422.
    """
    check_type(resource, obj)
    warnings = _decode(resource, obj, options)
    try:
        return _create(view, resource, obj, namespace, options, warnings, applied=applied)
    except statuses.ApiError as error:
        error.warnings = (*warnings, *error.warnings)
        raise


def _create(
    view: views.View,
    resource: catalogue.Resource,
    obj: objects.Object,
    namespace: str,
    options: opts.WriteOptions,
    warnings: list[str],
    *,
    applied: bool,
) -> results.Written:
    meta = _metadata(obj)
    settle_namespace(resource, obj, namespace)
    if applied:
        # Creating what is updated, Kubernetes does not look at it.
        meta.pop("resourceVersion", None)
    if meta.get("resourceVersion"):
        raise statuses.InternalError(
            "resourceVersion should not be set on objects to be created", reason=""
        )
    obj = resource.working(obj)
    meta = obj["metadata"]
    for system_field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        meta.pop(system_field, None)
    strategy = resource.strategy
    strategy.default(obj)
    if not applied:
        ownership.track(view, resource, None, obj, options)
    context = view.context(options)
    attributes = admission.Attributes(
        reader=view,
        resource=resource,
        operation="CREATE",
        namespace=namespace,
        name=str(meta.get("name") or ""),
        subresource="",
        obj=obj,
        old=None,
        user=options.user,
        dry_run=options.dry_run,
        now=context.now,
        write_status=partial(_write_status, view),
        options=options,
        attempt=options.attempt,
    )
    called = attributes.name or str(meta.get("generateName") or "")
    require_namespace(view, resource, namespace, called)
    owned = meta.get("managedFields")
    view.shared.chain.mutate(attributes)
    meta = _metadata(obj)
    settle_namespace(resource, obj, namespace)
    _keep_owners(meta, owned)
    _generate_name(view, resource, meta, context)
    name = str(meta.get("name") or "")
    meta["uid"] = context.ids.uid()
    meta["creationTimestamp"] = clocks.rfc3339(context.now)
    strategy.prepare_create(obj, context)
    if strategy.has_generation:
        meta["generation"] = 1
    causes = names.validate_metadata(
        obj,
        namespaced=resource.namespaced,
        name_check=strategy.validate_name,
        checks=strategy.metadata_checks,
    )
    causes += strategy.validate_create(obj, context)
    if causes:
        raise statuses.invalid(resource.storage.group, resource.kind, name, causes)
    declared = len(warnings)
    warnings = [*warnings, *strategy.warnings(obj, None)]
    key = f"{namespace}/{name}" if resource.namespaced else name
    if (existing := view.store.get(resource.storage, key)) is not None:
        refusal = _taken(resource, name, existing)
        refusal.warnings = tuple(warnings[declared:])
        raise refusal
    view.shared.chain.validate(attributes)
    warnings += attributes.warnings
    kept = _kept(view, resource, obj, options)
    settled = strategy.settle(kept)
    if options.dry_run:
        return _answer(resource, obj, kept, created=True, warnings=warnings)
    entry = _commit(view, resource, key, kept, settled=settled)
    return results.Written(resource, entry, created=True, warnings=warnings)


def update(
    view: views.View,
    resource: catalogue.Resource,
    obj: objects.Object,
    namespace: str,
    name: str,
    subresource: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Replace an object (or one of its subresources) with the one given."""
    if subresource == "scale":
        return subresources.update_scale(view, resource, obj, namespace, name, options)
    check_type(resource, obj)
    key = _key(resource, namespace, name)
    warnings = _decode_changed(view, resource, key, obj, options)
    meta = _metadata(obj)
    own_name = str(meta.get("name") or "")
    if name:
        check_name(own_name, name)
    settle_namespace(resource, obj, namespace)
    namespace = namespace or objects.namespace_of(obj)
    entry = view.store.get(resource.storage, _key(resource, namespace, own_name))
    if entry is None:
        if subresource == "" and resource.strategy.creates_on_update:
            return create(view, resource, obj, namespace, options)
        raise statuses.not_found(resource.group_resource, own_name)
    obj = resource.working(obj)
    view.convert(resource, [entry], options.attempt)
    return _replace_warned(view, resource, entry, obj, subresource, options, warnings)


def patch(
    view: views.View,
    resource: catalogue.Resource,
    name: str,
    body: objects.Json,
    namespace: str,
    patch_type: str,
    subresource: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Change an object by one of the four kinds of patch; server-side apply may create it."""
    if subresource == "scale":
        return subresources.patch_scale(view, resource, name, body, namespace, patch_type, options)
    entry = view.store.get(resource.storage, _key(resource, namespace, name))
    if entry is not None:
        view.convert(resource, [entry], options.attempt)
    if patch_type == opts.APPLY_PATCH:
        return _apply(view, resource, name, body, namespace, subresource, options, entry)
    if entry is None:
        raise statuses.not_found(resource.group_resource, name)
    if patch_type == opts.STRATEGIC_MERGE_PATCH and resource.custom:
        raise statuses.UnsupportedMediaTypeError(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, "
            "application/apply-patch+yaml, application/apply-patch+cbor"
        )
    obj = patches.apply(patch_type, _live(view, resource, entry, body), body, resource.schema)
    if patch_type == opts.STRATEGIC_MERGE_PATCH:
        # It changes typed objects, which are what they are.
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    if resource.custom:
        _check_patched_type(resource, obj)
    try:
        check_type(resource, obj)
        complaints = patches.complaints(patch_type, body)
        warnings = _decode_changed(view, resource, entry.key, obj, options, complaints)
    except statuses.BadRequestError as error:
        raise patches.refusal(patch_type, body, obj, resource.schema, error) from None
    meta = _metadata(obj)
    _refuse_uid(resource, entry, str(meta.get("uid") or ""))
    check_name(str(meta.get("name") or ""), name)
    settle_namespace(resource, obj, namespace)
    obj = resource.working(obj)
    return _replace_warned(view, resource, entry, obj, subresource, options, warnings)


def _live(
    view: views.View, resource: catalogue.Resource, entry: entries.Entry, body: objects.Json
) -> objects.Object:
    """Return what is patched, in the resource's version; what the patch does not name is shared.

    What it names is a copy: a kind may change a field in place because of another one beside it.
    """
    as_kept = resource.api_version == resource.storage_version and not resource.custom
    if view.parsed is None or not as_kept or entry.raws or not isinstance(body, dict):
        return entry.object(resource)
    shared = view.parsed.load(entry)
    own = {
        name: objects.copy(shared[name]) for name in body if name in shared and name != "metadata"
    }
    meta = {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in shared["metadata"].items()
    }
    return {**shared, **own, "metadata": meta}


def _refuse_uid(resource: catalogue.Resource, entry: entries.Entry, uid: str) -> None:
    """Refuse a patch that gives the object another uid; of a PUT that is a precondition."""
    if uid in {"", entry.uid}:
        return
    cause = statuses.Cause(
        "metadata.uid", "FieldValueInvalid", f'Invalid value: "{uid}": field is immutable'
    )
    # Kubernetes checks it twice.
    raise statuses.invalid(resource.storage.group, resource.kind, entry.name, [cause, cause])


def check_name(own_name: str, name: str) -> None:
    """Refuse an object whose name is not the one in the URL."""
    if not own_name:
        raise statuses.BadRequestError(
            f"the name of the object ({name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if own_name != name:
        raise statuses.BadRequestError(
            f"the name of the object ({own_name}) does not match the name on the URL ({name})"
        )


def _apply(
    view: views.View,
    resource: catalogue.Resource,
    name: str,
    config: objects.Object,
    namespace: str,
    subresource: str,
    options: opts.WriteOptions,
    entry: entries.Entry | None,
) -> results.Written:
    if entry is None and subresource:
        raise statuses.not_found(resource.group_resource, name)
    _check_applied_type(resource, config)
    if config.get("metadata", {}) is None:
        del config["metadata"]
    live = entry.object(resource) if entry is not None else None
    merged = ownership.applied(view, resource, live, config, options, subresource)
    check_name(objects.name_of(merged), name)
    settle_namespace(resource, merged, namespace)
    uid = objects.uid_of(merged)
    if entry is None and uid:
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was"
        raise statuses.conflict(resource.group_resource, name, f"{why} found")
    if entry is None:
        return create(view, resource, merged, namespace, options, applied=True)
    _refuse_uid(resource, entry, uid)
    warnings = _decode(resource, merged, options)
    merged = resource.working(merged)
    written = replace(view, resource, entry, merged, subresource, options, applied=True)
    written.warnings[:0] = warnings
    return written


def _replace_warned(
    view: views.View,
    resource: catalogue.Resource,
    entry: entries.Entry,
    obj: objects.Object,
    subresource: str,
    options: opts.WriteOptions,
    warnings: list[str],
) -> results.Written:
    """Replace, with what decoding warned of put before what comes later, refusals included."""
    try:
        written = replace(view, resource, entry, obj, subresource, options)
    except statuses.ApiError as error:
        error.warnings = (*warnings, *error.warnings)
        raise
    written.warnings[:0] = warnings
    return written


def replace(
    view: views.View,
    resource: catalogue.Resource,
    entry: entries.Entry,
    obj: objects.Object,
    subresource: str,
    options: opts.WriteOptions,
    *,
    applied: bool = False,
    admitted: bool = False,
) -> results.Written:
    """Put `obj`, as verbs change it (`Resource.working`), in the place of a stored entry.

    With `admitted`, admission has looked at what was asked: a Scale, a Binding, an Eviction.

    Raises:
        ConflictError: Its resourceVersion or uid is not the stored one's.
        InvalidError, ForbiddenError: as `create`.
    """
    strategy = resource.strategy
    old = view.working(resource, entry)
    if entry.raws is not None:
        old = raws.restored(old, entry.raws)
    meta, old_meta = obj["metadata"], old["metadata"]
    name = str(old_meta["name"])
    _check_preconditions(resource, name, meta, entry)
    context = view.context(options, subresource)
    strategy.default(obj)
    if not applied:
        ownership.track(view, resource, old, obj, options, subresource)
    owned = meta.get("managedFields")
    attributes = admission.Attributes(
        reader=view,
        resource=resource,
        operation="UPDATE",
        namespace=entry.namespace,
        name=name,
        subresource=subresource,
        obj=obj,
        old=old,
        user=options.user,
        dry_run=options.dry_run,
        now=context.now,
        write_status=partial(_write_status, view),
        options=options,
        attempt=options.attempt,
    )
    if not admitted:
        view.shared.chain.mutate(attributes)
    meta = _metadata(obj)
    names.restore_system_fields(obj, old)
    meta["resourceVersion"] = old_meta["resourceVersion"]
    strategy.prepare_update(obj, old, context)
    meta = obj["metadata"]
    _keep_owners(meta, owned)
    if strategy.has_generation and strategy.advances_generation(obj, old, subresource):
        meta["generation"] = int(old_meta.get("generation") or 0) + 1
    checks = strategy.metadata_checks
    if subresource:
        checks = checks._replace(whole=0, changes=min(1, checks.whole + checks.changes))
    causes = names.validate_metadata_update(obj, old, resource.namespaced, checks)
    causes += strategy.validate_update(obj, old, context)
    if causes:
        refusal = statuses.invalid(resource.storage.group, resource.kind, name, causes)
        refusal.warnings = tuple(context.warnings)
        raise refusal
    warnings = strategy.warnings(obj, old) if subresource != "status" else []
    if not admitted:
        view.shared.chain.validate(attributes)
    warnings = [*context.warnings, *warnings, *attributes.warnings]
    kept = _kept(view, resource, obj, options)
    if entry.settled and unchanged(kept, old if resource.from_storage is None else entry.load()):
        return results.Written(resource, entry, warnings=warnings)
    settled = strategy.settle(kept)
    if deletion.is_finished(resource, obj, old):
        # Watchers see the last state that was kept; the writer sees its own, which never was.
        if not options.dry_run:
            view.drop(resource, entry.key, entry.load())
        return _answer(resource, obj, kept, warnings=warnings)
    if options.dry_run:
        return _answer(resource, obj, kept, warnings=warnings)
    committed = _commit(view, resource, entry.key, kept, settled=settled)
    return results.Written(resource, committed, warnings=warnings)


def _commit(
    view: views.View, resource: catalogue.Resource, key: str, kept: objects.Object, *, settled: bool
) -> entries.Entry:
    entry = view.commit(resource, key, kept)
    entry.settled = settled
    if patterns := resource.strategy.raw_fields:
        entry.raws = raws.texts(kept, patterns) or None
    return entry


def _keep_owners(meta: objects.Object, owned: objects.Json) -> None:
    """Undo what admission did to managedFields: who owns a field is the request's doing alone."""
    if owned:
        meta["managedFields"] = owned
    else:
        meta.pop("managedFields", None)


def _write_status(view: views.View, ref: str, obj: objects.Object) -> None:
    """Write an object's status as the API server itself, for admission."""
    view.update(
        ref,
        obj,
        objects.namespace_of(obj),
        subresource="status",
        options=opts.WriteOptions(user_agent="kube-apiserver"),
    )


def unchanged(obj: objects.Object, old: objects.Object) -> bool:
    """Say whether a write changed nothing but the times in managedFields."""
    if obj == old:
        return True
    meta, old_meta = obj["metadata"], old["metadata"]
    mine, theirs = meta.get("managedFields"), old_meta.get("managedFields")
    if mine == theirs or not mine or not theirs or len(mine) != len(theirs):
        return False
    same = all(
        {k: v for k, v in a.items() if k != "time"} == {k: v for k, v in b.items() if k != "time"}
        for a, b in zip(mine, theirs, strict=True)
    )
    if not same:
        return False
    return obj | {"metadata": meta | {"managedFields": theirs}} == old


def check_type(resource: catalogue.Resource, obj: objects.Object) -> None:
    """Fill in or check apiVersion and kind against the resource written to.

    Raises:
        BadRequestError: They say something else, or (custom resources) nothing.
    """
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if api_version == resource.api_version and kind == resource.kind:
        return
    if not api_version and not kind and not resource.custom:
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
        return
    if not kind:
        if not resource.custom:
            obj["kind"] = resource.kind
        else:
            raise statuses.BadRequestError("Object 'Kind' is missing in the body of the request")
    if not api_version:
        if not resource.custom:
            obj["apiVersion"] = resource.api_version
        else:
            raise statuses.BadRequestError(
                "Object 'apiVersion' is missing in the body of the request"
            )
    api_version, kind = str(obj["apiVersion"]), str(obj["kind"])
    if not resource.custom:
        if (api_version, kind) != (resource.api_version, resource.kind):
            raise recognition.mismatch(resource, api_version, kind)
        return
    if api_version != resource.api_version:
        raise statuses.BadRequestError(
            f"the API version in the data ({api_version}) does not match the expected API "
            f"version ({resource.api_version})"
        )
    if kind != resource.kind:
        cause = causes.invalid("kind", kind, f"must be {resource.kind}")
        raise statuses.invalid(resource.group, kind, objects.name_of(obj), [cause])


def _check_patched_type(resource: catalogue.Resource, obj: objects.Object) -> None:
    """Refuse a patch that makes a custom object one of another type."""
    said, kind = str(obj.get("apiVersion") or ""), str(obj.get("kind") or "")
    if not kind:
        raise statuses.BadRequestError("Object 'Kind' is missing in the body of the request")
    if not said:
        why = "Object 'apiVersion' is missing in 'object has no apiVersion field'"
        raise statuses.InternalError(
            f"Internal error occurred: {why}", details={"causes": [{"message": why}]}
        )
    found = [
        causes.invalid(field, value, f"must be {own}")
        for field, value, own in (
            ("kind", kind, resource.kind),
            ("apiVersion", said, resource.api_version),
        )
        if value != own
    ]
    if found:
        group, _ = identities.split_api_version(said)
        raise statuses.invalid(group, kind, objects.name_of(obj), found)


def _check_applied_type(resource: catalogue.Resource, config: objects.Object) -> None:
    """Refuse a configuration that does not say exactly what it configures."""
    said, kind = str(config.get("apiVersion") or ""), str(config.get("kind") or "")
    if (said, kind) != (resource.api_version, resource.kind):
        shown = said if "/" in said else f"/{said}"
        raise statuses.BadRequestError(f"invalid object type: {shown}, Kind={kind}")


def settle_namespace(resource: catalogue.Resource, obj: objects.Object, namespace: str) -> None:
    """Make the object's namespace the one of the request, or refuse another one."""
    meta = obj["metadata"]
    said = meta.get("namespace") or ""
    if not resource.namespaced:
        meta.pop("namespace", None)
        return
    if said and namespace and said != namespace:
        raise statuses.BadRequestError(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if namespace:
        meta["namespace"] = namespace


def require_namespace(
    view: views.View, resource: catalogue.Resource, namespace: str, name: str
) -> None:
    """Refuse new content in a namespace that does not exist or is terminating."""
    if not resource.namespaced:
        return
    found = view.store.get(NAMESPACES, namespace)
    if found is None:
        raise statuses.not_found(NAMESPACES, namespace)
    if b'"Terminating"' not in found.encoded:
        return
    obj = found.load()
    if objects.lookup(obj, ("status", "phase")) != "Terminating":
        return
    error = statuses.forbidden(
        resource.group_resource,
        name,
        f"unable to create new content in namespace {namespace} because it is being terminated",
    )
    assert error.details is not None, "forbidden() gives details"
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    raise error


NAMESPACES = identities.GroupResource("", "namespaces")


def _decode(
    resource: catalogue.Resource,
    obj: objects.Object,
    options: opts.WriteOptions,
    complaints: Sequence[str] = (),
) -> list[str]:
    return resource.strategy.decode(
        obj,
        resource.schema,
        mode=options.field_validation,
        api_version=resource.api_version,
        kind=resource.kind,
        duplicates=(*options.duplicates, *complaints),
    )


def _decode_changed(
    view: views.View,
    resource: catalogue.Resource,
    key: str,
    obj: objects.Object,
    options: opts.WriteOptions,
    complaints: Sequence[str] = (),
) -> list[str]:
    """Decode, but for fields that are the stored object's own: they have the form already."""
    entry, present = None, None
    if view.parsed is not None and not resource.custom:
        entry = view.store.get(resource.storage, key)
        present = view.parsed.known(entry) if entry is not None else None
    meta = obj.get("metadata")
    if present is None or not isinstance(meta, dict):
        return _decode(resource, obj, options, complaints)
    own, own_meta = _shared(obj, present), _shared(meta, present["metadata"])
    changed = {name: value for name, value in obj.items() if name not in own}
    changed["metadata"] = {name: value for name, value in meta.items() if name not in own_meta}
    warnings = _decode(resource, changed, options, complaints)
    changed["metadata"] = _joined(meta, own_meta, changed["metadata"])
    decoded = _joined(obj, own, changed)
    obj.clear()
    obj.update(decoded)
    return warnings


def _shared(obj: objects.Object, present: objects.Object) -> objects.Object:
    """Return the fields whose values are the present mapping's own, not merely equal to them."""
    return {
        name: value
        for name, value in obj.items()
        if value is not None and value is present.get(name)
    }


def _joined(whole: objects.Object, own: objects.Object, decoded: objects.Object) -> objects.Object:
    """Return what was set aside and what was decoded, in the order of the whole."""
    parts = decoded | own
    return {name: parts[name] for name in whole if name in parts} | parts


def _metadata(obj: objects.Object) -> objects.Object:
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        meta = obj["metadata"] = {}
    return meta


def _generate_name(
    view: views.View,
    resource: catalogue.Resource,
    meta: objects.Object,
    context: strategies.WriteContext,
) -> None:
    base = str(meta.get("generateName") or "")
    if meta.get("name") or not base:
        return
    for _ in range(8):
        meta["name"] = base[:GENERATED_BASE_MAX] + context.ids.suffix()
        key = _key(resource, str(meta.get("namespace") or ""), meta["name"])
        if view.store.get(resource.storage, key) is None:
            return


def _taken(
    resource: catalogue.Resource, name: str, existing: entries.Entry
) -> statuses.AlreadyExistsError:
    error = statuses.already_exists(resource.group_resource, name)
    if b'"deletionTimestamp"' in existing.encoded:
        error = statuses.AlreadyExistsError(
            f"object is being deleted: {error.message}", details=error.details
        )
    return error


def _check_preconditions(
    resource: catalogue.Resource,
    name: str,
    meta: objects.Object,
    entry: entries.Entry,
) -> None:
    said = meta.get("resourceVersion") or ""
    if said in {"", "0"}:
        if not resource.strategy.unconditional_update:
            cause = statuses.Cause(
                "metadata.resourceVersion",
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
            )
            raise statuses.invalid(resource.group, resource.plural, name, [cause])
    elif not said.isdecimal():
        text = f"strconv.ParseUint: parsing {causes.quoted(said)}: invalid syntax"
        raise statuses.InternalError(text, reason="")
    elif said != str(entry.revision):
        raise statuses.conflict(resource.group_resource, name, MODIFIED)
    uid = meta.get("uid")
    if uid and uid != entry.uid:
        raise other_uid(resource, entry, str(uid))


def other_uid(
    resource: catalogue.Resource, entry: entries.Entry, uid: str
) -> statuses.ConflictError:
    """Build the refusal of a write that means another object of the same name."""
    return statuses.conflict(
        resource.group_resource,
        entry.name,
        "StorageError: invalid object, Code: 4, "
        f"Key: {_storage_path(resource, entry)}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {uid}, UID in object meta: {entry.uid}",
    )


_STORED_ELSEWHERE = {
    "endpoints": "services/endpoints",
    "ingresses": "ingress",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "services": "services/specs",
}


def _storage_path(resource: catalogue.Resource, entry: entries.Entry) -> str:
    """Return the key that the reference would keep an object under."""
    folder = resource.storage.resource
    if resource.custom:
        folder = f"{resource.storage.group}/{folder}"
    return f"/registry/{_STORED_ELSEWHERE.get(folder, folder)}/{entry.key}"


def _key(resource: catalogue.Resource, namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if resource.namespaced else name


def _kept(
    view: views.View,
    resource: catalogue.Resource,
    obj: objects.Object,
    options: opts.WriteOptions,
) -> objects.Object:
    """Return a changed object in the version in which it is kept.

    Raises:
        WaitingError: A webhook has to convert it first. ApiError: it failed.
    """
    if resource.conversion is None or options.attempt is None:
        return resource.kept(obj)
    return resource.conversion.convert(obj, resource.storage_version, options.attempt, view)


def _answer(
    resource: catalogue.Resource,
    obj: objects.Object,
    kept: objects.Object,
    *,
    created: bool = False,
    warnings: list[str],
) -> results.Written:
    """Return the outcome of a write that kept nothing: `obj` as changed, `kept` as it would be."""
    answer = objects.copy(kept if resource.conversion is None else obj)
    if resource.from_storage is not None and resource.conversion is None:
        answer = resource.from_storage(answer)
    answer = {"kind": resource.kind, "apiVersion": resource.api_version} | answer
    answer["kind"], answer["apiVersion"] = resource.kind, resource.api_version
    return results.Written(resource, None, obj=answer, created=created, warnings=warnings)
