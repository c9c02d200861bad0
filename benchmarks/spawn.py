"""Runs one command and prints what it used: CPU seconds, peak KiB, seconds, exit code.

Run as ``python -I -S spawn.py OUT FOLDER COMMAND...``; its output goes to OUT. A process of its
own, as small as Python can be: the kernel counts the memory of the parent into the peak of a child
that was forked from it.
"""

import os
import sys
import time


def main() -> None:
    out, folder, *command = sys.argv[1:]
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            os.chdir(folder)
            os.execv(command[0], command)
        finally:
            os._exit(127)
    _, status, used = os.wait4(child, 0)
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss, seconds, code)


main()
