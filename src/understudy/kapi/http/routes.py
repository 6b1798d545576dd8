"""From a request to a verb of a view, and from the verb's outcome to an answer.

Order, as in kube-apiserver: authenticate, impersonate, authorize, find the resource, check the
method, negotiate, read parameters and body, call the verb.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from typing import Protocol

from understudy.aio import tasks
from understudy.kapi import settings
from understudy.kapi.http import (
    auth,
    bodies,
    documents,
    exchanges,
    health,
    metrics,
    negotiation,
    parameters,
    pasts,
    rendering,
    requests,
    responses,
    reviews,
    streams,
    subresources,
    tables,
    views_api,
)
from understudy.kapi.resources import calls, catalogue, strategies
from understudy.kapi.store import entries as stored
from understudy.kapi.views import results, subresources as view_subresources, view as views
from understudy.kube import objects, raws, statuses

log = logging.getLogger(__name__)

NOT_FOUND = "the server could not find the requested resource"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
_NAMED_VERBS = frozenset({"get", "update", "patch", "delete"})
_COLLECTION_VERBS = frozenset({"list", "watch", "create", "deletecollection"})
_READS = frozenset({"list", "watch"})
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_DEPRECATED = {
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
}


class Views(Protocol):
    """The views of a server by name."""

    def view(self, name: str) -> views.View | None:
        """Return the view of a name (empty: the base view), or None."""
        ...


class Call:
    """One request on its way through."""

    __slots__ = (
        "attempt", "choice", "done", "page", "path", "query", "request", "resource", "user",
        "verb", "view",
    )  # fmt: skip

    def __init__(
        self,
        request: exchanges.Request,
        path: requests.Path,
        query: requests.Query,
        view: views.View,
        user: strategies.UserInfo,
        verb: str,
    ) -> None:
        self.request = request
        self.path = path
        self.query = query
        self.view = view
        self.user = user
        self.verb = verb
        self.choice = negotiation.PLAIN
        self.attempt: calls.Attempt | None = None
        self.done: tuple[results.Written, int] | None = None
        self.page: results.Page | None = None

    resource: catalogue.Resource

    @property
    def namespace(self) -> str:
        """The namespace the request is about, empty for cluster-scoped resources."""
        return self.path.namespace if self.resource.namespaced else ""

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return self.request.header(b"content-type")

    @property
    def user_agent(self) -> str:
        """The User-Agent header."""
        return self.request.header(b"user-agent")

    @property
    def indent(self) -> bool:
        """Whether the answer is laid out for people."""
        return wants_indent(self.choice, self.query, self.request)

    @property
    def warnings(self) -> list[responses.Header]:
        """Headers that every answer about this resource has."""
        resource = self.resource
        text = resource.deprecation
        if not text and not resource.group:
            text = _DEPRECATED.get(resource.plural, "")
        return [responses.warning(text)] if text else []


def wants_indent(
    choice: negotiation.Choice, query: requests.Query, request: exchanges.Request
) -> bool:
    """Say whether JSON is indented for this request."""
    agent = request.headers.get(b"user-agent", b"")
    if query is requests.EMPTY_QUERY and choice.pretty is None:
        return agent.startswith((b"curl", b"Wget", b"Mozilla/5.0"))
    return negotiation.pretty(choice, query.get("pretty"), agent.decode("latin-1"))


class Api:
    """The handler of a server: a function from requests to answers."""

    def __init__(
        self,
        *,
        limits: settings.HttpLimits,
        base_view: str,
        registry: Views,
        authenticator: auth.Authenticator,
        authorizer: auth.Authorizer,
        sandboxes: views_api.ViewsApi,
        health_checks: health.Health,
        counters: metrics.Metrics,
        bookmarks: bool = True,
    ) -> None:
        self.pods = subresources.Pods(limits)
        self.open_watches = 0
        self._frames = streams.Frames()
        self._tasks = tasks.TaskSet(_failed)
        self._pasts = pasts.Pasts()
        self._limits = limits
        self._targets = requests.Targets(base_view, limits.route_cache_max)
        self._registry = registry
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._open_to_all = isinstance(authorizer, auth.AllowAll)
        self._reviews = reviews.Reviews(authenticator, authorizer)
        self._documents = documents.Documents(authenticator.issuer, health_checks, limits)
        self._sandboxes = sandboxes
        self._health = health_checks
        self._metrics = counters
        self._verbs: dict[str, Callable[[Call], exchanges.Answer]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def __call__(
        self, request: exchanges.Request
    ) -> exchanges.Answer | Coroutine[None, None, exchanges.Answer]:
        """Answer a request, later if webhooks have to be called; refusals are answers too."""
        path, query = self._targets.parse(request.target)
        try:
            view = self._registry.view(path.view)
            if view is None:
                return self._unknown_view(request, path)
            user = self._user(request, view)
            if path.resource:
                return self._on_resource(request, path, query, view, user)
            return self._elsewhere(request, path, query, view, user)
        except statuses.ApiError as error:
            return self._refuse(error, request, query)

    def user_name(self, request: exchanges.Request) -> str:
        """Return whom a request is taken for, empty where nobody known may be."""
        path, _ = self._targets.parse(request.target)
        view = self._registry.view(path.view) or self._registry.view("")
        assert view is not None, "a server has a base view"
        try:
            return self._user(request, view).username
        except statuses.ApiError:
            return ""

    def _user(self, request: exchanges.Request, view: views.View) -> strategies.UserInfo:
        user = self._authenticator.authenticate(request, view)
        if auth.is_impersonating(request):
            user = auth.impersonate(request, view, user, self._authorizer)
        return user

    def _refuse(
        self, error: statuses.ApiError, request: exchanges.Request, query: requests.Query
    ) -> responses.Response:
        choice = negotiation.for_errors(request.header(b"accept"))
        return rendering.error(error, choice, indent=wants_indent(choice, query, request))

    def _unknown_view(self, request: exchanges.Request, path: requests.Path) -> responses.Response:
        """Refuse a path whose first part names no view; who may not ask learns nothing else."""
        base = self._registry.view("")
        assert base is not None, "a server has a base view"
        user = self._user(request, base)
        whole = f"/{path.view}{path.text.rstrip('/')}"
        self._authorize(base, auth.Attributes(user, request.method.lower(), path=whole))
        if path.api:
            raise statuses.NotFoundError(
                f'views "{path.view}" not found: GET /views lists those there are',
                details={"name": path.view, "kind": "views"},
            )
        return responses.page_not_found()

    def _authorize(self, view: views.View, attributes: auth.Attributes) -> None:
        decision = self._authorizer.decide(view, attributes)
        if not decision.allowed:
            raise auth.forbidden(attributes, decision.reason)

    # -- paths that are no resources

    def _elsewhere(
        self,
        request: exchanges.Request,
        path: requests.Path,
        query: requests.Query,
        view: views.View,
        user: strategies.UserInfo,
    ) -> exchanges.Answer:
        if not self._open_to_all:
            self._authorize(
                view, auth.Attributes(user, request.method.lower(), path=path.text or "/")
            )
        text = path.text.rstrip("/")
        if (answer := self._health.answer(text, query)) is not None:
            return answer
        if text == "/metrics":
            return responses.Response(200, self._metrics.text().encode(), metrics.CONTENT_TYPE)
        # Only under the base: a sandbox's own rules say nothing about other views.
        if path.revision is not None:
            view = self._pasts.of(view, path.revision)
        elif not path.view and (text == "/views" or text.startswith("/views/")):
            return self._sandboxes.answer(request, text)
        return self._documents.answer(request, path, query, view)

    # -- resources

    def _on_resource(
        self,
        request: exchanges.Request,
        path: requests.Path,
        query: requests.Query,
        view: views.View,
        user: strategies.UserInfo,
    ) -> exchanges.Answer | Coroutine[None, None, exchanges.Answer]:
        verb = requests.verb_of(request.method, path, query)
        if not self._open_to_all:
            self._authorize(view, _attributes(user, verb or request.method.lower(), path, query))
        if path.revision is not None:
            # Who may read it is for the present to say.
            view = self._pasts.of(view, path.revision)
            pasts.check(view, "connect" if path.subresource in subresources.CONNECTS else verb)
        call = Call(request, path, query, view, user, verb)
        known = view.catalogue
        resource = known.find(path.group, path.version, path.resource)
        if resource is None:
            return self._unknown_resource(known, path)
        if resource.custom and _is_misplaced(resource, path, verb):
            return responses.page_not_found()
        call.resource = resource
        if path.subresource in subresources.CONNECTS:
            return self._connect(call)
        if verb in _WRITES or resource.conversion is not None:
            call.attempt = view.attempt(resource)
        try:
            answer = self._answer(call)
        except calls.WaitingError as waiting:
            return self._answer_later(call, waiting.wanted)
        self._metrics.count(verb, path.group, path.version, path.resource, answer.status)
        return answer

    def _counted(self, call: Call, answer: exchanges.Answer) -> exchanges.Answer:
        path = call.path
        self._metrics.count(call.verb, path.group, path.version, path.resource, answer.status)
        return answer

    def _answer(self, call: Call) -> exchanges.Answer:
        """Answer a request about a resource.

        Raises:
            WaitingError: Webhooks have to be called first.
        """
        try:
            _check_method(call)
            self._negotiate(call)
            if call.done is not None:
                # What is left is to show what came of it.
                return self._written(call, *call.done)
            return self._verbs[call.verb](call)
        except statuses.ApiError as error:
            return self._refusal(call, error)

    def _connect(self, call: Call) -> exchanges.Answer | Coroutine[None, None, exchanges.Answer]:
        """Answer a request on what a runtime serves: logs, commands, ports."""
        path, view = call.path, call.view
        try:
            _check_method(call)
            if path.subresource in subresources.CREATING and not self._open_to_all:
                self._authorize(view, _attributes(call.user, "create", path, call.query))
            answer = self.pods.connect(
                view,
                call.resource.plural,
                path,
                call.query,
                call.request,
                is_base=view is self._registry.view(""),
            )
        except statuses.ApiError as error:
            return self._counted(call, self._refusal(call, error))
        if isinstance(answer, (responses.Response, exchanges.Stream)):
            return self._counted(call, answer)
        return self._connect_later(call, answer)

    async def _connect_later(
        self, call: Call, connecting: Awaitable[exchanges.Answer]
    ) -> exchanges.Answer:
        try:
            answer = await connecting
        except statuses.ApiError as error:
            answer = self._refusal(call, error)
        return self._counted(call, answer)

    def _refusal(self, call: Call, error: statuses.ApiError) -> responses.Response:
        choice = negotiation.for_errors(call.request.header(b"accept"))
        indent = wants_indent(choice, call.query, call.request)
        return rendering.error(error, choice, indent=indent, headers=call.warnings)

    async def _answer_later(self, call: Call, wanted: Sequence[calls.Call]) -> exchanges.Answer:
        """Answer once webhooks were called."""
        attempt = call.attempt
        assert attempt is not None, "only attempts wait"
        try:
            await attempt.learn(wanted)
            answer = await attempt.complete(lambda: self._answer(call))
        except statuses.ApiError as error:
            answer = self._refusal(call, error)
        return self._counted(call, answer)

    def _unknown_resource(
        self, known: catalogue.Catalogue, path: requests.Path
    ) -> responses.Response:
        served = [resource for resource in known.resources if resource.group == path.group]
        if not served or served[0].custom:
            # Groups of custom resources are served by path alone: a wrong one is no path at all.
            return responses.page_not_found()
        raise statuses.NotFoundError(NOT_FOUND, details={})

    @staticmethod
    def _negotiate(call: Call) -> None:
        accept = call.request.headers.get(b"accept")
        if accept is None or accept in (b"application/json", b"*/*"):
            return
        endpoint: negotiation.Endpoint = "object"
        if call.verb in _READS:
            endpoint = "watch" if call.verb == "watch" else "list"
        call.choice = negotiation.choose(
            call.request.header(b"accept"), endpoint, custom=call.resource.custom
        )

    # -- reads

    def _get(self, call: Call) -> exchanges.Answer:
        resource, path = call.resource, call.path
        entry = call.view.get_entry(
            resource, path.name, call.namespace, call.query.get("resourceVersion")
        )
        if resource.conversion is not None:
            call.view.convert(resource, [entry], call.attempt)
        if path.subresource == "scale":
            return self._object(call, view_subresources.scale_of(resource, entry))
        if call.choice.form:
            return self._object(call, entry.object(resource))
        return rendering.json_bytes(
            entry.body(resource, b"\n"), call.choice, indent=call.indent, headers=call.warnings
        )

    def _list(self, call: Call) -> exchanges.Answer:
        options = parameters.list_options(call.query, watch=False)
        page = self._page(call, options)
        metadata = rendering.list_metadata(page.revision, page.continue_token, page.remaining)
        return self._list_answer(call, page, metadata)

    @staticmethod
    def _page(call: Call, options: parameters.ListOptions) -> results.Page:
        return call.view.list(
            call.resource,
            call.namespace,
            label_selector=options.label_selector,
            field_selector=options.field_selector,
            # The watch cache of the real server, which answers version 0, knows no pages.
            limit=0 if options.resource_version == "0" else options.limit,
            continue_token=options.continue_token,
            resource_version=options.resource_version,
            resource_version_match=options.resource_version_match,
        )

    def _list_answer(
        self, call: Call, page: results.Page, metadata: objects.Object, warnings: Iterable[str] = ()
    ) -> exchanges.Answer:
        call.view.convert(call.resource, page.entries, call.attempt)
        headers = [*call.warnings, *(responses.warning(text) for text in warnings)]
        if call.choice.form:
            shown = tables.of_list(
                call.resource,
                page.entries,
                metadata,
                call.choice,
                call.view.now(),
                parameters.include_object(call.query),
            )
            return rendering.json_value(shown, call.choice, indent=call.indent, headers=headers)
        body = rendering.list_body(call.resource, page.entries, metadata)
        return rendering.json_bytes(body, call.choice, indent=call.indent, headers=headers)

    def _watch(self, call: Call) -> exchanges.Answer:
        options = parameters.list_options(call.query, watch=True)
        include = parameters.include_object(call.query) if call.choice.form == "Table" else ""
        if self.open_watches >= self._limits.watches_max:
            raise statuses.TooManyRequestsError(
                f"this server has {self._limits.watches_max} open watches, as many as it allows",
                details={"retryAfterSeconds": 5},
            )
        legacy = options.send_initial_events is None and options.resource_version in ("", "0")
        field_selector = options.field_selector
        if call.path.name:
            named = f"metadata.name={call.path.name}"
            field_selector = f"{field_selector},{named}" if field_selector else named
        watch = call.view.watch(
            call.resource,
            call.namespace,
            label_selector=options.label_selector,
            field_selector=field_selector,
            resource_version=options.resource_version,
            send_initial_events=bool(options.send_initial_events) or legacy,
        )
        limits = self._limits
        lifetime = options.timeout_s or call.view.ids.integer(
            limits.watch_timeout_min_s, 2 * limits.watch_timeout_min_s
        )
        self.open_watches += 1
        return streams.WatchStream(
            watch,
            streams.Form(call.resource, call.choice, include, call.view.now, self._frames),
            timeout_s=lifetime,
            bookmark_every_s=limits.bookmark_interval_s if options.allow_bookmarks else None,
            revision=lambda: call.view.revision,
            on_closed=self._watch_closed,
            headers=tuple(call.warnings),
            convert=self._converter(call),
        )

    def _converter(self, call: Call) -> streams.Convert | None:
        """Return how a watch gets its objects in its version, None where it has them."""
        resource, view = call.resource, call.view
        if resource.conversion is None or call.attempt is None:
            return None

        async def converted(entries: Sequence[stored.Entry], then: streams.Then) -> None:
            try:
                await view.converted(resource, entries)
            except statuses.ApiError as error:
                then(error)
            else:
                then(None)

        def convert(entries: Sequence[stored.Entry], then: streams.Then) -> None:
            self._tasks.start("conversion for a watch", converted(entries, then))

        return convert

    async def close(self) -> None:
        """Stop what goes on behind watches."""
        await self._tasks.stop()

    def _watch_closed(self) -> None:
        self.open_watches -= 1

    # -- writes

    def _create(self, call: Call) -> exchanges.Answer:
        resource, path = call.resource, call.path
        kind = resource.kind
        if path.subresource:
            kind = resource.subresources[path.subresource].kind.kind
        obj, duplicates = self._body(call, kind)
        options = parameters.write_options(
            call.query,
            "CreateOptions",
            user=call.user,
            user_agent=call.user_agent,
            duplicates=duplicates,
            attempt=call.attempt,
        )
        if self._reviews.answers(resource):
            answered, warnings = self._reviews.create(
                call.view, resource, obj, call.namespace, options
            )
            headers = [*call.warnings, *(responses.warning(text) for text in warnings)]
            return self._object(call, answered, 201, headers)
        if path.subresource == "token":
            account = call.view.get(resource, path.name, call.namespace)
            answered = self._reviews.request_token(
                call.view, account, obj, self._documents.token_request(call.view), options
            )
            return self._object(call, answered, 201)
        if (resource.group, resource.plural) == ("", "bindings"):
            return self._written(
                call,
                call.view.create(
                    "pods",
                    obj,
                    call.namespace,
                    subresource="binding",
                    options=options,
                    owned=True,
                ),
            )
        return self._written(
            call,
            call.view.create(
                resource,
                obj,
                call.namespace,
                name=path.name,
                subresource=path.subresource,
                options=options,
                owned=True,
            ),
        )

    def _update(self, call: Call) -> exchanges.Answer:
        resource, path = call.resource, call.path
        kind = "Scale" if path.subresource == "scale" else resource.kind
        obj, duplicates = self._body(call, kind)
        options = parameters.write_options(
            call.query,
            "UpdateOptions",
            user=call.user,
            user_agent=call.user_agent,
            duplicates=duplicates,
            attempt=call.attempt,
        )
        return self._written(
            call,
            call.view.update(
                resource,
                obj,
                call.namespace,
                name=path.name,
                subresource=path.subresource,
                options=options,
                owned=True,
            ),
        )

    def _patch(self, call: Call) -> exchanges.Answer:
        resource, path = call.resource, call.path
        patch_type = call.content_type.partition(";")[0].strip()
        if patch_type not in negotiation.patch_types(custom=resource.custom):
            raise negotiation.unsupported_patch(custom=resource.custom)
        options = parameters.write_options(
            call.query,
            "PatchOptions",
            user=call.user,
            user_agent=call.user_agent,
            applies=patch_type == negotiation.APPLY_PATCH,
            attempt=call.attempt,
        )
        patch, complaints = bodies.parse_patch(
            call.request.body, patch_type, depth_max=self._limits.json_depth_max
        )
        if complaints and patch_type != negotiation.APPLY_PATCH:
            options = dataclasses.replace(options, duplicates=tuple(complaints))
            complaints = []
        written = call.view.patch(
            resource,
            path.name,
            patch,
            call.namespace,
            patch_type=patch_type,
            subresource=path.subresource,
            options=options,
        )
        written.warnings += complaints
        return self._written(call, written)

    def _delete(self, call: Call) -> exchanges.Answer:
        asked = bodies.parse_delete_options(
            call.request.body, call.content_type, depth_max=self._limits.json_depth_max
        )
        options = parameters.delete_options(call.query, asked, user=call.user, attempt=call.attempt)
        path = call.path
        written = call.view.delete(call.resource, path.name, call.namespace, options=options)
        status = 200
        if options.orphan_dependents is False and not options.dry_run:
            still_there = call.view.entry(call.resource, call.namespace, path.name) is not None
            status = 202 if still_there else 200
        return self._written(call, written, status)

    def _delete_collection(self, call: Call) -> exchanges.Answer:
        selected = parameters.list_options(call.query, watch=False)
        asked = bodies.parse_delete_options(
            call.request.body, call.content_type, depth_max=self._limits.json_depth_max
        )
        options = parameters.delete_options(call.query, asked, user=call.user, attempt=call.attempt)
        # Run again after a webhook was called, it goes on with what was there at first.
        page = call.page = call.page or self._page(call, selected)
        warnings: dict[str, None] = {}
        for entry in page.entries:
            try:
                written = call.view.delete(
                    call.resource, entry.name, entry.namespace, options=options
                )
                warnings |= dict.fromkeys(written.warnings)
            except statuses.NotFoundError:
                # Gone with one deleted before it: what was asked for holds.
                continue
        metadata = rendering.list_metadata(page.revision, page.continue_token, page.remaining)
        return self._list_answer(call, page, metadata, warnings)

    # -- answers

    def _body(self, call: Call, kind: str) -> tuple[objects.Object, tuple[str, ...]]:
        obj, duplicates = bodies.parse_object(
            call.request.body,
            call.content_type,
            kind,
            custom=call.resource.custom,
            depth_max=self._limits.json_depth_max,
        )
        patterns = call.resource.strategy.raw_fields
        if patterns and negotiation.body_type(call.content_type) == bodies.JSON:
            raws.mark(call.request.body, obj, patterns)
        return obj, duplicates

    def _written(self, call: Call, written: results.Written, status: int = 200) -> exchanges.Answer:
        call.done = written, status
        if written.entry is not None:
            call.view.convert(call.resource, [written.entry], call.attempt)
        headers = call.warnings
        if written.warnings:
            headers += [responses.warning(text) for text in dict.fromkeys(written.warnings)]
        if written.created:
            status = 201
        if call.choice.form:
            return self._object(call, written.object(), status, headers)
        return rendering.json_bytes(
            written.body(b"\n"), call.choice, indent=call.indent, status=status, headers=headers
        )

    def _object(
        self,
        call: Call,
        obj: objects.Object,
        status: int = 200,
        headers: list[responses.Header] | None = None,
    ) -> exchanges.Answer:
        shown: objects.Json = obj
        if call.choice.form:
            shown = tables.of_object(
                call.resource,
                obj,
                call.choice,
                call.view.now(),
                parameters.include_object(call.query),
            )
        return rendering.json_value(
            shown,
            call.choice,
            indent=call.indent,
            status=status,
            headers=call.warnings if headers is None else headers,
        )


def _failed(name: str, failure: BaseException) -> None:
    log.error("%s failed", name, exc_info=failure)


def _check_method(call: Call) -> None:
    """Refuse what the resource does not offer at this place: 404 for no place, 405 for no verb.

    Raises:
        NotFoundError, MethodNotAllowedError: as said.
    """
    resource, path, verb = call.resource, call.path, call.verb
    if resource.custom:
        _check_custom_method(call)
        return
    misplaced = (
        bool(path.name) and not path.namespace
        if resource.namespaced
        else bool(path.namespace) and resource.plural != "namespaces"
    )
    if misplaced:
        raise statuses.NotFoundError(NOT_FOUND, details={})
    if path.subresource:
        sub = resource.subresources.get(path.subresource)
        if sub is None or (path.rest and path.subresource != "proxy"):
            raise statuses.NotFoundError(NOT_FOUND, details={})
        offered = verb in sub.verbs
    elif path.name:
        offered = verb in resource.verbs and (
            verb in _NAMED_VERBS or (path.watch and verb == "watch")
        )
        if not offered and _NAMED_VERBS.isdisjoint(resource.verbs):
            raise statuses.NotFoundError(NOT_FOUND, details={})
    else:
        everywhere = resource.namespaced and not path.namespace
        offered = verb in resource.verbs and verb in (_READS if everywhere else _COLLECTION_VERBS)
    if not offered or call.request.method in ("HEAD", "OPTIONS"):
        raise statuses.MethodNotAllowedError(NOT_ALLOWED, details={})


def _is_misplaced(resource: catalogue.Resource, path: requests.Path, verb: str) -> bool:
    """Say whether a custom resource is not served under this path at all."""
    if not resource.namespaced:
        return bool(path.namespace)
    return not path.namespace and verb not in _READS


def _check_custom_method(call: Call) -> None:
    """Refuse what a custom resource does not offer, in the words of its own server.

    Raises:
        NotFoundError, MethodNotAllowedError: Naming the resource.
        BadRequestError: A verb that needs a name has none.
    """
    resource, path, verb = call.resource, call.path, call.verb
    if path.subresource and path.subresource not in resource.subresources:
        raise statuses.not_found(resource.group_resource, path.name)
    offered: Collection[str] = _NAMED_VERBS | _COLLECTION_VERBS
    if path.subresource:
        offered = resource.subresources[path.subresource].verbs
    if verb not in offered or call.request.method in ("HEAD", "OPTIONS"):
        raise statuses.MethodNotAllowedError(
            f'{verb} is not supported on resources of kind "{resource.group_resource}"',
            details={"group": resource.group, "kind": resource.plural},
        )
    if not path.name and verb in _NAMED_VERBS:
        raise statuses.BadRequestError("name must be provided")


def _attributes(
    user: strategies.UserInfo, verb: str, path: requests.Path, query: requests.Query
) -> auth.Attributes:
    name = path.name
    if not name and verb in ("list", "watch", "deletecollection"):
        # `fieldSelector=metadata.name=x` asks for one object, and resourceNames may allow it.
        selector = query.get("fieldSelector")
        if selector.startswith("metadata.name=") and "," not in selector:
            name = selector.removeprefix("metadata.name=").removeprefix("=")
    return auth.Attributes(
        user,
        verb,
        group=path.group,
        resource=path.resource,
        subresource=path.subresource,
        namespace=path.namespace,
        name=name,
    )
