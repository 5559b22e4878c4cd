"""A headless Chromium for tests, spoken to in its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def found() -> str | None:
    """The path of a browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in one browser; a context manager.

    Attributes:
        complaints: what the page wrote to its console as an error or warning, exceptions, and what failed to load.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.complaints: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._count = 0
        self._events: list[dict[str, Any]] = []
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
        options += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "--window-size=1200,900"]
        self._process = subprocess.Popen(
            [program, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._socket = self._loop.run_until_complete(self._connect(self._port(folder / "DevToolsActivePort")))
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        if hasattr(self, "_socket"):
            self._loop.run_until_complete(self._disconnect())
        self._process.terminate()
        self._process.wait(30)
        self._loop.close()

    async def _disconnect(self) -> None:
        self._socket.close()  # needs a running loop from Python 3.12 on
        await asyncio.sleep(0.05)

    def _port(self, file: Path) -> str:
        """The port that the browser chose and wrote to a file, as soon as it is there."""
        end = time.monotonic() + 60
        while not (file.exists() and file.read_text().count("\n")):
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError("the browser did not start")
            time.sleep(0.05)
        return file.read_text().splitlines()[0]

    async def _connect(self, port: str) -> WebSocketClientConnection:
        client = AsyncHTTPClient()
        answer = await client.fetch(f"http://127.0.0.1:{port}/json/list")
        client.close()
        (target,) = (one for one in json.loads(answer.body) if one["type"] == "page")
        request = HTTPRequest(target["webSocketDebuggerUrl"], request_timeout=60)
        return await websocket_connect(request, max_message_size=2**28)

    def call(self, method: str, **options: Any) -> Any:
        """One command of the protocol; its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, options), 120))

    async def _call(self, method: str, options: dict[str, Any]) -> Any:
        self._count += 1
        await self._socket.write_message(json.dumps({"id": self._count, "method": method, "params": options}))
        while True:
            message = await self._next()
            if message.get("id") == self._count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    async def _next(self) -> dict[str, Any]:
        text = await self._socket.read_message()
        if text is None:
            raise RuntimeError("the browser went away")
        message: dict[str, Any] = json.loads(text)
        facts = message.get("params", {})
        kind = message.get("method", "")
        if kind in ("Runtime.exceptionThrown", "Network.loadingFailed"):
            self.complaints.append(json.dumps(facts))
        elif kind == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(facts["args"]))
        elif kind == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.complaints.append(facts["entry"]["text"])
        self._events.append(message)
        return message

    def open(self, path: Path) -> None:
        """Load a file and wait until it is there."""
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())

        async def loaded() -> None:
            while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
                await self._next()

        self._loop.run_until_complete(asyncio.wait_for(loaded(), 120))

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as ``Enter``, ``Tab`` or a space."""
        code, text = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " ")}[key]
        facts = {"key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
