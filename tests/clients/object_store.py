"""A real S3 server on this machine, for tests and benchmarks."""

import json
import os
import socket
import subprocess
import time

import boto3
import botocore.config

# Taken out: a server would refuse a variable of its own name that it does not know.
WEED = os.environ.pop("LAKEBED_TEST_WEED", "weed")
START_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready, what, seconds=START_SECONDS):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} was not ready within {seconds} s")


class ObjectStore:
    """SeaweedFS: a real S3 server that checks signatures."""

    ADMIN = ("admin-key", "admin-secret")
    READER = ("reader-key", "reader-secret")

    def __init__(self, folder):
        self.folder = folder
        ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        # Beside each port the server opens a gRPC port 10,000 above it.
        while any(port > 55_000 for port in ports.values()):
            ports = {name: free_port() % 20_000 + 20_000 for name in ports}
        self.port = ports["s3"]
        self.url = f"http://127.0.0.1:{self.port}"
        identities = [
            {"name": "admin", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
             "credentials": [{"accessKey": self.ADMIN[0], "secretKey": self.ADMIN[1]}]},
            {"name": "reader", "actions": ["Read", "List"],
             "credentials": [{"accessKey": self.READER[0], "secretKey": self.READER[1]}]},
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        command = [WEED, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
                   f"-s3.config={folder / 's3.json'}", f"-master.port={ports['master']}",
                   f"-volume.port={ports['volume']}", f"-filer.port={ports['filer']}", f"-s3.port={ports['s3']}",
                   "-s3.port.iceberg=0", "-s3.port.lance=0",
                   # Each bucket takes seven.
                   "-volume.max=500", "-master.volumeSizeLimitMB=256"]
        with open(folder / "weed.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=self.ADMIN[0],
            aws_secret_access_key=self.ADMIN[1], config=botocore.config.Config(retries={"max_attempts": 10}),
        )
        wait_until(self._ready, "the S3 server")

    def _ready(self):
        assert self.process.poll() is None, (self.folder / "weed.log").read_text()
        try:
            self.client.create_bucket(Bucket="probe")
            self.client.put_object(Bucket="probe", Key="probe", Body=b"probe")
            return True
        except Exception:
            return False

    def bucket(self, name):
        self.client.create_bucket(Bucket=name)
        return name

    def environment(self, key=None, secret=None, **more):
        return {
            "AWS_ENDPOINT_URL_S3": self.url, "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key or self.ADMIN[0], "AWS_SECRET_ACCESS_KEY": secret or self.ADMIN[1],
        } | more

    def stop(self):
        self.process.kill()
        self.process.wait()
