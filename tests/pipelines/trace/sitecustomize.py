"""On PYTHONPATH, every Python process notes what it imports, opens and connects to, a line each, in the file $TRACE."""

import os
import sys

out = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
stage = os.environ.get("DVC_STAGE", "")  # which DVC gives to every command that it starts
internet = ("socket.connect", "socket.getaddrinfo")


def note(event: str, arguments: tuple[object, ...]) -> None:
    """Called by Python itself (PEP 578); cheap where it is not concerned."""
    if event == "import":
        what = str(arguments[0])
    elif event == "open" and isinstance(arguments[0], str | os.PathLike) and not int(str(arguments[2])) & os.O_ACCMODE:
        what = os.path.abspath(arguments[0])  # noqa: PTH100  (pathlib would open files of its own)
    elif event in internet:
        what = repr(arguments[-1] if event == "socket.connect" else arguments[0])
    else:
        return
    os.write(out, f"{stage}\t{event}\t{what}\n".encode())


sys.addaudithook(note)
