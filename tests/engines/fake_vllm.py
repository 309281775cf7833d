"""An environment that looks as if vLLM were in it: what it runs is a script that answers as vLLM's server does.

What it writes is its model's name and how many tokens the prompt has; a token's log-probability is a hundredth of its
number, below zero. It starts a process of its own, as vLLM does.
"""

from __future__ import annotations

import sys
from pathlib import Path

FACTOR = -0.01  # of a token's number: its log-probability
_SERVER = """
import json, os, socketserver, subprocess, sys, time
from http.server import BaseHTTPRequestHandler

option = lambda name: sys.argv[sys.argv.index(name) + 1]
named = [option("--served-model-name")]
for part in sys.argv[sys.argv.index("--lora-modules") + 1 :] if "--lora-modules" in sys.argv else []:
    if part.startswith("--"):
        break
    named.append(json.loads(part)["name"])
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
with open(os.environ["FAKE_VLLM_TOLD"], "w") as file:
    json.dump({"pids": [os.getpid(), other.pid], "command": sys.argv}, file)
print("loading", flush=True)
if os.environ.get("FAKE_VLLM") == "fails":
    print("this model is too large for this machine", flush=True)
    sys.exit(3)
if os.environ.get("FAKE_VLLM") == "hangs":
    time.sleep(1000)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send(200, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer " + os.environ["VLLM_API_KEY"]:
            return self.send(401, {})
        if body["model"] not in named:
            return self.send(404, {})
        if os.environ.get("FAKE_VLLM") == "slow":
            time.sleep(1000)
        wanted = body.get("logprob_token_ids")
        step = {f"token_id:{token}": FACTOR * token for token in wanted or ()}
        text = f"{body['model']} {len(body['prompt'])}"
        choice = {"text": text, "finish_reason": "stop", "logprobs": {"top_logprobs": [step] * body["max_tokens"]}}
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 2}
        if body.get("stream"):
            parts = [{"choices": [{"text": part}]} for part in text.partition(" ")]
            lines = [json.dumps(part) for part in (*parts, {"choices": [], "usage": usage})] + ["[DONE]"]
            return self.send(200, "".join(f"data: {line}\\n\\n" for line in lines).encode())
        self.send(200, {"model": body["model"], "choices": [choice] * body.get("n", 1), "usage": usage})

    def send(self, status, body):
        told = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 100

Server(option("--uds"), Handler).serve_forever()
"""
_PLATFORM = """
class current_platform:
    is_cpu = staticmethod(lambda: True)
    has_device_capability = staticmethod(lambda number: False)
"""


def make_environment(folder: Path) -> Path:
    """Write the environment into a folder; FAKE_VLLM_TOLD names the file in which it says what it has started."""
    programs, package = folder / "bin", folder / "packages" / "vllm"
    programs.mkdir(parents=True)
    (programs / "vllm").write_text("")
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    server = package / "entrypoints" / "openai"
    server.mkdir(parents=True)
    for place in (package, package / "entrypoints", server):
        (place / "__init__.py").write_text("")
    (package / "platforms.py").write_text(_PLATFORM)
    (server / "api_server.py").write_text(f"FACTOR = {FACTOR}\n{_SERVER}")
    return folder
