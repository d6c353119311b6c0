"""A bare streaming client: what a user's program sees, with the time of each piece of text.

Raw sockets and asyncio, so that the client's own cost is small and the same for every server.
"""

import asyncio
import json
import os
import time
from pathlib import Path


class Server:
    """A server under test: where it listens and which process tree it is."""

    def __init__(self, name, port, process, model):
        self.name, self.port, self.process, self.model = name, port, process, model
        self.long = 0  # tokens of an answer that is to be cancelled

    def cpu_seconds(self):
        """Processor time of the process and its children, so far."""
        return sum(cpu_of(pid) for pid in family(self.process.pid))


def family(pid):
    """`pid` and the processes below it."""
    try:
        below = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [pid] + [p for child in below for p in family(child)]


def cpu_of(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def post(server, body):
    """Sends a chat request; the answer is left to be read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()
    return reader, writer


async def stream(server, prompt, max_tokens, stop_after=None, times=None, said=None):
    """Streams one answer and appends the seconds from the request to each piece of text to `times`, which it returns, and the
    pieces to `said`, where that is given.

    Leaves after `stop_after` pieces, if given, or when it is cancelled.
    """
    times = [] if times is None else times
    start = time.perf_counter()
    reader, writer = await post(server, request(server, prompt, max_tokens, True))
    try:
        async for line in reader:
            if line.startswith(b"HTTP/1.") and b" 200 " not in line:
                raise RuntimeError(f"{server.name}: {line.decode().strip()}")
            if line.startswith(b"data: [DONE]"):
                break
            choices = line.startswith(b"data: {") and json.loads(line[6:]).get("choices")
            if choices and choices[0].get("delta", {}).get("content"):
                times.append(time.perf_counter() - start)
                if said is not None:
                    said.append(choices[0]["delta"]["content"])
                if len(times) == stop_after:
                    break
    finally:
        writer.close()
    return times


def request(server, prompt, max_tokens, streamed):
    """The body for a prompt: a text, or a conversation's messages."""
    messages = [dict(role="user", content=prompt)] if isinstance(prompt, str) else prompt
    return dict(model=server.model, messages=messages, max_tokens=max_tokens, temperature=0, stream=streamed)


async def seconds_to_quiet(server, limit=15.0):
    """How long the server goes on using the processor, to 20 ms; `limit` where it does not stop."""
    start = last_busy = time.perf_counter()
    before = server.cpu_seconds()
    while time.perf_counter() - start < limit and time.perf_counter() - last_busy < 0.3:
        await asyncio.sleep(0.01)
        now = server.cpu_seconds()
        if now > before:
            before, last_busy = now, time.perf_counter()
    return last_busy - start
