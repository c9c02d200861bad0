"""What every node of a made catalog gives: small blobs in the forms of the real ones.

The kinds' own functions write configs, manifests, indexes, findings and reports; only what would
run programs (builds, tests, the inventory of an image) is replaced by the smallest valid bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from typing import Any, cast

from ssds.advisories.osv import read_advisories
from ssds.core.canonical import canonical_bytes
from ssds.core.digest import Digest
from ssds.core.model import PASS, VERDICT_KINDS, Action, Claim
from ssds.core.pins import ImageLayer
from ssds.core.platform import Platform
from ssds.kinds.build.state import ConfigState
from ssds.kinds.gate.findings import read_scan
from ssds.kinds.gate.judge import judge
from ssds.kinds.scan.match import findings
from ssds.oci import types
from ssds.oci.compress import compress_chunks

LAYERS = 64
"""Images share so many layers: their bytes are not what is measured."""
SCANS = 997
"""So many findings documents differ (by the number of packages)."""
MADE_AT = 1_735_800_000
_REPORT = b"<?xml version='1.0' encoding='utf-8'?>\n<testsuite name=\"made\" tests=\"0\" />"


def layer_bytes(name: str) -> bytes:
    """Returns an uncompressed layer with one empty file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()[:2048]


class Outcomes:
    """Gives the claim of an action and keeps the blobs that it names.

    Args:
        put: keeps bytes as a blob.
        advisories: the bytes of the advisory set.
    """

    def __init__(self, put: Callable[[bytes], Digest], advisories: bytes) -> None:
        self._put = put
        self._advisories = read_advisories(advisories)
        self._images: dict[Digest, bytes] = {}
        self._sizes: dict[Digest, int] = {}
        self._scans: dict[Digest, bytes] = {}
        self._packed: dict[Digest, tuple[Digest, int]] = {}
        self._log = put(b"")
        self._junit = put(_REPORT)
        self._verdict = put(PASS)
        self._layers = [self._layer(f"opt/made/{n}") for n in range(LAYERS)]

    def _layer(self, name: str) -> Digest:
        data = layer_bytes(name)
        packed = b"".join(compress_chunks(iter([data])))
        digest = self._put(data)
        self._packed[digest] = (self._put(packed), len(packed))
        return digest

    def base_layer(self, name: str) -> Digest:
        """Returns the layer of a base."""
        return self._layer(f"etc/{name.replace('/', '-')}")

    def image(self, name: str, platform: Platform, created: int) -> tuple[bytes, ImageLayer]:
        """Returns the config and the layer of an image of others, whose bytes are kept."""
        diff_id = self.base_layer(f"{name} {platform}")
        data = types.config_bytes(
            platform=platform,
            diff_ids=[diff_id],
            environment={"PATH": "/usr/bin:/bin"},
            labels={},
            created=created,
        )
        self._images[self._put(data)] = data
        packed, size = self._packed[diff_id]
        return data, ImageLayer(digest=packed, size_bytes=size, diff_id=diff_id)

    def keep(self, data: bytes) -> Digest:
        """Keeps other bytes as a blob."""
        return self._put(data)

    def claim(self, action: Action) -> Claim:
        """Returns the claim; its blobs are kept."""
        kind = action.node.kind
        outputs = cast(Mapping[str, Digest], getattr(self, f"_{kind}")(action))
        runs = kind in ("base", "build", "test")
        return Claim(
            key=action.key,
            kind=kind,
            outputs=outputs,
            verdict="pass" if kind in VERDICT_KINDS else "",
            logs={"log": self._log},
            builder="embedded",
            mode="identity" if runs else "",
            emulated=runs and action.node.id.platform == "linux/arm64",
            made_at=MADE_AT,
            duration_ms=1,
        )

    def forget(self) -> None:
        """Forgets the images of releases that are done; nothing refers to them any more."""
        self._images.clear()
        self._sizes.clear()

    def _source(self, action: Action) -> Mapping[str, Digest]:
        return action.node.fixed

    def _base(self, action: Action) -> Mapping[str, Digest]:
        return action.node.fixed

    def _build(self, action: Action) -> Mapping[str, Digest]:
        node = action.node
        slice_ = cast(Mapping[str, Any], node.slice)
        below = action.inputs["base"]
        state = ConfigState()
        chain = [below]
        if below in self._images:
            config = types.parse_config(self._images[below])
            chain, state = list(config.diff_ids), ConfigState.of(config)
        start = int(action.key.hex[:8], 16)
        for number, step in enumerate(slice_["steps"]):
            state = state.after(step)
            if step["type"] != "env":
                chain.append(self._layers[(start + number) % LAYERS])
        data = types.config_bytes(
            platform=Platform(node.id.platform),
            diff_ids=chain,
            environment=state.environment,
            labels={
                "org.opencontainers.image.title": slice_["name"],
                "org.opencontainers.image.version": slice_["version"],
            },
            created=node.epoch or 0,
        )
        digest = self._put(data)
        self._images[digest] = data
        return {"config": digest, **{f"layer/{i}": layer for i, layer in enumerate(chain)}}

    def _test(self, _: Action) -> Mapping[str, Digest]:
        return {"verdict": self._verdict, "report": self._junit}

    _deploytest = _test

    def _metadata(self, action: Action) -> Mapping[str, Digest]:
        return {
            "metadata": self._put(canonical_bytes({"metadata_version": 1, **action.node.slice}))
        }

    def _sbom(self, action: Action) -> Mapping[str, Digest]:
        release = cast(Mapping[str, Any], action.node.slice["release"])
        image = {"type": "container", "bom-ref": "image", **release}
        document = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": {**image, "hashes": _hashes(action.inputs["config"])}},
            "components": [],
        }
        names = [str(n) for n in cast(list[str], action.node.slice["commands"])]
        commands = {
            "declared": names,
            "all": names,
            "paths": {name: f"/usr/local/bin/{name}" for name in names},
        }
        return {
            "sbom": self._put(canonical_bytes(document)),
            "commands": self._put(canonical_bytes(commands)),
        }

    def _scan(self, action: Action) -> Mapping[str, Digest]:
        count = int(action.key.hex[:8], 16) % SCANS
        document = findings([], self._advisories)
        document["packages"] = {"total": count, "matched": count, "owned": 0}
        data = canonical_bytes(document)
        digest = self._put(data)
        self._scans[digest] = data
        return {"findings": digest}

    def _gate(self, action: Action) -> Mapping[str, Digest]:
        slice_ = cast(Mapping[str, Any], action.node.slice)
        scan = read_scan(self._scans[action.inputs["findings"]])
        report = judge(scan, slice_["policy"], slice_["waivers"]).report
        return {"verdict": self._verdict, "report": self._put(canonical_bytes(report))}

    def _publish(self, action: Action) -> Mapping[str, Digest]:
        config = action.inputs["config"]
        data = self._images[config]
        packed = [self._packed[d] for d in types.parse_config(data).diff_ids]
        manifest = types.manifest_bytes(
            config=types.Descriptor(media_type=types.CONFIG, digest=config, size_bytes=len(data)),
            layers=[
                types.Descriptor(media_type=types.LAYER_GZIP, digest=digest, size_bytes=size)
                for digest, size in packed
            ],
            annotations=cast(Mapping[str, str], action.node.slice["annotations"]),
        )
        digest = self._put(manifest)
        self._sizes[digest] = len(manifest)
        return {"manifest": digest, **{f"blob/{i}": d for i, (d, _) in enumerate(packed)}}

    def _index(self, action: Action) -> Mapping[str, Digest]:
        data = types.index_bytes(
            [
                types.Descriptor(
                    media_type=types.MANIFEST,
                    digest=digest,
                    size_bytes=self._sizes[digest],
                    platform=Platform(role.partition("/")[2]),
                )
                for role, digest in sorted(action.inputs.items())
            ],
            annotations=cast(Mapping[str, str], action.node.slice["annotations"]),
        )
        return {"index": self._put(data)}


def _hashes(digest: Digest) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.hex}]
