"""What was acknowledged is there after the process is gone, however it went."""

import contextlib
import os
import random
import resource as limits
import signal
import time

import pytest

from understudy.kapi import views
from understudy.kapi.persistence import folders
from understudy.kube import statuses


def config_map(name, **data):
    return {"metadata": {"name": name}, "data": data}


def opened(path, **options):
    folder = folders.Folder(path, **options)
    return folder, folder.open(views.new_view)


def contents(view):
    return {
        (str(storage), entry.key): entry.encoded
        for storage in view.store.storages()
        for entry in view.store.tree(storage).values()
    }


def test_everything_is_back_after_a_clean_stop(tmp_path):
    folder, registry = opened(tmp_path)
    registry.base.create("configmaps", config_map("a", x="1"), "default")
    pinned = registry.create("trial", follow=False)
    registry.base.create("configmaps", config_map("b"), "default")
    following = registry.create("live", of="trial")
    pinned.delete("configmaps", "a", "default")
    following.create("configmaps", config_map("c"), "default")
    before = {view.name: contents(view) for view in registry.all()}
    diffs = {view.name: [c[:3] for c in view.diff()] for view in registry.all()[1:]}
    revision = registry.base.revision
    folder.close()

    folder, registry = opened(tmp_path)
    assert {view.name: contents(view) for view in registry.all()} == before
    assert {view.name: [c[:3] for c in view.diff()] for view in registry.all()[1:]} == diffs
    assert registry.base.revision == revision
    assert registry.get("live").parent is registry.get("trial")
    folder.close()


@pytest.mark.parametrize("follow", [True, False])
def test_what_was_promoted_is_even_after_a_restart_too(tmp_path, follow):
    folder, registry = opened(tmp_path)
    registry.base.create("configmaps", config_map("b"), "default")
    trial = registry.create("trial", follow=follow)
    trial.create("configmaps", config_map("a", x="1"), "default")
    trial.delete("configmaps", "b", "default")
    trial.promote()
    before = {view.name: contents(view) for view in registry.all()}
    folder.close()
    folder, registry = opened(tmp_path)
    trial = registry.get("trial")
    assert {view.name: contents(view) for view in registry.all()} == before
    assert not trial.diff()
    trial.patch("configmaps", "a", {"data": {"x": "2"}}, "default")
    assert [(c.operation, c.key) for c in trial.promote()] == [("changed", "default/a")]
    folder.close()


def test_a_snapshot_and_the_journal_after_it_add_up_and_old_files_go(tmp_path):
    folder, registry = opened(tmp_path, journal_bytes_max=4096)
    sandbox = registry.create("trial", follow=False)
    for n in range(200):
        registry.base.create("configmaps", config_map(f"c{n}", x="y" * 50), "default")
        if n % 3 == 0:
            sandbox.create("configmaps", config_map(f"c{n}"), "default")
        if n % 5 == 0:
            registry.base.delete("configmaps", f"c{n}", "default")
    before = {view.name: contents(view) for view in registry.all()}
    folder.close()
    assert len(list(tmp_path.glob("snapshot-*"))) == 1
    folder, registry = opened(tmp_path)
    assert {view.name: contents(view) for view in registry.all()} == before
    folder.close()


def test_a_torn_tail_is_cut_with_a_message(tmp_path):
    folder, registry = opened(tmp_path)
    registry.base.create("configmaps", config_map("a"), "default")
    folder.close()
    journal = max(tmp_path.glob("journal-*"))
    whole = journal.read_bytes()
    for torn in (whole + b"\x07", whole + whole[:20], whole[:-3]):
        journal.write_bytes(torn)
        folder, registry = opened(tmp_path)
        kept = registry.base.find("configmaps", "default", "a") is not None
        assert kept is (len(torn) >= len(whole))
        assert len(folder.messages) == 1
        assert "never acknowledged" in folder.messages[0]
        folder.close()
        journal.write_bytes(whole)


def test_damage_before_the_end_is_refused_not_guessed_around(tmp_path):
    folder, registry = opened(tmp_path)
    for name in "abc":
        registry.base.create("configmaps", config_map(name), "default")
    folder.close()
    journal = max(tmp_path.glob("journal-*"))
    data = bytearray(journal.read_bytes())
    data[12] ^= 0xFF
    journal.write_bytes(data)
    with pytest.raises(folders.FolderError, match="damaged at byte 0"):
        opened(tmp_path)


def test_two_processes_cannot_share_a_directory(tmp_path):
    folder, _ = opened(tmp_path)
    with pytest.raises(folders.FolderError, match="used by another process"):
        folders.Folder(tmp_path)
    folder.close()


def test_a_full_disk_is_an_error_to_the_client_and_the_server_goes_on(tmp_path):
    folder, registry = opened(tmp_path)
    base = registry.base
    base.create("configmaps", config_map("a"), "default")
    journal = max(tmp_path.glob("journal-*"))
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits.setrlimit(limits.RLIMIT_FSIZE, (journal.stat().st_size + 100, hard))
    try:
        with pytest.raises(statuses.InternalError, match="free space there"):
            base.create("configmaps", config_map("b", x="y" * 1000), "default")
        assert base.find("configmaps", "default", "b") is None
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    base.create("configmaps", config_map("c"), "default")
    before = contents(base)
    folder.close()
    folder, registry = opened(tmp_path)
    assert contents(registry.base) == before
    folder.close()


def _write_until_killed(path, acknowledge):
    folder = folders.Folder(path, journal_bytes_max=20_000)
    registry = folder.open(views.new_view)
    base = registry.base
    n = base.revision
    sandbox = registry.find("trial") or registry.create("trial", follow=False)
    while True:
        n += 1
        view = base if n % 3 else sandbox
        written = view.create("configmaps", config_map(f"c{n}", x="y" * (n % 200)), "default")
        os.write(acknowledge, f"{view.name} c{n} {written.entry.revision}\n".encode())


def test_kill_9_at_any_moment_loses_no_acknowledged_write(tmp_path):
    chance = random.Random(7)
    acknowledged: dict[tuple[str, str], int] = {}
    newest = 0
    for _ in range(200):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.close(reader)
                _write_until_killed(tmp_path, writer)
            os._exit(1)
        os.close(writer)
        time.sleep(0.02 + chance.random() * 0.04)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as lines:
            for line in lines:
                if not line.endswith("\n"):
                    continue
                view, name, revision = line.split()
                assert int(revision) > newest
                newest = int(revision)
                acknowledged[view, name] = newest
    folder, registry = opened(tmp_path)
    for (view, name), revision in acknowledged.items():
        found = registry.get(view).find("configmaps", "default", name)
        assert found is not None, (view, name)
        assert found["metadata"]["resourceVersion"] == str(revision)
    assert registry.base.revision >= newest
    assert len(acknowledged) > 200
    folder.close()
