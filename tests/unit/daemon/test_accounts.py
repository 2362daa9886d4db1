"""Keys in files are followed when they are rotated."""

import os
from pathlib import Path

import pytest

from exporter.api.client import Credentials
from exporter.config import Config, parse_config
from exporter.daemon.accounts import Keys
from exporter.errors import ConfigError
from exporter.redaction import Redactor

OLD, NEW = Credentials("OLD-ID", "old-secret"), Credentials("NEW-ID", "new-secret")


def replace(path: Path, text: str) -> None:
    """As whoever is careful does: the old file is there until the new one is."""
    path.with_name("fresh").write_text(f"{text}\n")
    os.replace(path.with_name("fresh"), path)


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    (tmp_path / "id").write_text(f" {OLD.access_key_id}\r\n")
    return tmp_path / "id"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(f"{OLD.secret}\n")
    return tmp_path / "secret"


def config_of(**keys: object) -> Config:
    account = "".join(f", {name}: {value}" for name, value in keys.items())
    text = f"accounts: [{{endpoint: 'https://a.example.com'{account}}}]\n"
    return parse_config(f"{text}clusters: [{{cluster_id: c, zone: z}}]\n", {}, Path("/"))


def pair(ids: Path, secrets: Path, redactor: Redactor | None = None) -> Keys:
    config = config_of(access_key_id_file=ids, secret_access_key_file=secrets)
    return Keys(config.accounts[0], redactor or Redactor())


def test_keys_that_are_in_no_file_stay() -> None:
    config = config_of(access_key_id="ID", secret_access_key="secret")
    keys = Keys(config.accounts[0], Redactor())
    assert keys() == keys.after_refusal() == Credentials("ID", "secret")


@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key"])
def test_one_that_is_in_a_file_is_followed_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("before")
    given = {"access_key_id": "given", "secret_access_key": "given"}
    del given[name]
    keys = Keys(config_of(**given, **{f"{name}_file": path}).accounts[0], Redactor())
    before = keys()
    replace(path, "after")
    after = keys()
    assert {before.access_key_id, before.secret} == {"given", "before"}
    assert {after.access_key_id, after.secret} == {"given", "after"}


def test_one_that_is_written_on_within_a_tick_is_followed(tmp_path: Path) -> None:
    """Most kernels tell when a file has changed in steps of some milliseconds."""
    path = tmp_path / "key"
    path.write_text("half")
    config = config_of(access_key_id="given", secret_access_key_file=path)
    keys = Keys(config.accounts[0], Redactor())
    assert keys().secret == "half"
    written_ns = path.stat().st_mtime_ns
    path.write_text("half and half")
    os.utime(path, ns=(written_ns, written_ns))
    assert keys().secret == "half and half"


@pytest.mark.parametrize("id_first", [True, False])
def test_a_pair_is_followed_together(ids: Path, secrets: Path, *, id_first: bool) -> None:
    redactor = Redactor()
    keys = pair(ids, secrets, redactor)
    assert keys() == OLD
    steps = [(ids, NEW.access_key_id), (secrets, NEW.secret)]
    (first, second) = steps if id_first else reversed(steps)
    replace(*first)
    assert keys() == keys() == OLD
    replace(*second)
    assert keys() == NEW
    assert redactor.clean(f"{NEW.access_key_id} {NEW.secret}") == "*** ***"


def test_half_of_a_pair_is_taken_when_the_old_one_is_refused(ids: Path, secrets: Path) -> None:
    keys = pair(ids, secrets)
    replace(secrets, NEW.secret)
    assert keys() == OLD
    assert keys.after_refusal() == keys() == Credentials(OLD.access_key_id, NEW.secret)


def test_files_that_are_written_anew_with_the_same_keys_change_nothing(
    ids: Path, secrets: Path
) -> None:
    keys = pair(ids, secrets)
    replace(ids, OLD.access_key_id)
    assert keys() == OLD
    replace(secrets, OLD.secret)
    assert keys() == OLD


def test_while_a_file_cannot_be_read_the_keys_before_are_used(ids: Path, secrets: Path) -> None:
    keys = pair(ids, secrets)
    secrets.write_text("")
    assert keys() == OLD
    with pytest.raises(ConfigError, match=r"the key file .*secret is empty"):
        keys.after_refusal()
    secrets.unlink()
    assert keys() == keys.after_refusal() == OLD
    ids.write_text(NEW.access_key_id)
    secrets.write_text(NEW.secret)
    assert keys() == NEW


@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_cannot_be_read_is_told_of_once(
    gone: bool, ids: Path, secrets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = pair(ids, secrets)
    for _ in range(2):
        assert keys() == OLD
        assert not caplog.records
        if gone:
            secrets.unlink()
        else:
            secrets.write_text("")
        for _ in range(3):
            assert keys() == OLD
        (record,) = caplog.records
        assert vars(record)["account"] == "default"
        assert str(secrets) in vars(record)["cause"]
        assert OLD.secret not in str(vars(record))
        caplog.clear()
        secrets.write_text(OLD.secret)
