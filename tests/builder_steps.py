"""Runs steps by any builder on the tiny root file system; the suites of all builders use it."""

from __future__ import annotations

import functools
import os
import tempfile

from layer_steps import STEPS
from rootfs import EPOCH, base, modes, scratch, trees

from ssds.builders.plug import Builder, Layer, Work
from ssds.builders.table import find
from ssds.core.platform import Platform
from ssds.host.machine import native_platform
from ssds.host.sandbox import Job, JobResult, fixed_environment
from ssds.oci.layers import ExportedLayer


def the_builder(name: str) -> Builder:
    """A builder whose images are kept in ``scratch``."""
    if name == "docker":
        from docker_server import docker_host

        os.environ["DOCKER_HOST"] = docker_host()
    return find(name, trees(modes()[0]).sandbox, f"{scratch()}/builders")


def base_layer() -> Layer:
    """The tiny root file system."""
    digest, tar = base()
    return Layer(digest=digest, tar=tar)


def run(
    builder: Builder, script: str, layers: tuple[Layer, ...] = (), upper: str = "", **more: object
) -> tuple[JobResult, str]:
    """Runs a script on the base and ``layers``; returns how it ended and its output."""
    output = bytearray()
    stack = (base_layer(), *layers)
    values = {"environment": fixed_environment(EPOCH), "time_limit_s": 60, **more}
    job = Job(
        lowers=tuple(trees(modes()[0]).layer(layer.digest, layer.tar) for layer in stack),
        argv=("/bin/sh", "-euc", script),
        upper=upper,
        log=output.extend,
        **values,  # type: ignore[arg-type]
    )
    with tempfile.TemporaryDirectory(prefix="work-", dir=scratch()) as folder:
        work = Work(job=job, layers=stack, platform=Platform(native_platform()), folder=folder)
        result = builder.run(work)
    return result, output.decode("utf-8", "replace")


def layer_of(
    builder: Builder, script: str, layers: tuple[Layer, ...] = (), **more: object
) -> tuple[ExportedLayer, str]:
    """Runs a script that must end well; returns its layer and the tar."""
    mode = modes()[0]
    upper = trees(mode).new_upper()
    try:
        result, output = run(builder, script, layers, upper, **more)
        assert result.exit_code == 0, output
        handle, tar = tempfile.mkstemp(suffix=".tar", dir=scratch())
        os.close(handle)
        stack = (base_layer(), *layers)
        lowers = [trees(mode).layer(layer.digest, layer.tar) for layer in stack]
        return trees(mode).export(upper, lowers, EPOCH, tar), tar
    finally:
        trees(mode).discard(upper)


@functools.cache
def chain(name: str, *, without: str = "") -> tuple[str, ...]:
    """The diffIDs of a chain of steps that touches everything a layer can hold; run once.

    Args:
        without: a line that is left out of the steps.
    """
    builder = the_builder(name)
    layers: tuple[Layer, ...] = ()
    for step in STEPS:
        layer, tar = layer_of(builder, step.replace(without, "") if without else step, layers)
        layers = (*layers, Layer(digest=layer.diff_id, tar=tar))
    builder.close()
    return tuple(str(layer.digest) for layer in layers)
