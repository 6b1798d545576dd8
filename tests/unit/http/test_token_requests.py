"""Requests for a ServiceAccount's token, over HTTP."""

import aiohttp
import pytest

from understudy.kapi import server, settings


@pytest.fixture
async def accounts():
    """Yield a function that posts a TokenRequest's spec for the account `robot`."""
    running = server.Server(settings.ServerSettings(port=0))
    await running.start()
    running.base.create("serviceaccounts", {"metadata": {"name": "robot"}}, "default")
    url = f"{running.url}/api/v1/namespaces/default/serviceaccounts/robot/token"
    async with aiohttp.ClientSession() as session:

        async def post(spec):
            async with session.post(url, json={"spec": spec}) as answer:
                return answer.status, await answer.json()

        yield post
    await running.stop()


@pytest.mark.parametrize("spec", [{}, {"expirationSeconds": None}], ids=["absent", "null"])
async def test_a_token_lasts_an_hour_unless_something_else_is_asked(accounts, spec):
    code, answer = await accounts(spec)
    assert (code, answer["spec"]["expirationSeconds"]) == (201, 3600)


async def test_a_token_lasts_ten_minutes_at_least(accounts):
    code, answer = await accounts({"expirationSeconds": 599})
    assert code == 422
    assert "may not specify a duration less than 10 minutes" in answer["message"]
