from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tfod_transfer import cluster, errors
from tfod_transfer.cluster import ALONE, Cluster

TWO = {"worker": ["a:1", "b:1"]}
CHIEF_AND_TWO = {"chief": ["c:1"], **TWO}


def config(hosts: dict[str, list[str]], kind: str, index: object) -> str:
    return json.dumps({"cluster": hosts, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALONE),
        ("  ", ALONE),
        ("{}", ALONE),
        (config({"worker": ["a:1"]}, "worker", 0), ALONE),
        (config(TWO, "worker", 0), Cluster(2, 0)),
        (config(TWO, "worker", "1"), Cluster(2, 1)),  # SageMaker's own container writes numbers as they come
        (config(CHIEF_AND_TWO, "chief", 0), Cluster(3, 0)),
        (config(CHIEF_AND_TWO, "worker", 0), Cluster(3, 1)),
    ],
)
def test_tf_config_says_who_trains_together(text: str, expected: Cluster) -> None:
    assert cluster.from_environment({"TF_CONFIG": text}) == expected
    assert expected.is_chief == (expected.host == 0)


@pytest.mark.parametrize(
    "text",
    ["[]", "worker", config(TWO, "worker", 2), config(TWO, "evaluator", 0), '{"cluster": {"worker": ["a", "b"]}}'],
)
def test_another_form_is_told(text: str) -> None:
    with pytest.raises(errors.UsageError, match="TF_CONFIG must be of the form") as error:
        cluster.from_environment({"TF_CONFIG": text})
    assert text in str(error.value)


def test_hosts_of_one_job_agree_on_their_numbers() -> None:
    hosts = ["algo-2", "algo-10", "algo-1"]
    found = {host: cluster.from_environment({"TF_CONFIG": cluster.config_for(hosts, host)}).host for host in hosts}
    assert sorted(found.values()) == [0, 1, 2]
    assert len({json.dumps(json.loads(cluster.config_for(hosts, host))["cluster"]) for host in hosts}) == 1
    with pytest.raises(errors.UsageError, match="algo-3"):
        cluster.config_for(hosts, "algo-3")


@pytest.mark.parametrize(("text", "teardown"), [("", True), ("[]", True), (config(TWO, "worker", 0), False)])
def test_one_of_several_hosts_leaves_at_once(text: str, teardown: bool) -> None:
    program = (
        "import atexit\nfrom tfod_transfer import cluster\natexit.register(lambda: print('teardown'))\n"
        "print('last line', end=' ')\ncluster.leave(143)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={"TF_CONFIG": text}
    )
    assert done.returncode == 143, done.stderr
    assert done.stdout.split() == ["last", "line", *(["teardown"] if teardown else [])]


def test_what_a_traceback_holds_is_not_taken_down_before_the_end() -> None:
    program = """
from tfod_transfer import cluster

class Trainer:
    def __del__(self):
        print("taken down")

def fit():
    trainer = Trainer()
    raise ValueError

try:
    fit()
except ValueError as stopped:
    cluster.keep_until_the_end(stopped)
print("last line")
cluster.leave(143)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"TF_CONFIG": config(TWO, "worker", 0)},
    )
    assert (done.returncode, done.stdout) == (143, "last line\n"), done.stderr
