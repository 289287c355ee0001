#!/usr/bin/env python3
"""Drives a machine through qemu.qmp, as its users do: negotiation, commands, errors, events.

    client.py SOCKET
"""

import asyncio
import sys

from qemu.qmp import ExecuteError, QMPClient


async def main():
    client = QMPClient("test")
    await client.connect(sys.argv[1])
    status = await client.execute("query-status")
    assert status["status"] in ("running", "prelaunch"), status
    version = (await client.execute("query-version"))["qemu"]
    assert version["major"] >= 2, version
    schema = await client.execute("query-qmp-schema")
    commands = {command["name"] for command in await client.execute("query-commands")}
    assert commands == {entity["name"] for entity in schema if entity["meta-type"] == "command"}
    try:
        await client.execute("pmemsave", {"val": 0, "size": 1})
        raise AssertionError("an argument was missing")
    except ExecuteError as error:
        assert "'filename' is missing" in str(error), error
    with client.listener(("STOP", "RESUME")) as listener:
        await client.execute("cont")
        assert (await listener.get())["event"] == "RESUME"
        await client.execute("stop")
        assert (await listener.get())["event"] == "STOP"
    with client.listener("SHUTDOWN") as listener:
        await client.execute("quit")
        assert (await listener.get())["data"]["reason"] == "host-qmp-quit"
    # The machine may have closed the connection first, which the library tells by an exception.
    try:
        await client.disconnect()
    except EOFError:
        pass


asyncio.run(asyncio.wait_for(main(), 30))
print("all as expected")
