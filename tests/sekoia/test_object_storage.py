"""The platform's object storage, which the SDK finds, asked with bounds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3path import S3Path
from sekoia_automation import constants
from sekoia_automation.storage import get_data_path

from jumpcloud_modules.sekoia.object_storage import bound
from jumpcloud_modules.state import objects, storage
from tests.process.test_object_storage import _storage
from tests.state.test_ledger_on_s3 import _forget_data_path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Path]:
    """Return the data path that the SDK makes of its own variables."""
    monkeypatch.setattr(constants, "TLS_VOLUME_PATH", str(tmp_path / "tls"))
    with _storage() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        _forget_data_path()
        path = get_data_path()
        assert isinstance(path, S3Path)
        yield path
    _forget_data_path()


def _bounds(folder: S3Path) -> list[object]:
    config = objects.client_of(folder).meta.config
    return [
        config.connect_timeout,
        config.read_timeout,
        config.retries["total_max_attempts"],
        config.max_pool_connections,
    ]


def test_a_storage_that_the_sdk_found_is_asked_with_bounds(folder: S3Path) -> None:
    """The SDK's own client would wait for five minutes; another one is made once."""
    before = objects.client_of(folder)
    bound(folder)
    ours = objects.client_of(folder)
    bound(folder)

    assert before.meta.config.read_timeout == 60
    assert _bounds(folder) == [5, 10, 2, 50]
    assert objects.client_of(folder / "ledger") is ours
    assert ours.meta.endpoint_url == before.meta.endpoint_url
    storage.write_once(folder / "file", b"x")
    assert storage.read(folder / "file") == b"x"


def test_the_certificates_that_the_platform_gave_are_kept(
    folder: S3Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom to trust, and who we are."""
    volume = Path(constants.TLS_VOLUME_PATH)
    for name in ("CA_CERT", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.setenv(name, f"the {name}")
    _forget_data_path()
    path = get_data_path()
    assert isinstance(path, S3Path)

    bound(path)

    client = objects.client_of(path)
    assert client.meta.config.client_cert == (volume / "client.crt", volume / "client.key")
    assert client._endpoint.http_session._verify == str(volume / "ca.crt")
    assert (volume / "ca.crt").read_text() == "the CA_CERT"


def test_a_folder_of_a_disk_is_left_alone(tmp_path: Path) -> None:
    """Nothing is asked of anybody."""
    bound(tmp_path)

    assert list(tmp_path.iterdir()) == []
