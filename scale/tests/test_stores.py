"""Shards in a store of objects: trained on and embedded by the native program as those on disk.

The store is moto's server of S3, which checks keys and signatures as S3 does.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

from conftest import FLAGS, MODEL, SAMPLES, Ran, contents

SHARDS = 3
"""Of those of the other tests."""
REGION = "us-east-1"
RUN = """
seed = 1
[config]
embedDim = 16
vision = { imageSize = 16, patchSize = 8, width = 16, layers = 1, heads = 2 }
text = { contextLength = 8, width = 16, layers = 1, heads = 2 }
[fit]
batchSize = 64
epochs = 1
truncate = true
"""


@dataclass
class Store:
    """A bucket, as the program is told of it."""

    environment: dict[str, str]
    data: str


def check_keys(server: str, after: str) -> None:
    """Lets the server check keys and signatures after so many requests."""
    told = Request(f"{server}/moto-api/reset-auth", data=after.encode(), headers={"Content-Type": "text/plain"})
    urlopen(told).close()


@pytest.fixture(scope="module")
def store(data: str) -> Iterator[Store]:
    """S3 with the shards in a bucket, and a user who may read them."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    place = {"endpoint_url": f"http://{host}:{port}", "region_name": REGION}
    # making the user needs no rights, all that follows does
    check_keys(place["endpoint_url"], "3")
    iam = boto3.client("iam", aws_access_key_id="none", aws_secret_access_key="none", **place)
    iam.create_user(UserName="reader")
    rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="reader", PolicyName="s3", PolicyDocument=json.dumps(rights))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    own = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    s3 = boto3.client("s3", **own, **place)
    s3.create_bucket(Bucket="emoji")
    folder = Path(data).parent
    for number in range(SHARDS):
        s3.upload_file(str(folder / f"{number:03}.tar"), "emoji", f"train set/{number:03}.tar")
    s3.upload_file(str(folder / "000.tar"), "emoji", "public.tar", ExtraArgs={"ACL": "public-read"})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {name.upper(): value for name, value in own.items()}
    environment |= {"AWS_ENDPOINT_URL": place["endpoint_url"], "AWS_REGION": REGION}
    yield Store(environment, f"s3://emoji/train set/{{000..{SHARDS - 1:03}}}.tar")
    server.stop()


def losses(ran: Ran) -> list[float]:
    """Of all steps."""
    return [event["loss"] for event in ran.events if event["type"] == "step"]


def run(program: str, environment: dict[str, str], *arguments: str) -> Ran:
    """Runs the program to its end."""
    ended = subprocess.run(
        [program, "--json", *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return Ran(ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr)


def local(data: str) -> str:
    """The same shards on disk."""
    return f"{Path(data).parent}/{{000..{SHARDS - 1:03}}}.tar"


@pytest.mark.parametrize("more", [(), ("--augment",)])
def test_training(program: str, store: Store, data: str, tmp_path: Path, more: tuple[str, ...]) -> None:
    """The losses are those of shards on disk, bit by bit; no secret is written."""
    config = tmp_path / "run.toml"
    config.write_text(RUN)
    flags = ("train", "--config", str(config), "--device", "cpu", "--val-data")
    there, here = (
        run(program, store.environment, *flags, of, "--train-data", of, "--logs", str(tmp_path / name), *more)
        for name, of in (("there", store.data), ("here", local(data)))
    )
    assert (there.code, here.code) == (0, 0), there.stderr + here.stderr
    assert len(losses(here)) > 10
    assert losses(there) == losses(here)
    secret = store.environment["AWS_SECRET_ACCESS_KEY"].encode()
    files = [path for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not any(secret in path.read_bytes() for path in files)


def test_embedding(program: str, store: Store, data: str, tmp_path: Path) -> None:
    """The files are those of shards on disk, byte by byte."""
    for name, of in (("there", store.data), ("here", local(data))):
        ran = run(program, store.environment, "embed", str(MODEL), "--data", of, "--out", str(tmp_path / name), *FLAGS)
        assert ran.code == 0, ran.stderr
    there = contents(tmp_path / "there")
    assert there == contents(tmp_path / "here")
    assert "002-00000.npy" in there


def test_public_data(program: str, store: Store, tmp_path: Path) -> None:
    """Are read without keys, by requests without a signature."""
    environment = {name: value for name, value in store.environment.items() if "ACCESS_KEY" not in name}
    environment["AWS_SKIP_SIGNATURE"] = "true"
    # moto fails to check a request without a key
    check_keys(environment["AWS_ENDPOINT_URL"], "inf")
    public, private = (
        run(program, environment, "embed", str(MODEL), "--data", one, "--out", str(tmp_path), *FLAGS)
        for one in ("s3://emoji/public.tar", "s3://emoji/train set/000.tar")
    )
    check_keys(environment["AWS_ENDPOINT_URL"], "0")
    assert public.code == 0, public.stderr
    assert public.events[-1]["embedded"] == SAMPLES
    assert private.code == 6
    assert "HTTP 403" in private.stderr


def test_refusals(program: str, store: Store, tmp_path: Path) -> None:
    """Wrong keys, none at all, and what is not there are said so, without the keys."""
    wrong = {"AWS_SECRET_ACCESS_KEY": "5ecret"}
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    for change, data, expected in (
        (wrong, store.data, "HTTP 403 (SignatureDoesNotMatch): it refuses access"),
        (none, store.data, "no credentials: set those of the store"),
        ({}, "s3://emoji/none.tar", "s3://emoji/none.tar: expected a file, got HTTP 404 (NoSuchKey): no such file"),
        ({}, "s3://none/000.tar", "HTTP 404 (NoSuchBucket)"),
    ):
        environment = {name: value for name, value in (store.environment | change).items() if value}
        ran = run(program, environment, "embed", str(MODEL), "--data", data, "--out", str(tmp_path), *FLAGS)
        assert ran.code == 6, ran.stderr
        assert expected in ran.stderr
        assert "5ecret" not in ran.stderr
