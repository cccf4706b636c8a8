"""An S3 server on loopback for tests: moto's, in a thread, with a bucket of its own."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import httpx
import pytest
from moto.server import ThreadedMotoServer

from curation.storage.fsspec_paths import RemotePath


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemotePath]:
    """Give an empty bucket on a server of this test's own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    httpx.post(f"http://{host}:{port}/moto-api/reset")  # the server keeps what an earlier one of this process held
    _forget_systems()
    fsspec.filesystem("s3", use_listings_cache=False).mkdir("pictures")
    try:
        yield RemotePath("s3://pictures")
    finally:
        _forget_systems()
        server.stop()


def _forget_systems() -> None:
    """Let no file system of an earlier server answer."""
    from curation.storage import fsspec_paths

    fsspec_paths._open_system.cache_clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def put_files(root: RemotePath, folder: Path) -> None:
    """Upload a folder's files."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            (root / path.relative_to(folder).as_posix()).upload(path)
