"""Plain loops to compare with.

``python loops.py yaml FOLDER`` loads every ``FOLDER/*/recipe.yaml`` with libyaml's loader, and
``python loops.py lstat LIST`` asks for the metadata of every path that the file LIST names.
"""

import os
import sys


def load_all(folder: str) -> int:
    import yaml

    count = 0
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, "recipe.yaml")
        if os.path.exists(path):
            with open(path, "rb") as file:
                yaml.load(file.read(), Loader=yaml.CSafeLoader)
            count += 1
    return count


def lstat_all(listing: str) -> int:
    with open(listing, encoding="utf-8") as file:
        paths = file.read().split("\n")[:-1]
    for path in paths:
        os.lstat(path)
    return len(paths)


print({"yaml": load_all, "lstat": lstat_all}[sys.argv[1]](sys.argv[2]))
