"""A view: one Kubernetes API state with its verbs.

Every verb is one synchronous transaction: between its first read and its commit nothing else runs,
so it needs no lock and leaves nothing half done. Base and sandboxes are the same class over
different stores; isolation is the store's.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from understudy.aio import clocks, ids as idents
from understudy.kapi.admission import chain as admission
from understudy.kapi.resources import calls, catalogue as catalogues, crds, strategies
from understudy.kapi.store import entries as stored, logs, parsed as forms, stores
from understudy.kapi.views import (
    deletion,
    handles,
    hooks,
    loading,
    options as opts,
    reads,
    results,
    sandboxes,
    subresources,
    writes,
)
from understudy.kapi.watch import watches
from understudy.kube import identities, objects, statuses

CRDS = identities.GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
NAMESPACES = identities.GroupResource("", "namespaces")
MUTATING = identities.GroupResource("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
VALIDATING = identities.GroupResource(
    "admissionregistration.k8s.io", "validatingwebhookconfigurations"
)
_CATALOGUES_MAX = 32
T = TypeVar("T")
# Inside the class `list` is a verb.
EntryList = list[stored.Entry]
WrittenList = list[results.Written]


@dataclass(slots=True, kw_only=True, eq=False)
class Shared:
    """What all views of one server have in common.

    Attributes:
        builtins: The catalogue without any CRD.
        chain: Admission, in order.
        events_max: Events kept per resource and view for watches that resume.
        catalogues: Catalogues with CRDs, by the tree of CRDs they were made from; views that
            share their CRDs share the catalogue.
    """

    builtins: catalogues.Catalogue
    clock: clocks.Clock
    ids: idents.IdSource
    chain: admission.Chain
    events_max: int = 10_000
    watch_buffer_events_max: int = watches.BUFFER_EVENTS_MAX
    catalogues: list[tuple[object, catalogues.Catalogue]] = field(default_factory=list)


class _Derived(NamedTuple):
    """A value and the tree of the resource it was made from."""

    storage: identities.GroupResource
    tree: object
    value: objects.Json


class _Tally(NamedTuple):
    """How often words occur, in the objects of a tree, as of a revision."""

    tree: object
    revision: int
    counts: dict[str, int]


def _count(counts: dict[str, int], words: str, change: int) -> None:
    for word in words.split(",") if words else ():
        number = counts.get(word, 0) + change
        if number:
            counts[word] = number
        else:
            counts.pop(word, None)


class View:
    """One state of a Kubernetes API, and everything that can be done to it.

    Attributes:
        name: `base`, or the sandbox's name.
        parent: The view this one was forked from, None for the base.
        store: The objects; verbs go through it, nobody else writes.
        caches: Derived state that a strategy or plugin wants to keep with the view (allocators).
        caller: Makes the calls to webhooks; None (also in a fork): none is called.
        parsed: Parsed forms of what was committed of late; None unless somebody reads them.
    """

    write_options = opts.WriteOptions
    delete_options = opts.DeleteOptions

    def __init__(
        self, name: str, store: stores.Store, shared: Shared, parent: View | None = None
    ) -> None:
        self.name = name
        self.store = store
        self.shared = shared
        self.parent = parent
        self.children: dict[str, View] = {}
        self.caches: dict[str, object] = {}
        self.caller: calls.Caller | None = None
        self.parsed: forms.Parsed | None = None
        self._derivations: dict[str, _Derived] = {}
        self._served: tuple[object, catalogues.Catalogue] = (None, shared.builtins)
        self._watches: set[watches.Watch] = set()

    # ------------------------------------------------------------------ facts

    @property
    def clock(self) -> clocks.Clock:
        """The clock that stamps this server's objects."""
        return self.shared.clock

    @property
    def ids(self) -> idents.IdSource:
        """Where uids and generated names come from."""
        return self.shared.ids

    @property
    def kind(self) -> str:
        """`base`, `following` or `pinned`."""
        if self.parent is None:
            return "base"
        return "following" if isinstance(self.store, stores.FollowingStore) else "pinned"

    @property
    def revision(self) -> int:
        """The newest revision; a watch from here sees everything that comes later."""
        return self.store.revision

    @property
    def change_count(self) -> int:
        """How many changes were committed in this view since it was made."""
        return self.store.changes

    @property
    def catalogue(self) -> catalogues.Catalogue:
        """The resources this view serves: the built-in ones and those of its own CRDs."""
        tree = self.store.tree(CRDS)
        if tree is not self._served[0]:
            self._served = tree, self._catalogue_of(tree)
        return self._served[1]

    def _catalogue_of(self, tree: reads.EntryTree) -> catalogues.Catalogue:
        if not tree.size:
            return self.shared.builtins
        for known, made in self.shared.catalogues:
            if known is tree:
                return made
        more = [resource for entry in tree.values() for resource in crds.resources_of(entry.load())]
        made = self.shared.builtins.extended(more)
        self.shared.catalogues.insert(0, (tree, made))
        del self.shared.catalogues[_CATALOGUES_MAX:]
        return made

    def resolve(self, ref: str | catalogues.Resource) -> catalogues.Resource:
        """Return the resource of kubectl's notation.

        Raises:
            NotFoundError: This view does not serve it.
        """
        if isinstance(ref, catalogues.Resource):
            return ref
        found = self.catalogue.named(ref)
        if found is None:
            raise statuses.NotFoundError("the server could not find the requested resource")
        return found

    def resource(self, ref: str | catalogues.Resource) -> handles.Handle:
        """Return one resource with its verbs: `view.resource("pods").list()`."""
        return handles.Handle(self, self.resolve(ref))

    @property
    def events(self) -> handles.EventSink:
        """The Events written since this was first asked for; by whichever API group."""
        sink = self.caches.get("events")
        if not isinstance(sink, handles.EventSink):
            sink = self.caches["events"] = handles.EventSink(self)
        return sink

    def now(self) -> dt.datetime:
        """Return the wall time that verbs stamp objects with."""
        return self.shared.clock.now()

    def now_of(self, options: opts.WriteOptions | opts.DeleteOptions) -> dt.datetime:
        """Return the time of a write: that of its first run if it is run again."""
        return options.attempt.now if options.attempt is not None else self.now()

    def ids_of(self, options: opts.WriteOptions | opts.DeleteOptions) -> idents.IdSource:
        """Return where a write's identifiers come from: the same ones if it is run again."""
        return options.attempt.ids if options.attempt is not None else self.ids

    def attempt(self, resource: catalogues.Resource) -> calls.Attempt | None:
        """Return what a request needs to wait for webhooks; None where it calls none."""
        if self.caller is None:
            return None
        sizes = self.store.tree(MUTATING).size, self.store.tree(VALIDATING).size
        if resource.conversion is None and sizes == (0, 0):
            return None
        return calls.Attempt(self.caller, self.now(), self.ids)

    def convert(
        self,
        resource: catalogues.Resource,
        entries: Sequence[stored.Entry],
        attempt: calls.Attempt | None,
    ) -> None:
        """See to it that entries can be shown in a resource's version, by webhook if need be.

        Raises:
            WaitingError: The webhook has to be called first. ApiError: it failed.
        """
        if resource.conversion is not None and attempt is not None:
            resource.conversion.require(resource.api_version, entries, attempt, self)

    async def complete(
        self,
        ref: str | catalogues.Resource,
        options: opts.WriteOptions,
        write: Callable[[opts.WriteOptions], T],
    ) -> T:
        """Run a write, waiting for the webhooks that have to be called; it may run many times.

        Raises:
            TimeoutApiError: What the webhooks were asked about never came to rest.
        """
        attempt = self.attempt(self.resolve(ref))
        if attempt is None:
            return write(options)
        own = dataclasses.replace(options, attempt=attempt)
        return await self._shown(await attempt.complete(lambda: write(own)), attempt)

    async def complete_deletion(
        self,
        ref: str | catalogues.Resource,
        options: opts.DeleteOptions,
        delete: Callable[[opts.DeleteOptions], T],
    ) -> T:
        """Run a deletion as `complete` does a write."""
        attempt = self.attempt(self.resolve(ref))
        if attempt is None:
            return delete(options)
        own = dataclasses.replace(options, attempt=attempt)
        return await self._shown(await attempt.complete(lambda: delete(own)), attempt)

    async def _shown(self, outcome: T, attempt: calls.Attempt) -> T:
        if isinstance(outcome, results.Written) and outcome.entry is not None:
            resource, entries = outcome.resource, [outcome.entry]
            await attempt.complete(lambda: self.convert(resource, entries, attempt))
        return outcome

    async def prepare(
        self, ref: str | catalogues.Resource, namespace: str = "", name: str = ""
    ) -> None:
        """Have webhooks convert an object, or (without a name) all of a namespace, for a reader.

        Nothing else runs between the end of this and a read that follows at once.
        """
        resource = self.resolve(ref)
        if resource.conversion is None or (attempt := self.attempt(resource)) is None:
            return

        def convert() -> None:
            found = self.entries(resource, namespace)
            if name:
                found = [entry for entry in found if entry.name == name]
            self.convert(resource, found, attempt)

        await attempt.complete(convert)

    async def converted(self, resource: catalogues.Resource, entries: Sequence[object]) -> None:
        """Have webhooks convert these entries, present or past."""
        if resource.conversion is None or (attempt := self.attempt(resource)) is None:
            return
        found = [entry for entry in entries if isinstance(entry, stored.Entry)]
        await attempt.complete(lambda: self.convert(resource, found, attempt))

    # ------------------------------------------------------------------ reads

    def entry(
        self, resource: catalogues.Resource, namespace: str, name: str
    ) -> stored.Entry | None:
        """Return an object's present version, or None."""
        return self.store.get(resource.storage, key_of(resource, namespace, name))

    def find(
        self, ref: str | catalogues.Resource, namespace: str, name: str
    ) -> objects.Object | None:
        """Return an object, private to the caller, or None; also None for unknown resources."""
        resource = ref if isinstance(ref, catalogues.Resource) else self.catalogue.named(ref)
        if resource is None:
            return None
        found = self.entry(resource, namespace, name)
        return found.object(resource) if found is not None else None

    def each(self, ref: str | catalogues.Resource, namespace: str = "") -> Iterator[objects.Object]:
        """Yield every object of a resource in the order of namespace and name."""
        resource = ref if isinstance(ref, catalogues.Resource) else self.catalogue.named(ref)
        if resource is not None:
            for entry in self.entries(resource, namespace):
                yield entry.object(resource)

    def labels(self, ref: str, namespace: str, name: str) -> Mapping[str, str]:
        """Return an object's labels, empty if it is not there; nothing is decoded."""
        resource = self.catalogue.named(ref)
        found = self.entry(resource, namespace, name) if resource is not None else None
        return found.labels if found is not None else {}

    def tally(self, ref: str, field: str) -> Mapping[str, int]:
        """Count the comma-separated words of a selectable field over all objects of a resource.

        Kept up to date by the events since the last call, so that it costs what changed.
        """
        resource = self.catalogue.named(ref)
        if resource is None:
            return {}
        tree = self.store.tree(resource.storage)
        key = f"tally {ref} {field}"
        known = self.caches.get(key)
        if known is None and self.parent is not None:
            above = self.parent.caches.get(key)
            if isinstance(above, _Tally) and above.tree is tree:
                known = _Tally(tree, above.revision, dict(above.counts))
        if isinstance(known, _Tally) and known.tree is tree:
            return known.counts
        compute, counts = resource.strategy.selectable_fields, {}
        events = None
        if isinstance(known, _Tally):
            counts = known.counts
            events = self.store.events_after(resource.storage, known.revision)
        if events is None:
            counts = {}
            for entry in tree.values(""):
                _count(counts, entry.fields(compute).get(field, ""), 1)
        for event in events or ():
            if event.previous is not None:
                _count(counts, event.previous.fields(compute).get(field, ""), -1)
            if event.type != "DELETED":
                _count(counts, event.entry.fields(compute).get(field, ""), 1)
        self.caches[key] = _Tally(tree, self.store.counter.current, counts)
        return counts

    def derived(
        self, resource: str, purpose: str, compute: Callable[[], objects.Json]
    ) -> objects.Json:
        """Return what `compute` makes of a resource's objects; again only when they changed.

        Forks that share the objects do not share the value: it is kept with the view.
        """
        cached = self._derivations.get(purpose)
        if cached is not None and self.store.tree(cached.storage) is cached.tree:
            return cached.value
        found = self.resolve(resource)
        tree = self.store.tree(found.storage)
        value = compute()
        self._derivations[purpose] = _Derived(found.storage, tree, value)
        return value

    def entries(self, resource: catalogues.Resource, namespace: str = "") -> EntryList:
        """Return the entries of a resource, of one namespace or (`""`) of all."""
        return self.store.tree(resource.storage).values(f"{namespace}/" if namespace else "")

    def get(
        self,
        ref: str | catalogues.Resource,
        name: str,
        namespace: str = "",
        *,
        subresource: str = "",
        resource_version: str = "",
    ) -> objects.Object:
        """Return an object; with `subresource="scale"` its Scale, `status` is the object.

        Raises:
            NotFoundError: There is none. TimeoutApiError: `resource_version` is in the future.
        """
        resource = self.resolve(ref)
        entry = self.get_entry(resource, name, namespace, resource_version)
        if subresource == "scale":
            return subresources.scale_of(resource, entry)
        return entry.object(resource)

    def get_entry(
        self,
        resource: catalogues.Resource,
        name: str,
        namespace: str = "",
        resource_version: str = "",
    ) -> stored.Entry:
        """Return an object's entry; errors as `get`."""
        if resource_version:
            wanted = reads.parse_revision(resource_version)
            if wanted is not None and wanted > self.revision:
                raise reads.too_large(wanted, self.revision)
        found = self.store.get(resource.storage, key_of(resource, namespace, name))
        if found is None:
            raise statuses.not_found(resource.group_resource, name)
        return found

    def list(
        self,
        ref: str | catalogues.Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> results.Page:
        """Return the objects of a namespace (`""`: of all) that the selectors match.

        With `limit`, one page: `continue_token` asks for the next one, which shows the state of
        the first page's revision as long as that is kept (else ExpiredError).

        Raises:
            BadRequestError: A selector, token or revision does not parse.
            ExpiredError: The state asked for is no longer kept.
            TimeoutApiError: `resource_version` is in the future.
        """
        resource = self.resolve(ref)
        match = reads.matcher(resource, label_selector, field_selector)
        tree, revision, after = self._state(
            resource, namespace, continue_token, limit, resource_version, resource_version_match
        )
        prefix = f"{namespace}/" if namespace and resource.namespaced else ""
        if not limit and not after:
            found = tree.values(prefix)
            if match is not None:
                found = [entry for entry in found if match(entry)]
            return results.Page(resource=resource, entries=found, revision=revision)
        return reads.page(
            resource, tree, match, revision, reads.Range(prefix, after, limit, namespace)
        )

    def _state(
        self,
        resource: catalogues.Resource,
        namespace: str,
        continue_token: str,
        limit: int,
        resource_version: str,
        resource_version_match: str,
    ) -> tuple[reads.EntryTree, int, str]:
        if continue_token:
            place = reads.decode_continue(continue_token, namespace)
            if resource_version and resource_version != "0":
                raise statuses.BadRequestError(
                    "specifying resource version is not allowed when using continue"
                )
            if place.revision < 0:
                return self.store.tree(resource.storage), self.revision, place.after
            go_on = reads.Continue(-1, place.after)
            tree = self._past(resource, place.revision, namespace, go_on, paged=bool(limit))
            return tree, place.revision, place.after
        wanted = reads.parse_revision(resource_version, on_list=True)
        if wanted is not None and wanted > self.revision:
            raise reads.too_large(wanted, self.revision)
        # The first page at a revision means exactly that revision, also where nobody says so.
        exact = resource_version_match == "Exact" or (limit and not resource_version_match)
        if wanted and exact:
            tree = self._past(resource, wanted, namespace, None, paged=bool(limit))
            return tree, wanted, ""
        return self.store.tree(resource.storage), self.revision, ""

    def _past(
        self,
        resource: catalogues.Resource,
        revision: int,
        namespace: str,
        go_on: reads.Continue | None,
        *,
        paged: bool,
    ) -> reads.EntryTree:
        tree = self.store.tree_at(resource.storage, revision) if revision > 0 else None
        if tree is None:
            raise reads.expired_list(go_on, namespace, paged=paged)
        return tree

    # ------------------------------------------------------------------ watch

    def watch(
        self,
        ref: str | catalogues.Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        send_initial_events: bool = False,
    ) -> watches.Watch:
        """Open a watch: start state and registration are one step, nothing falls between.

        | resource_version | begins with                                                  |
        | ---------------- | ------------------------------------------------------------ |
        | empty or `0`     | ADDED for every present object                               |
        | a revision       | every event after it; ExpiredError if some are forgotten     |
        | `send_initial_events` | ADDED for every present object, then the end bookmark   |

        Raises:
            ExpiredError, BadRequestError: as above and as `list`.
        """
        resource = self.resolve(ref)
        selected = reads.matcher(resource, label_selector, field_selector)
        prefix = f"{namespace}/" if namespace and resource.namespaced else ""
        match = selected
        if prefix:
            match = reads.within(prefix, selected)
        wanted = reads.parse_revision(resource_version)
        start = self._start(resource, prefix, match, wanted, send_initial_events)
        watch = watches.Watch(resource, start, match, self.shared.watch_buffer_events_max)
        watch.attach(self.store.subscribe(resource.storage, watch.offer))
        self._watches = {known for known in self._watches if not known.closed} | {watch}
        return watch

    def _start(
        self,
        resource: catalogues.Resource,
        prefix: str,
        match: reads.Match | None,
        wanted: int | None,
        send_initial_events: bool,
    ) -> watches.Start:
        if wanted and not send_initial_events:
            if wanted >= self.revision:
                return watches.Start(revision=wanted)
            past = self.store.events_after(resource.storage, wanted)
            if past is None:
                raise reads.expired(
                    f"too old resource version: {wanted} "
                    f"({self.store.oldest_revision(resource.storage)})"
                )
            shown = (watches.transition(event, match) for event in past)
            items = tuple(item for item in shown if item is not None)
            return watches.Start(items=items, revision=self.revision)
        found = self.store.tree(resource.storage).values(prefix)
        present = tuple(
            watches.Item("ADDED", entry, None) for entry in found if match is None or match(entry)
        )
        return watches.Start(items=present, revision=self.revision, bookmark=send_initial_events)

    def subscribe(
        self, ref: str | catalogues.Resource | None, subscriber: Callable[[logs.Event], None]
    ) -> Callable[[], None]:
        """Call `subscriber` inside each commit to a resource (None: to any); returns the end."""
        storage = self.resolve(ref).storage if ref is not None else None
        return self.store.subscribe(storage, subscriber)

    # ------------------------------------------------------------------ writes

    def create(
        self,
        ref: str | catalogues.Resource,
        obj: objects.Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        options: opts.WriteOptions = opts.DEFAULT_WRITE,
        owned: bool = False,
    ) -> results.Written:
        """Create an object, or post to a subresource of `name` (binding, eviction).

        `obj` is not changed, unless it is `owned`: then it is the view's from here on, which
        saves a copy. Raises every refusal Kubernetes knows (400, 403, 404, 409, 422).
        """
        resource = self.resolve(ref)
        obj = obj if owned else objects.copy(obj)
        if subresource:
            return subresources.post(self, resource, obj, namespace, name, subresource, options)
        return writes.create(self, resource, obj, namespace, options)

    def update(
        self,
        ref: str | catalogues.Resource,
        obj: objects.Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        options: opts.WriteOptions = opts.DEFAULT_WRITE,
        owned: bool = False,
    ) -> results.Written:
        """Replace an object or one of its subresources; 409 on a stale resourceVersion.

        `owned` as in `create`.
        """
        resource = self.resolve(ref)
        obj = obj if owned else objects.copy(obj)
        return writes.update(self, resource, obj, namespace, name, subresource, options)

    def patch(
        self,
        ref: str | catalogues.Resource,
        name: str,
        patch: objects.Json,
        namespace: str = "",
        *,
        patch_type: str = opts.MERGE_PATCH,
        subresource: str = "",
        options: opts.WriteOptions = opts.DEFAULT_WRITE,
    ) -> results.Written:
        """Patch an object; `patch_type` is one of the four media types."""
        resource = self.resolve(ref)
        return writes.patch(
            self, resource, name, patch, namespace, patch_type, subresource, options
        )

    def apply(
        self,
        ref: str | catalogues.Resource,
        obj: objects.Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        options: opts.WriteOptions,
    ) -> results.Written:
        """Server-side apply an object as `options.field_manager`."""
        return self.patch(
            ref,
            name or objects.name_of(obj),
            obj,
            namespace or objects.namespace_of(obj),
            patch_type=opts.APPLY_PATCH,
            subresource=subresource,
            options=options,
        )

    def delete(
        self,
        ref: str | catalogues.Resource,
        name: str,
        namespace: str = "",
        *,
        options: opts.DeleteOptions = opts.DEFAULT_DELETE,
    ) -> results.Written:
        """Delete an object, at once or (grace, finalizers) by setting its deletionTimestamp."""
        return deletion.delete(self, self.resolve(ref), name, namespace, options)

    def delete_collection(
        self,
        ref: str | catalogues.Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        options: opts.DeleteOptions = opts.DEFAULT_DELETE,
    ) -> WrittenList:
        """Delete every object that the selectors match, each as `delete` would."""
        resource = self.resolve(ref)
        page = self.list(
            resource, namespace, label_selector=label_selector, field_selector=field_selector
        )
        return [
            deletion.delete(self, resource, entry.name, entry.namespace, options)
            for entry in page.entries
        ]

    def bind(self, pod: str, node: str, namespace: str = "default") -> results.Written:
        """Bind a pod to a node, as a scheduler does."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod, "namespace": namespace},
            "target": {"kind": "Node", "name": node},
        }
        return self.create("pods", binding, namespace, name=pod, subresource="binding")

    def context(
        self, options: opts.WriteOptions | opts.DeleteOptions, subresource: str = ""
    ) -> strategies.WriteContext:
        """Return what strategies may know of a write."""
        return strategies.WriteContext(
            reader=self,
            now=self.now_of(options),
            ids=self.ids_of(options),
            user=options.user,
            subresource=subresource,
            dry_run=options.dry_run,
        )

    # ------------------------------------------------------------------ commits (for the verbs)

    def keep_parsed(self) -> forms.Parsed:
        """Keep parsed forms of what is committed from now on, for whoever follows the commits."""
        if self.parsed is None:
            self.parsed = forms.Parsed()
        return self.parsed

    def working(self, resource: catalogues.Resource, entry: stored.Entry) -> objects.Object:
        """Return an object as verbs change it (`Resource.working`); shared, not to be changed."""
        if self.parsed is None or resource.from_storage is not None or resource.custom:
            return entry.working(resource)
        return self.parsed.load(entry)

    def commit(self, resource: catalogues.Resource, key: str, obj: objects.Object) -> stored.Entry:
        """Keep an object's new version (in its storage version) and return its entry."""
        revision = self.store.counter.take()
        obj["metadata"]["resourceVersion"] = str(revision)
        entry = stored.Entry(key, revision, head_of(resource), obj)
        if self.parsed is not None and resource.from_storage is None and not resource.custom:
            self.parsed.keep(entry, obj)
        event = self.store.put(resource.storage, entry)
        hooks.committed(self, resource, event)
        return entry

    def drop(self, resource: catalogues.Resource, key: str, last: objects.Object) -> stored.Entry:
        """Remove an object; `last` is its final state. Returns that state's entry."""
        revision = self.store.counter.take()
        last["metadata"]["resourceVersion"] = str(revision)
        entry = stored.Entry(key, revision, head_of(resource), last)
        event = self.store.remove(resource.storage, entry)
        hooks.committed(self, resource, event)
        return entry

    def head(self, resource: catalogues.Resource) -> bytes:
        """Return the bytes of kind and apiVersion that a resource's entries share."""
        return head_of(resource)

    def load(self, items: Iterable[objects.Object]) -> int:
        """Put objects in as they are, without defaults, validation or admission."""
        return loading.load(self, items)

    # ------------------------------------------------------------------ forks

    def fork(self, name: str = "", *, follow: bool = False) -> View:
        """Return a sandbox over this view: pinned to its present, or following it.

        Costs the number of resources, not of objects. Nothing done in it is visible outside; a
        pinned one sees nothing of what happens outside either.
        """
        store = self.store.follow() if follow else self.store.fork()
        return View(name or f"{self.name}-fork", store, self.shared, self)

    def at(self, revision: int) -> View:
        """Return this view as it was at a revision, as a sandbox of its own (time travel).

        Reads of a resource whose state then is no longer kept raise ExpiredError.

        Raises:
            TimeoutApiError: The revision is still to come.
        """
        if revision > self.revision:
            raise reads.too_large(revision, self.revision)
        return View(f"{self.name}@{revision}", self.store.at(revision), self.shared, self)

    def compare(self, other: View) -> sandboxes.Diff:
        """Return what differs from this state to another one's."""
        return sandboxes.compare(self.store, other.store)

    def diff(self) -> sandboxes.Diff:
        """Return what differs from the parent: created, changed and deleted here."""
        return sandboxes.diff(self)

    def promote(self) -> sandboxes.Diff:
        """Apply this sandbox's changes to its parent in one step, or change nothing.

        Raises:
            ConflictError: Keys changed on both sides; every one is listed in the causes.
        """
        return sandboxes.promote(self)

    def close(self) -> None:
        """End the view's watches and stop following; harmless when repeated."""
        for watch in tuple(self._watches):
            watch.close()
        self._watches.clear()
        if isinstance(self.store, stores.FollowingStore) and self.parent is not None:
            self.parent.store.forget(self.store)


def key_of(resource: catalogues.Resource, namespace: str, name: str) -> str:
    """Return an object's key in its store: `namespace/name`, or the name."""
    return f"{namespace}/{name}" if resource.namespaced else name


_HEADS: dict[tuple[str, str], bytes] = {}


def head_of(resource: catalogues.Resource) -> bytes:
    """Return the bytes of kind and apiVersion that entries of a resource share."""
    if resource.custom:
        return b"{"
    cached = _HEADS.get((resource.storage_version, resource.kind))
    if cached is None:
        cached = stored.head_of(resource.storage_version, resource.kind)
        _HEADS[resource.storage_version, resource.kind] = cached
    return cached
