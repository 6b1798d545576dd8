"""The delivery commands on many instances at once: `--instance '*'`, `'prod-*'`, `a,b`.

Exit codes: of `plan` and `drift` the gravest of the instances', where an error is graver than
blocked, and that than changes; of `deliver` the failures' own where it is one and the same, else 1.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, ParamSpec

import click
import orjson

from understudy.cli import sessions
from understudy.delivery import (
    deliveries,
    errors,
    fleets,
    outcomes,
    plans,
    render,
)
from understudy.kube import objects
from understudy.platform import errors as platform_errors
from understudy.platform.hub import clients

P = ParamSpec("P")
PLANNED_AT_ONCE = 4
"""Instances that are rehearsed at a time: reading overlaps, thinking does not."""
CHANGED, BLOCKED = 2, 3
_GRAVITY = (sessions.ERROR, BLOCKED, CHANGED, 0)
_COUNTED = (
    outcomes.Op.CREATE, outcomes.Op.CHANGE, outcomes.Op.RECREATE, outcomes.Op.ADOPT,
    outcomes.Op.DELETE, outcomes.Op.KEEP, outcomes.Op.UNCHANGED,
)  # fmt: skip


def rolling_out(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options that say how an application comes to many instances."""
    added = (
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            help="Instances at a time, with --instance '*'; by default 1.",
        ),
        click.option(
            "--stop-on-failure", is_flag=True, help="Begin no further instances after a failure."
        ),
        click.option(
            "--rollback-all",
            is_flag=True,
            help="After a failure go back on the instances delivered to before, too.",
        ),
    )
    for option in reversed(added):
        command = option(command)
    return command


def rollout(
    where: sessions.Where, batch_size: int | None, *, stop_on_failure: bool, rollback_all: bool
) -> fleets.RolloutSettings | None:
    """Return how an application comes to many instances; None for one.

    Raises:
        UsageError: It is said how, and there is only one.
    """
    if where.cluster.is_fleet:
        return fleets.RolloutSettings(
            batch_size=batch_size or 1,
            stop_on_failure=stop_on_failure,
            rollback_all=rollback_all,
        )
    if batch_size is not None or stop_on_failure or rollback_all:
        raise click.UsageError(
            "--batch-size, --stop-on-failure and --rollback-all are for several instances: "
            "--instance '*'"
        )
    return None


Rehearse = Callable[[sessions.Session], Awaitable[plans.Plan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An instance that could not be rehearsed, and why."""

    code: int
    messages: tuple[str, ...]


Planned = plans.Plan | Failed


async def instances(where: sessions.Where) -> tuple[list[str], dict[str, str]]:
    """Return the instances that the pattern means: those with an agent, and why others have none.

    An instance whose agent has never come is no part of a fleet yet, unless it is named.

    Raises:
        PlatformError: The hub cannot be asked, or has no such instance.
    """
    cluster = where.cluster
    assert cluster.hub is not None, "a fleet is reached through a hub"
    assert cluster.instance is not None, "a fleet has a pattern"
    patterns = cluster.instance.split(",")
    async with clients.HubClient(cluster.hub) as hub:
        known = {one["instance"]: one["state"] for one in await hub.instances()}
    meant = {name for name in known if any(fnmatch.fnmatchcase(name, p) for p in patterns)}
    named = {pattern for pattern in patterns if not any(sign in pattern for sign in "*?[")}
    absent = {name: "its agent is not connected" for name in meant if known[name] == "lost"}
    absent |= dict.fromkeys(named - meant, "the hub knows no such instance")
    absent |= {
        name: "its agent has never connected"
        for name in named & meant
        if known[name] == "never_seen"
    }
    found = [name for name in sorted(meant) if known[name] == "connected"]
    if not found and not absent:
        there = ", ".join(known) or "none at all"
        raise platform_errors.NotFoundError(
            f"no agent of {cluster.instance!r} has connected to {cluster.hub.url}; it knows {there}"
        )
    return found, absent


def _at(where: sessions.Where, name: str) -> sessions.Where:
    """Return one instance of a fleet."""
    return dataclasses.replace(where, cluster=dataclasses.replace(where.cluster, instance=name))


# ---------------------------------------------------------------------- planning


def plan(
    where: sessions.Where,
    name: str,
    rehearse: Rehearse,
    *,
    kind: str = "Plan",
    exit_zero: bool = False,
) -> NoReturn:
    """Rehearse on every instance, show the matrix, and exit."""

    async def work() -> int:
        found = await _planned(where, rehearse)
        _show(where, name, found, kind)
        codes = {_code(one) for one in found.values()}
        code = next(code for code in _GRAVITY if code in codes)
        return 0 if code == CHANGED and exit_zero else code

    sessions.execute(where, work)


async def _planned(where: sessions.Where, rehearse: Rehearse) -> dict[str, Planned]:
    names, absent = await instances(where)
    found: dict[str, Planned] = {
        name: Failed(code=sessions.ERROR, messages=(why,)) for name, why in absent.items()
    }
    wrong: list[errors.ManifestError] = []
    free = asyncio.Semaphore(PLANNED_AT_ONCE)

    async def one(name: str) -> None:
        async with free, sessions.opened(_at(where, name)) as session:
            try:
                found[name] = await rehearse(session)
            except errors.ManifestError as error:
                wrong.append(error)
            except sessions.EXPECTED as error:
                found[name] = Failed(
                    code=sessions.code_of(error), messages=tuple(sessions.messages(error))
                )
        _progress(len(found) - len(absent), len(names))

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    if wrong:
        # The input is wrong, and it is the same everywhere.
        raise wrong[0]
    return dict(sorted(found.items()))


def _progress(done: int, total: int) -> None:
    """Show how far the rehearsals are, where somebody sees it."""
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {_instances(total)} rehearsed", nl=done == total, err=True)


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"


def _code(one: Planned) -> int:
    if isinstance(one, Failed):
        return one.code if one.code == BLOCKED else sessions.ERROR
    return BLOCKED if one.is_stopped else CHANGED if one.has_changes else 0


def _show(where: sessions.Where, name: str, found: Mapping[str, Planned], kind: str) -> None:
    made = {key: one for key, one in found.items() if isinstance(one, plans.Plan)}
    comparison = fleets.compare(made)
    if where.output == "text":
        sessions.print_lines(_matrix(name, found, comparison, kind))
        return
    if where.output == "jsonl":
        for key, one in found.items():
            sessions.print_json({"type": kind.lower(), "instance": key, **_as_dict(one)})
        return
    body: objects.Object = {
        "instances": [{"instance": key, **_as_dict(one)} for key, one in found.items()],
        "norm": list(comparison.norm),
        "outliers": [one.as_dict() for one in comparison.outliers],
    }
    sessions.print_json(body)


def _as_dict(one: Planned) -> objects.Object:
    if isinstance(one, Failed):
        return {"exitCode": _code(one), "messages": list(one.messages)}
    return {"exitCode": _code(one), "plan": one.as_dict()}


def _matrix(
    name: str, found: Mapping[str, Planned], comparison: fleets.Comparison, kind: str
) -> Iterator[str]:
    """Yield instances by operations, and then what is different where."""
    made = [one for one in found.values() if isinstance(one, plans.Plan)]
    shown = [op for op in _COUNTED if any(one.count(op) for one in made)]
    rows = [("Instance", "Revision", *(str(op).capitalize() for op in shown), "Result")]
    for key, one in found.items():
        if isinstance(one, Failed):
            rows.append((key, "-", *("-" for _ in shown), sessions.paint("error", "red")))
            continue
        counts = (str(one.count(op) or "-") for op in shown)
        rows.append((key, one.revision or "-", *counts, _result(one)))
    yield f"{kind} for {name} on {_instances(len(found))}"
    yield from render.columns(rows)
    if comparison.outliers:
        yield ""
        yield f"Alike: {', '.join(comparison.norm)}"
    for outlier in comparison.outliers:
        yield f"{outlier.instance} differs:"
        yield from (f"  also {what} {ref}" for what, ref in outlier.also)
        yield from (f"  not {what} {ref}" for what, ref in outlier.missing)
    for key, one in found.items():
        messages = one.messages if isinstance(one, Failed) else [str(b) for b in one.blocked]
        yield from (sessions.paint(f"{key}: {message}", "red") for message in messages)


def _result(one: plans.Plan) -> str:
    if one.blocked:
        return sessions.paint(f"{len(one.blocked)} blocked", "red")
    unready = sum(effect.type == "unready" for effect in one.effects)
    if unready:
        return sessions.paint(f"changes, {unready} would not get ready", "red")
    return sessions.paint("changes", "yellow") if one.has_changes else "no change"


# ---------------------------------------------------------------------- delivering


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """What is delivered, and how.

    Attributes:
        options: Of each delivery; its `approve` is not asked.
        yes: Do not ask.
    """

    name: str
    read: sessions.Reading
    options: deliveries.Options
    rollout: fleets.RolloutSettings
    yes: bool


def deliver(where: sessions.Where, what: Delivering) -> NoReturn:
    """Rehearse on every instance, ask once, deliver in batches, and exit."""

    async def work() -> int:
        async def rehearse(session: sessions.Session) -> plans.Plan:
            owner = session.owner(what.name)
            given = await what.read(session, owner)
            return await session.deliveries.plan(owner, given, what.options)

        planned = await _planned(where, rehearse)
        if where.output != "json":
            _show(where, what.name, planned, "Plan")
        ready, results = _sorted_out(planned)
        careful = what.rollout.stop_on_failure or what.rollout.rollback_all
        if not ready or (results and careful):
            results |= dict.fromkeys(ready, fleets.Result(state=fleets.State.UNTOUCHED))
        elif not what.yes and not await _approved(len(ready)):
            sessions.say("Nothing was changed.")
            return 0
        else:
            site = _Site(where, what, ready)
            results |= await fleets.roll_out(list(ready), site.deliver, site.go_back, what.rollout)
        _conclude(where, what.name, dict(sorted(results.items())))
        return fleets.exit_code(results)

    sessions.execute(where, work)


def _sorted_out(
    planned: Mapping[str, Planned],
) -> tuple[dict[str, plans.Plan], dict[str, fleets.Result]]:
    """Return the plans that can be delivered, and what became of the others."""
    ready: dict[str, plans.Plan] = {}
    refused: dict[str, fleets.Result] = {}
    for name, one in planned.items():
        if isinstance(one, Failed):
            messages, code = one.messages, one.code
        elif one.blocked:
            messages, code = tuple(str(blocked) for blocked in one.blocked), BLOCKED
        else:
            ready[name] = one
            continue
        refused[name] = fleets.Result(state=fleets.State.FAILED, code=code, messages=messages)
    return ready, refused


async def _approved(count: int) -> bool:
    if not sys.stdin.isatty():
        raise errors.DeliveryError(
            "nothing was changed: standard input is no terminal to ask on; give --yes"
        )
    return await asyncio.to_thread(click.confirm, f"Deliver to {_instances(count)}?", default=False)


class _Site:
    """Delivers to one instance at a time what was planned for it, or takes it back."""

    def __init__(
        self,
        where: sessions.Where,
        what: Delivering,
        planned: Mapping[str, plans.Plan],
    ) -> None:
        self._where = where
        self._what = what
        self._planned = planned

    async def deliver(self, name: str) -> fleets.Result:
        """Deliver to an instance exactly what its plan said."""

        async def work(session: sessions.Session) -> fleets.Result:
            plan = self._planned[name]
            saved = plans.from_file(orjson.dumps(plan.as_file()), f"the plan for {name}")
            owner = session.owner(self._what.name)
            given, options = await self._what.read(session, owner), self._what.options
            done = await session.deliveries.deliver(owner, given, options, saved=saved)
            state = fleets.State.DELIVERED if done.changed else fleets.State.UNCHANGED
            return fleets.Result(state=state, revision=done.plan.revision)

        return await self._on(name, work)

    async def go_back(self, name: str) -> fleets.Result:
        """Deliver to an instance what it had before; without that it stays as it is."""
        before = self._planned[name].previous
        if not before:
            why = "there is no revision to go back to"
            return fleets.Result(
                state=fleets.State.KEPT, revision=self._planned[name].revision, messages=(why,)
            )

        async def work(session: sessions.Session) -> fleets.Result:
            owner = session.owner(self._what.name)
            done = await session.deliveries.rollback(owner, before, self._what.options)
            return fleets.Result(
                state=fleets.State.ROLLED_BACK,
                revision=done.plan.revision,
                messages=(f"back at what {before} was",),
            )

        return await self._on(name, work)

    async def _on(
        self, name: str, work: Callable[[sessions.Session], Awaitable[fleets.Result]]
    ) -> fleets.Result:
        async with sessions.opened(_at(self._where, name)) as session:
            session.label = name
            try:
                return await work(session)
            except sessions.EXPECTED as error:
                is_back = isinstance(error, errors.RolledBackError)
                return fleets.Result(
                    state=fleets.State.ROLLED_BACK if is_back else fleets.State.FAILED,
                    code=sessions.code_of(error),
                    messages=tuple(sessions.messages(error)),
                )


_COLOURS = {
    fleets.State.DELIVERED: "green",
    fleets.State.FAILED: "red",
    fleets.State.ROLLED_BACK: "yellow",
}


def _conclude(where: sessions.Where, name: str, results: Mapping[str, fleets.Result]) -> None:
    if where.output != "text":
        listed = [{"instance": key, **result.as_dict()} for key, result in results.items()]
        code = fleets.exit_code(results)
        sessions.print_json({"type": "result", "exitCode": code, "instances": listed})
        return
    rows = [("Instance", "Result", "Revision", "Why")]
    for key, result in results.items():
        shown = {"rolledBack": "rolled back"}.get(str(result.state), str(result.state))
        painted = sessions.paint(shown, _COLOURS.get(result.state, "dim"))
        why = result.messages[0] if result.messages else ""
        more = f" (and {len(result.messages) - 1} more)" if len(result.messages) > 1 else ""
        rows.append((key, painted, result.revision or "-", why + more))
    done = sum(not result.code for result in results.values())
    sessions.say(f"{name}: {done} of {_instances(len(results))} without a failure")
    sessions.print_lines(render.columns(rows))
