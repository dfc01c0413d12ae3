"""Runs schemathesis against a demo shop: as anonymous, customer, staff and admin.

    .ci/schemathesis.py [SECONDS]

SECONDS is the time for each of the four; without it the same cases are sent each time. Run it with a Python that has the
package schemathesis (.ci/run makes one), after `cargo test --workspace --no-run`, which
builds the binary; KONBINI_BINARY names another one. It fails on a response that is not in
the OpenAPI document, on a status 5xx that the document does not name, and on a request that
the document allows and the shop refuses without saying so there. What is accepted, with the
reasons, is in .ci/schemathesis.toml.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("KONBINI_BINARY", str(TARGET / "debug/konbini"))
# A variable that is no setting would be refused.
ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith("KONBINI_")}
PASSWORD = "a kettle and three lamps"
READY_SECONDS = 120
# The generated cases of a call, unless the time is given.
EXAMPLES = 10
# Without a payment provider its webhook is a 503. Nothing listens where their APIs are.
SETTINGS = """[payments]
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
[payments.stripe]
key_file = "{secret}"
webhook_secret_file = "{secret}"
api_url = "http://127.0.0.1:9"
[payments.mollie]
key_file = "{secret}"
api_url = "http://127.0.0.1:9"
"""
# Calls that end the token which the run needs, or never end.
LEFT_OUT = [
    "/v1/notifications/stream",
    "/v1/events/stream",
    "/v1/users/me/password",
    "/v1/sessions/current",
]
LEFT_OUT_OF = {("DELETE", "/v1/users/me"), ("DELETE", "/v1/sessions"), ("DELETE", "/v1/sessions/{id}")}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def wait_until_ready(base, shop):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if shop.poll() is not None:
            sys.exit(f"the shop ended with {shop.returncode}")
        try:
            return call(f"{base}/readyz")
        except OSError:
            time.sleep(0.2)
    sys.exit(f"the shop was not ready within {READY_SECONDS} s")


def add(folder, email, role):
    command = [BINARY, "user", "add", "--data", folder, "--email", email, "--password-stdin"]
    command += ["--role", role]
    subprocess.run(command, input=PASSWORD + "\n", text=True, check=True, stdout=subprocess.DEVNULL)


def token(base, email):
    return call(f"{base}/v1/sessions", {"email": email, "password": PASSWORD})["access_token"]


def test(base, name, headers, seconds, folder):
    print(f"\n-- {name}", flush=True)
    command = [str(pathlib.Path(sys.executable).parent / "schemathesis")]
    command += ["--config-file", str(ROOT / ".ci/schemathesis.toml"), "run", f"{base}/openapi.json"]
    command += ["--url", base, "--no-color"]
    if seconds:
        command += ["--max-time", str(seconds)]
    else:
        command += ["--generation-deterministic", "--max-examples", str(EXAMPLES)]
        command += ["--phases", "examples,coverage,fuzzing"]
    for path in LEFT_OUT:
        command += ["--exclude-path", path]
    for method, path in LEFT_OUT_OF:
        command += ["--exclude-name", f"{method} {path}"]
    for header in headers:
        command += ["--header", header]
    # It keeps its cases where it runs.
    return subprocess.run(command, cwd=folder, check=False).returncode


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(pathlib.Path(temporary) / "shop")
        os.mkdir(folder, 0o700)
        secret = pathlib.Path(temporary) / "secret"
        secret.write_text("whsec_of_a_test")
        settings = SETTINGS.format(secret=secret)
        (pathlib.Path(folder) / "konbini.toml").write_text(settings)
        for role in ["customer", "staff", "admin"]:
            add(folder, f"{role}@shop.example", role)
        base = f"http://127.0.0.1:{free_port()}"
        command = [BINARY, "up", "--demo", "--data", folder, "--listen", base.removeprefix("http://")]
        log = pathlib.Path(temporary) / "log"
        with log.open("w") as lines:
            shop = subprocess.Popen(command, stdout=lines, stderr=lines, env=ENVIRONMENT)
        try:
            wait_until_ready(base, shop)
            failed = [] if test(base, "anonymous", [], seconds, temporary) == 0 else ["anonymous"]
            for role in ["customer", "staff", "admin"]:
                authorization = f"Authorization: Bearer {token(base, f'{role}@shop.example')}"
                if test(base, role, [authorization], seconds, temporary) != 0:
                    failed.append(role)
        finally:
            shop.send_signal(signal.SIGTERM)
            ended = shop.wait(30)
        if ended != 0:
            sys.exit(f"the shop ended with {ended}:\n{log.read_text()[-4000:]}")
        if failed:
            sys.exit(f"schemathesis found differences as {', '.join(failed)}")


if __name__ == "__main__":
    main()
