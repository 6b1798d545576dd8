"""The command line starts quickly: a command's code is loaded when the command is used."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from understudy.cli import main, registry


def test_help_names_every_command_without_loading_any():
    code = (
        "import sys\n"
        "from understudy.cli import main\n"
        "try:\n    main.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'aiohttp', 'orjson', 'yaml', 'cryptography', 'understudy.kapi'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
    for name, place in registry.COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert place.help.split()[0] in done.stdout


@pytest.mark.parametrize("name", registry.COMMANDS)
def test_every_registered_command_can_be_loaded(name):
    done = CliRunner().invoke(main.cli, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Usage: ")


def test_an_unknown_command_is_refused():
    done = CliRunner().invoke(main.cli, ["nope"])
    assert done.exit_code == 2
    assert "No such command 'nope'" in done.output
