"""Servers that tests of remote sets talk to, all on this machine: S3, a web server, a proxy that cuts connections."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from getpass import getuser
from itertools import cycle
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

HOST = "127.0.0.1"
KEY, SECRET = "test:tester", "s3cr3t-0f-tests"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("SEGDATA_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{os.urandom(6).hex()}"))


# ---- S3 -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an S3 server: moto's, or OpenStack Swift with s3api where SEGDATA_S3 is swift."""
    start = {"moto": _moto, "swift": _swift}[os.environ.get("SEGDATA_S3", "moto")]
    processes, port = start(tmp_path_factory.mktemp("s3"))
    endpoint = f"http://{HOST}:{port}"
    ours = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        _wait(endpoint, processes)
        yield endpoint
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ |= {name: value} if value is not None else {}
        _stop(processes)


@pytest.fixture
def bucket(s3_server: str) -> str:
    """s3:// URL of a new bucket."""
    import s3fs

    name = f"segdata-{os.urandom(6).hex()}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


def _moto(home: Path) -> tuple[list[subprocess.Popen[bytes]], int]:
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with (home / "log").open("wb") as log:
        return [subprocess.Popen(command, stdout=log, stderr=log)], port


def _swift(home: Path) -> tuple[list[subprocess.Popen[bytes]], int]:
    """A whole Swift with one copy of everything: the packages swift-{proxy,account,container,object}, memcached.

    nginx stands before it: Swift's answers to HEAD may have a body, with which the next answer would begin.
    """
    nginx = _find_nginx()
    if shutil.which("swift-proxy-server") is None or nginx is None:
        packages = "swift-proxy swift-account swift-container swift-object memcached nginx-light"
        pytest.fail(f"SEGDATA_S3=swift: apt-get install {packages}")
    names = ("account", "container", "object", "proxy", "memcached", "front")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    (home / "devices" / "d1").mkdir(parents=True)
    (home / "swift.conf").write_text(SWIFT)
    for name in names[:3]:
        ring = str(home / f"{name}.builder")
        for arguments in (["create", "4", "1", "0"], ["add", f"r1z1-{HOST}:{ports[name]}/d1", "1"], ["rebalance"]):
            subprocess.run(["swift-ring-builder", ring, *arguments], check=True, stdout=subprocess.DEVNULL)
    for name in names[:4]:
        text = SWIFT_PROXY if name == "proxy" else SWIFT_NODE
        values = {"name": name, "home": home, "user": getuser(), "port": ports[name], "cache": ports["memcached"]}
        (home / f"{name}.conf").write_text(text.format(**values, host=HOST, key=KEY.replace(":", "_"), secret=SECRET))
    commands = [[f"swift-{name}-server", str(home / f"{name}.conf")] for name in names[:4]]
    commands.append(["memcached", "-l", HOST, "-p", str(ports["memcached"]), "-u", getuser()])
    front = SWIFT_FRONT.format(host=HOST, port=ports["proxy"])
    commands.append(_nginx_command(nginx, home, ports["front"], front))
    with (home / "log").open("wb") as log:
        return [subprocess.Popen(command, stdout=log, stderr=log) for command in commands], ports["front"]


SWIFT = """
[swift-hash]
swift_hash_path_prefix = segdata
swift_hash_path_suffix = tests
[storage-policy:0]
name = one
default = yes
"""
SWIFT_NODE = """
[DEFAULT]
bind_ip = {host}
bind_port = {port}
user = {user}
swift_dir = {home}
devices = {home}/devices
mount_check = false
workers = 0
log_level = ERROR
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
SWIFT_PROXY = """
[DEFAULT]
bind_ip = {host}
bind_port = {port}
user = {user}
swift_dir = {home}
workers = 0
log_level = ERROR
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = {host}:{cache}
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_{key} = {secret} .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""
SWIFT_FRONT = """
client_max_body_size 0;
location / {{ proxy_pass http://{host}:{port}; proxy_set_header Host $http_host; proxy_request_buffering off; }}
"""


# ---- web servers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], str]]:
    """web(folder): the URL at which nginx serves the folder, with ranges and listings; below /private/ it wants a
    password (user:pa55word), below /whole/ it sends whole files only."""
    nginx = _find_nginx()
    if nginx is None:
        message = "nginx is not installed (apt-get install nginx-light)"
        if os.environ.get("SEGDATA_NGINX") == "required":
            pytest.fail(message)
        pytest.skip(message)
    home, port = tmp_path_factory.mktemp("nginx"), free_ports(1)[0]
    (home / "root").mkdir()
    (home / "passwords").write_text("user:{PLAIN}pa55word\n")
    process = subprocess.Popen(_nginx_command(nginx, home, port, FOLDERS.format(home=home)))
    _wait(f"http://{HOST}:{port}", [process])

    def serve(folder: Path) -> str:
        name = os.urandom(6).hex()
        (home / "root" / name).symlink_to(folder, target_is_directory=True)
        return f"http://{HOST}:{port}/{name}"

    yield serve
    _stop([process])


FOLDERS = """
root {home}/root;
autoindex on;
location ~ /whole/ {{ max_ranges 0; }}
location ~ /private/ {{ auth_basic "private"; auth_basic_user_file {home}/passwords; }}
"""
NGINX = """
{user}
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/nginx.log;
events {{ worker_connections 128; }}
http {{
    access_log {home}/access.log;
    client_body_temp_path {home}/body; proxy_temp_path {home}/passed; fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    server {{
        listen {host}:{port};
        {serves}
    }}
}}
"""


def _find_nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _nginx_command(nginx: str, home: Path, port: int, serves: str) -> list[str]:
    """What starts nginx at this port, with everything that it writes in `home`."""
    user = f"user {getuser()};" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(NGINX.format(user=user, home=home, host=HOST, port=port, serves=serves))
    return [nginx, "-p", str(home), "-e", "nginx.log", "-c", str(home / "nginx.conf")]


class CuttingProxy(threading.Thread):
    """Passes connections on to a port; the first `cuts` of them are cut, each once so many bytes came back as the
    next of `after` says, which go round."""

    def __init__(self, target: int, after: tuple[int, ...], cuts: int) -> None:
        super().__init__(daemon=True)
        self._target, self._after, self.left = target, cycle(after), cuts
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server((HOST, 0))
        self.port = self._listening.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection((HOST, self._target))
            self._sockets += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, next(self._after)), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, after: int | None) -> None:
        passed = 0
        with source, target:
            try:
                while data := source.recv(1 << 16):
                    passed += len(data)
                    if after is not None and after < passed and self.left > 0:
                        self.left -= 1
                        target.sendall(data[: after - passed])
                        return
                    target.sendall(data)
            except OSError:
                return
            finally:
                for end in (source, target):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """As if the machine were gone: nobody listens, and no connection goes on."""
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def cutting() -> Iterator[Callable[..., CuttingProxy]]:
    """cutting(port, (1000, 9000), cuts=3): a proxy before the server at that port."""
    proxies = []

    def make(target: int, after: tuple[int, ...], cuts: int) -> CuttingProxy:
        proxies.append(CuttingProxy(target, after, cuts))
        proxies[-1].start()
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


# ---- processes ----------------------------------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens at."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(url: str, processes: list[subprocess.Popen[bytes]]) -> None:
    """Until the server answers, whatever it says."""
    for _ in range(1200):
        try:
            urlopen(url, timeout=30).close()
            return
        except URLError as error:
            if hasattr(error, "code"):
                error.close()  # type: ignore[attr-defined]
                return
            if any(process.poll() is not None for process in processes):
                pytest.fail(f"a server of {url} ended: {[process.args for process in processes]}")
            time.sleep(0.05)
    pytest.fail(f"no answer from {url}")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
