"""The Docker Engine as a builder, through the docker SDK; BuildKit is not needed.

A step is a container of an image that holds exactly the layers below it; the container is committed
and its last layer is what the step changed. An engine writes other bytes than ssds (opaque marks on
new folders, its own mount points), so the layer is unpacked and exported anew by ``oci.layers``.

Bases stay in the engine (``ssds-base``) until ``forget``; images of steps (``ssds-step``) and
containers carry the process id of their maker and are removed by it, or by the next ``sweep``.
Source: Docker Engine API 1.41 (containers, images/load, images/get, commit).
"""
