"""Answers of the gateway itself: a code, and one sentence that says what to do."""

from __future__ import annotations

from aiohttp import web

RETRY_S = "1"


class RefusedError(Exception):
    """A request that no app answers."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """Return it as an answer; whoever is told to come back is told when."""
        headers = {"Retry-After": RETRY_S} if self.code == 503 else None
        return web.Response(status=self.code, text=f"{self.message}\n", headers=headers)
