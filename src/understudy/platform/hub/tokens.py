"""Who may connect and ask: a file of tokens, each kept as its SHA-256 only.

    {"agents": {"prod-eu": ["2c26b46b..."]},
     "callers": {"ci": {"sha256": "fcde2b2e...", "access": "write", "instances": ["*"]}}}

A token is 32 random bytes, so a plain hash tells nothing of it. The file is read again when it has
changed: a new token works, and one that was taken out stops working, without a restart.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from understudy.platform import errors, records, relaying

AGENT_PREFIX, CALLER_PREFIX = "usa_", "usc_"
"""What tokens start with, so that a leaked one is known for what it is."""
TOKENS_OF_AGENT_MAX = 8
"""Tokens that one instance may have at once: two are needed to replace one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who asks.

    Attributes:
        instances: Which ones, as names or patterns (`prod-*`).
    """

    sha256: str
    access: relaying.Access = relaying.Access.READ
    instances: tuple[str, ...] = ("*",)
    name: str = ""

    def may_see(self, instance: str) -> bool:
        """Whether an instance is one of theirs."""
        return any(fnmatch.fnmatchcase(instance, pattern) for pattern in self.instances)


ANYBODY = Caller(sha256="", access=relaying.Access.WRITE, name="anybody")
"""Who asks a hub without tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All tokens: of agents by instance, of callers by name."""

    agents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    callers: Mapping[str, Caller] = field(default_factory=dict)

    def instance_of(self, token: str) -> str | None:
        """Return the instance that a token is for, None for a token nobody has."""
        hashed = hash_of(token)
        return next((name for name, owned in self.agents.items() if hashed in owned), None)

    def caller_of(self, token: str) -> Caller | None:
        """Return whose token it is, None for a token nobody has."""
        hashed = hash_of(token)
        return next((one for one in self.callers.values() if one.sha256 == hashed), None)


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _new(prefix: str) -> str:
    return prefix + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


class TokenFile:
    """The file, and what it says now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._known = Known()

    def read(self) -> Known:
        """Return the tokens; none where there is no file yet.

        Raises:
            InvalidRequestError: It is no file of tokens; the message names the field.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return Known()
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            if status.st_mode & 0o037:
                raise errors.InvalidRequestError(
                    f"{self.path} may be read by others: chmod 600 {self.path}"
                )
            self._known = _parse(self.path)
            self._stamp = stamp
        return self._known

    def known(self) -> Known:
        """Return the tokens, for those who are not to know what is wrong with the file.

        Raises:
            UnavailableError: It cannot be used.
        """
        try:
            return self.read()
        except (errors.InvalidRequestError, OSError) as error:
            raise errors.UnavailableError(
                "the hub's file of tokens cannot be used", help="Tell whoever runs the hub."
            ) from error

    def add_agent(self, instance: str, *, replacing: bool = False) -> str:
        """Make a token for an instance's agent and return it; it is not to be had again.

        Raises:
            InvalidRequestError: No such name can be, or it has `TOKENS_OF_AGENT_MAX` already.
        """
        records.check_instance(instance)
        known = self.read()
        older = () if replacing else known.agents.get(instance, ())
        if len(older) >= TOKENS_OF_AGENT_MAX:
            raise errors.InvalidRequestError(
                f"instance {instance} has {len(older)} tokens already: replace them"
            )
        token = _new(AGENT_PREFIX)
        agents = {**known.agents, instance: (*older, hash_of(token))}
        self._write(replace(known, agents=agents))
        return token

    def add_caller(self, name: str, access: relaying.Access, instances: tuple[str, ...]) -> str:
        """Make a caller's token, in place of an older one of that name, and return it.

        Raises:
            InvalidRequestError: No such name can be.
        """
        records.check_instance(name)
        known = self.read()
        token = _new(CALLER_PREFIX)
        made = Caller(sha256=hash_of(token), access=access, instances=instances, name=name)
        self._write(replace(known, callers={**known.callers, name: made}))
        return token

    def remove(self, name: str, *, caller: bool = False) -> bool:
        """Take every token of an instance, or a caller's, back; False where there is none."""
        known = self.read()
        agents = {key: value for key, value in known.agents.items() if caller or key != name}
        callers = {key: one for key, one in known.callers.items() if not caller or key != name}
        left = Known(agents=agents, callers=callers)
        if left == known:
            return False
        self._write(left)
        return True

    def _write(self, known: Known) -> None:
        callers = {
            name: {
                "sha256": one.sha256,
                "access": str(one.access),
                "instances": list(one.instances),
            }
            for name, one in known.callers.items()
        }
        agents = {name: list(owned) for name, owned in known.agents.items()}
        body = orjson.dumps({"agents": agents, "callers": callers}, option=orjson.OPT_INDENT_2)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
        draft.replace(self.path)


def _parse(path: Path) -> Known:
    try:
        found = orjson.loads(path.read_bytes())
        agents = {
            records.check_instance(name): tuple(str(one) for one in owned)
            for name, owned in found.get("agents", {}).items()
        }
        callers = {
            name: Caller(
                sha256=str(one["sha256"]),
                access=relaying.Access.parse(str(one["access"])),
                instances=tuple(str(pattern) for pattern in one.get("instances", ["*"])),
                name=name,
            )
            for name, one in found.get("callers", {}).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, errors.PlatformError) as error:
        raise errors.InvalidRequestError(f"{path} is no file of tokens: {error}") from error
    return Known(agents=agents, callers=callers)
