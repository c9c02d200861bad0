"""Runs NeuroDesk's own builder on a whole checkout: what it gives for every target, as JSON.

A program of its own, because it imports their code: ``python neurocontainers_theirs.py CHECKOUT``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(checkout: Path) -> None:
    sys.path.insert(0, str(checkout))
    began = time.perf_counter()
    import builder.recipe as theirs  # type: ignore[import-not-found]
    from builder.dockerfile import render_dockerfile  # type: ignore[import-not-found]
    from builder.variants import concrete_variant_specs  # type: ignore[import-not-found]

    theirs._read_readme_url = lambda url: url  # no network here
    found = {}
    for folder in sorted((checkout / "recipes").iterdir()):
        if not (folder / "build.yaml").is_file():
            continue
        for spec in concrete_variant_specs(theirs.load_recipe(folder)):
            compiled = theirs.compile_recipe(
                folder,
                architecture=spec["architecture"],
                variant=spec["variant"] or None,
                include_dirs=(checkout,),
                parallel_jobs=4,
            )
            text = render_dockerfile(compiled.definition)
            key = f"{compiled.base_name} {compiled.version} {compiled.architecture}"
            found[key] = text
    seconds = time.perf_counter() - began
    json.dump({"seconds": seconds, "dockerfiles": found}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
