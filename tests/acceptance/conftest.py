"""What acceptance tests share: the commands, drawn data, and one artifact."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from running import DEMO, Command, Done, run_command

from tfod_transfer.demo import shapes


@pytest.fixture(scope="session")
def command() -> Command:
    return run_command


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with `training` (48 images of four shapes that the demo model does not know) and `validation` (24)."""
    folder = tmp_path_factory.mktemp("drawn")
    shapes.generate(folder / "training", shapes.TARGET_CLASSES, 48, seed=3)
    shapes.generate(folder / "validation", shapes.TARGET_CLASSES, 24, seed=4)
    return folder


@pytest.fixture(scope="session")
def fitted(drawn: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Done]:
    """An artifact of two epochs on drawn shapes, and what the command printed."""
    model_dir = tmp_path_factory.mktemp("fitted") / "model"
    done = run_command(
        "fit",
        *("--model_id", DEMO, "--training", drawn / "training", "--validation", drawn / "validation"),
        *("--model-dir", model_dir, "--epochs", 2, "--seed", 1),
    )
    assert done.status == 0, done.error
    return model_dir, done


class Bucket:
    """A bucket of a server that speaks S3's language on this machine.

    Attributes:
      address: `s3://…`.
      environment: where TensorFlow finds it.
    """

    address = "s3://photographs"

    def __init__(self, port: int) -> None:
        endpoint = f"http://127.0.0.1:{port}"
        keys = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "some", "AWS_REGION": "us-east-1"}
        self.environment = {**keys, "S3_ENDPOINT": endpoint, "S3_USE_HTTPS": "0", "S3_VERIFY_SSL": "0"}
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="some",
            aws_secret_access_key="some",
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket="photographs")

    def put(self, key: str, contents: bytes) -> None:
        self._client.put_object(Bucket="photographs", Key=key, Body=contents)

    def keys(self, prefix: str) -> list[str]:
        found = self._client.list_objects_v2(Bucket="photographs", Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield Bucket(server.get_host_and_port()[1])
    server.stop()
