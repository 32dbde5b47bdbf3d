"""A bucket on this machine."""

from __future__ import annotations

import boto3


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
