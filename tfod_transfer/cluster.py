"""Which processes train together, as TF_CONFIG says; knows no TensorFlow, so that a wrong one is told at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from tfod_transfer import errors

VARIABLE = "TF_CONFIG"
PORT = 7777


class Cluster(NamedTuple):
    """How many processes train together, and this one's number among them, from 0."""

    num_hosts: int = 1
    host: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.host == 0


ALONE = Cluster()


def from_environment(environ: Mapping[str, str]) -> Cluster:
    """Reads TF_CONFIG; without one, this process is alone.

    Raises:
      UsageError: it is not of the form that TensorFlow documents.
    """
    config = environ.get(VARIABLE, "").strip()
    if not config:
        return ALONE
    try:
        values = json.loads(config)
        addresses = {kind: values.get("cluster", {}).get(kind, ()) for kind in ("chief", "worker")}
        tasks = [(kind, index) for kind, hosts in addresses.items() for index in range(len(hosts))]
        if len(tasks) < 2:
            return ALONE
        return Cluster(len(tasks), tasks.index((values["task"]["type"], int(values["task"]["index"]))))
    except (ValueError, KeyError, TypeError, AttributeError):
        expected = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        raise errors.UsageError(f"{VARIABLE} must be of the form {expected}; found {config[:200]!r}.") from None


def config_for(hosts: Sequence[str], this_host: str) -> str:
    """A TF_CONFIG for hosts that all run one worker on the same port.

    Raises:
      UsageError: `this_host` is not one of them.
    """
    ordered = sorted(hosts)
    if this_host not in ordered:
        raise errors.UsageError(f"this host is called {this_host!r}, and the hosts are {', '.join(ordered)}.")
    workers = [f"{host}:{PORT}" for host in ordered]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": ordered.index(this_host)}})


_kept: list[object] = []


def keep_until_the_end(*objects: object) -> None:
    """Keeps what TensorFlow takes down when nobody has it any more: it would wait for hosts that have left."""
    _kept.extend(objects)


def leave(status: int) -> NoReturn:
    """Ends this process; one of several at once, without TensorFlow's own farewell.

    That waits for the other hosts, and prints after some seconds that those which have left are lost.
    """
    try:
        is_alone = from_environment(os.environ) == ALONE
    except errors.UsageError:
        is_alone = True
    if is_alone:
        sys.exit(status)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
