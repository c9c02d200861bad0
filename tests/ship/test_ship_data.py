"""Reference data in trees: by digest, with modules and Galaxy's tables, on every target."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cvmfs_place import Server
from data_makers import FILES, GENOME, data_layer, data_lock
from module_systems import HOSTILE, LMOD, modulecmd, shell_in
from ship_makers import image, release, script, site, small_tar

from ssds.core.errors import IntegrityError, Refused, UnavailableError
from ssds.core.records import replace
from ssds.lock.model import Lock
from ssds.oci.blobs import Blobs
from ssds.ship.checking import check_tree
from ssds.ship.deploy import deploy, plan_deploy, read_deployed
from ssds.ship.prune import plan_removal, prune
from ssds.ship.refdata.content import unpack_set
from ssds.ship.rollback import rollback
from ssds.ship.targets.cvmfs import CvmfsRepository
from ssds.ship.targets.ingest import CvmfsIngest
from ssds.ship.targets.plain import PlainTree
from ssds.ship.targets.plug import Target

ALL = site(data=("*",))


def tool(blobs: Blobs) -> Lock:
    half = image(blobs, [small_tar({"usr/bin/tool": script("echo one")})], ["tool"], {})
    return release(blobs, half)


def read(place: str, path: str) -> bytes:
    return Path(place, path).read_bytes()


@pytest.fixture
def blobs(in_memory: str) -> Blobs:
    return Blobs(f"{in_memory}/blobs")


@pytest.fixture(params=["plain", "cvmfs", "ingest"])
def target(request: pytest.FixtureRequest, in_memory: str) -> Target:
    if request.param == "plain":
        return PlainTree(f"{in_memory}/tree")
    kind = CvmfsIngest if request.param == "ingest" else CvmfsRepository
    return Server(f"{in_memory}/server", kind).target()


def test_a_set_stands_by_its_digest_with_readable_links_in_one_generation(
    target: Target, blobs: Blobs
) -> None:
    lock, new = data_lock(blobs), data_lock(blobs, version="1.10")
    assert lock.made is not None
    report = deploy(ALL, [tool(blobs)], blobs, target, data=[lock])
    assert (report.generation, report.images_written, report.data_written) == (1, 1, 1)
    assert check_tree(target.folder).problems == ()
    assert (check_tree(target.folder).images, check_tree(target.folder).data) == (1, 1)
    home = f"{target.folder}/sites/example"
    hexes = lock.made.content.digest.hex
    place = f"{target.folder}/.ssds/data/{hexes[:2]}/{hexes}"
    assert os.path.realpath(f"{home}/data/words/1.0") == os.path.realpath(f"{place}/data")
    assert read(home, "data/words/current/genome.fa") == GENOME
    assert read(home, "data/words/1.0/newest.fa") == GENOME
    manifest = read(place, "MANIFEST.json")
    assert hashlib.sha256(manifest).hexdigest() == hexes
    listed = {f["path"]: f for f in json.loads(manifest)["files"]}
    assert listed["genome.fa"]["sha256"] == hashlib.sha256(GENOME).hexdigest()
    assert json.loads(read(home, "data/words@1.0.json"))["about"]["licenses"] == ["CC0-1.0"]
    assert os.path.isfile(f"{place}/.cvmfscatalog")
    assert os.path.isfile(f"{target.folder}/.ssds/data/.cvmfscatalog")
    assert f"/.ssds/data/{hexes[:2]}/{hexes}/*" in read(home, "cvmfs/preload.txt").decode()

    again = deploy(ALL, [tool(blobs)], blobs, target, data=[lock])
    assert not again.written
    assert [(c.verb, c.what) for c in again.changes][-1] == ("=", "data/words/1.0")
    more = deploy(ALL, [tool(blobs)], blobs, target, data=[lock, new])
    assert (more.generation, more.data_written) == (2, 0)  # the same files, under two versions
    assert os.readlink(f"{home}/data/words/current") == "1.10"
    rollback("example", target)
    assert not os.path.lexists(f"{home}/data/words/1.10")


def test_sites_share_a_set_and_removal_looks_at_all_of_them(target: Target, blobs: Blobs) -> None:
    one = data_lock(blobs)
    two = data_lock(blobs, data_layer({"other": b"x"}), name="second")
    deploy(ALL, [], blobs, target, data=[one, two])
    other = site(name="other", data=("words",))
    assert deploy(other, [], blobs, target, data=[one, two]).data_written == 0
    assert not os.path.lexists(f"{target.folder}/sites/other/data/second")
    deploy(site(), [], blobs, target, data=[one, two])  # wants none any longer
    assert prune(target, now_s=100, keep=1, grace_s=50) == (".ssds/sites/example/1",)
    waiting = plan_removal(target.folder, keep=1, grace_s=50, now_s=120).waiting
    assert [d.hex for d in waiting] == [two.made.content.digest.hex]  # type: ignore[union-attr]
    (gone,) = prune(target, now_s=200, keep=1, grace_s=50)
    assert gone.endswith(two.made.content.digest.hex)  # type: ignore[union-attr]
    assert not os.path.lexists(f"{target.folder}/{gone}")
    assert not os.path.lexists(f"{target.folder}/{gone}.json")
    assert read(target.folder, "sites/other/data/words/1.0/genome.fa") == GENOME
    assert check_tree(target.folder).problems == ()


def test_a_new_content_of_a_version_leaves_the_old_one_to_who_reads_it(
    in_memory: str, blobs: Blobs
) -> None:
    tree = f"{in_memory}/tree"
    old, new = data_lock(blobs), data_lock(blobs, data_layer({"genome.fa": b">new\nA\n"}))
    deploy(ALL, [], blobs, tree, data=[old])
    full = os.readlink(f"{tree}/sites/example/data/words/1.0")
    report = deploy(ALL, [], blobs, tree, data=[new])
    assert "becomes" in report.changes[0].reason
    assert not deploy(ALL, [], blobs, tree, data=[new]).written
    assert read(tree, f"sites/example/data/words/{full}/genome.fa") == GENOME
    assert os.path.isfile(f"{tree}/sites/example/modules/words/{full}.lua")
    assert read(tree, "sites/example/data/words/1.0/genome.fa") == b">new\nA\n"
    prune(tree, now_s=1, keep=1, grace_s=0)  # the record does not keep earlier contents alive
    assert not os.path.exists(f"{tree}/sites/example/data/words/{full}")
    with pytest.raises(Refused, match="no earlier generation"):
        rollback("example", tree)
    deploy(ALL, [], blobs, tree, data=[new])
    assert not os.path.lexists(f"{tree}/sites/example/data/words/{full}")
    assert check_tree(tree).problems == ()


def test_a_damaged_set_is_named_and_made_anew(target: Target, blobs: Blobs) -> None:
    lock = data_lock(blobs)
    deploy(ALL, [], blobs, target, data=[lock])
    with target.locked(), target.change("damage it") as draft:
        draft.remove(os.path.relpath(real_path(target, "genome.fa"), target.folder))
    (problem,) = check_tree(target.folder).problems
    assert "/data: not as it was deployed" in problem
    assert not deploy(ALL, [], blobs, target, data=[lock]).written  # only a repair looks
    assert deploy(ALL, [], blobs, target, data=[lock], repair=True).data_written == 1
    assert check_tree(target.folder).problems == ()
    assert read(target.folder, "sites/example/data/words/1.0/genome.fa") == GENOME


def test_a_repair_that_cannot_end_leaves_a_damaged_set_to_who_reads_it(
    in_memory: str, blobs: Blobs
) -> None:
    lock = data_lock(blobs)
    tree = f"{in_memory}/tree"
    deploy(ALL, [], blobs, tree, data=[lock])
    Path(f"{tree}/sites/example/data/words/1.0/added").write_text("x")
    assert lock.made is not None
    place = blobs.path(lock.made.layers[0].digest)
    kept = Path(place).read_bytes()
    os.chmod(place, 0o644)
    Path(place).write_bytes(kept[:-1] + b"!")
    with pytest.raises(IntegrityError):
        deploy(ALL, [], blobs, tree, data=[lock], repair=True)
    assert read(tree, "sites/example/data/words/1.0/genome.fa") == GENOME
    Path(place).write_bytes(kept)
    assert deploy(ALL, [], blobs, tree, data=[lock], repair=True).data_written == 1
    assert check_tree(tree).problems == ()


def real_path(target: Target, name: str) -> str:
    folder = os.path.realpath(f"{target.folder}/sites/example/data/words/1.0")
    inner = os.path.relpath(folder, os.path.realpath(target.folder))
    return os.path.join(target.folder, inner, name)


def test_a_plan_says_what_would_change_and_what_is_missing(in_memory: str, blobs: Blobs) -> None:
    lock = data_lock(blobs)
    tree = f"{in_memory}/tree"
    plan = plan_deploy(ALL, [], blobs, tree, data=[lock])
    assert [(c.verb, c.what) for c in plan.changes] == [("+", "data/words/1.0")]
    assert plan.missing == ()
    empty = Blobs(f"{in_memory}/empty")
    assert {r for r, _ in plan_deploy(ALL, [], empty, tree, data=[lock]).missing} == {"words@1.0"}
    with pytest.raises(UnavailableError) as caught:
        deploy(ALL, [], empty, tree, data=[lock])
    assert caught.value.code == "D016"
    assert not os.path.exists(f"{tree}/.ssds/tree.json")
    unmade = replace(lock, made=None)
    assert plan_deploy(ALL, [], blobs, tree, data=[unmade]).left_out[0][0] == "words@1.0"
    for data, count in (
        (("words@1.0",), 1), (("words@2",), 0), (("category:genomics",), 1),
        (("licence:CC0-1.0",), 1), (("licence:MIT",), 0), ((), 0),
    ):  # fmt: skip
        plan = plan_deploy(site(data=data), [], blobs, tree, data=[lock])
        assert len(plan.changes) == count, data


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a": "/etc/passwd", "b": b"x"}, "D081"),
        ({"a/b": "../../../etc/passwd"}, "D081"),
        ({"in": "a/..", "a/up": "..", "b": "a/up/../../x"}, "D081"),
        ({"loop": "loop"}, "D081"),
        ({"a/.cvmfscatalog": b""}, "D081"),
        ({"../../out": b"x"}, "O031"),
    ],
)
def test_hostile_layers_write_nothing(
    in_memory: str, blobs: Blobs, files: dict[str, bytes | str], code: str
) -> None:
    lock = data_lock(blobs)
    made = lock.made
    assert made is not None
    deploy(ALL, [], blobs, f"{in_memory}/tree", data=[lock])
    if code == "O031":
        tar = small_tar({f"data/{path}": content for path, content in files.items()})
        layer = replace(made.layers[0], digest=blobs.put(tar), size_bytes=len(tar))
        listed = json.loads(blobs.read(made.content.digest))
        listed["layers"] = [{"digest": str(layer.digest), "size": layer.size_bytes}]
        text = json.dumps(listed).encode()
        content = replace(made.content, digest=blobs.put(text), size_bytes=len(text))
        bad = replace(lock, made=replace(made, content=content, layers=(layer,)))
    else:
        bad = data_lock(blobs, data_layer(files))
    with pytest.raises(IntegrityError) as caught:
        deploy(ALL, [], blobs, f"{in_memory}/tree", data=[bad])
    assert caught.value.code == code
    assert check_tree(f"{in_memory}/tree").problems == ()
    assert read_deployed(f"{in_memory}/tree", "example").number == 1
    assert not os.path.exists(f"{in_memory}/out")


def test_layers_that_hold_other_files_than_the_list_are_refused(
    in_memory: str, blobs: Blobs
) -> None:
    lock = data_lock(blobs)
    made = lock.made
    assert made is not None
    listed = json.loads(blobs.read(made.content.digest))
    listed["files"][0]["sha256"] = "0" * 64
    text = json.dumps(listed).encode()
    content = replace(made.content, digest=blobs.put(text), size_bytes=len(text))
    for bad in (replace(made, content=content), replace(made, layers=made.layers[:1])):
        with pytest.raises(IntegrityError) as caught:
            unpack_set(f"{in_memory}/tree", replace(lock, made=bad), blobs)
        assert caught.value.code == "D080"


@pytest.mark.component("lmod", "environment-modules")
@pytest.mark.parametrize("system", ["lmod", "tcl"])
@pytest.mark.parametrize("naming", ["flat", "category"])
def test_modules_set_the_variables_wherever_the_tree_is(
    in_memory: str, blobs: Blobs, system: str, naming: str
) -> None:
    hostile = {"title": HOSTILE[0], "description": "\n".join(HOSTILE), "licenses": ["MIT"],
               "categories": ["genomics"]}  # fmt: skip
    environment = {
        "BLASTDB": "{path}",
        "GENOME": '{path}/genome.fa $HOME "[exit 3]" \\ {path}',
        "LD_PRELOAD": "{path}/x.so",
    }
    lock = data_lock(blobs, about=hostile, environment=environment)
    place = site(data=("words",), modules="both", naming=naming)
    deploy(place, [tool(blobs)], blobs, f"{in_memory}/tree", data=[lock])
    shutil.move(f"{in_memory}/tree", f"{in_memory}/elsewhere")
    home = f"{in_memory}/elsewhere/sites/example"
    assert LMOD if system == "lmod" else modulecmd()
    name = "words" if naming == "flat" else "genomics/words"
    text = f'module load {name}\nprintf "%s\\n" "$BLASTDB" "$GENOME" "$LD_PRELOAD"\n'
    done = shell_in(system, f"{home}/modules", f'{text}cat "$BLASTDB/genome.fa"')
    assert done.stderr == b""
    blastdb, genome, preload, *rest = done.stdout.decode().split("\n")
    full = os.readlink(f"{home}/data/words/1.0")
    assert blastdb == f"{home}/data/words/{full}"
    assert genome == f'{blastdb}/genome.fa $HOME "[exit 3]" \\ {blastdb}'
    assert preload == ""
    assert "\n".join(rest).encode() == GENOME
    told = shell_in(
        system, f"{home}/modules", f"module whatis {name} 2>&1; module help {name} 2>&1"
    )
    assert b"10.1000" not in told.stdout
    assert str(lock.made.content.digest).encode() in told.stdout  # type: ignore[union-attr]


def test_galaxys_tables_name_every_row_by_where_they_are(in_memory: str, blobs: Blobs) -> None:
    swapped = {"path": "{path}/x", "dbkey": "cost $5", "value": "v"}
    sets = [data_lock(blobs), data_lock(blobs, name="zwei", loc={"fasta_indexes": [swapped]})]
    deploy(ALL, [], blobs, f"{in_memory}/tree", data=sets)
    home = f"{in_memory}/tree/sites/example"
    (table,) = ET.fromstring(read(home, "galaxy/tool_data_table_conf.xml"))
    assert table.attrib["name"] == "fasta_indexes"
    columns, file = table
    assert columns.text == "value, dbkey, path"
    here = f"{home}/galaxy"
    place = file.attrib["path"].replace("${__HERE__}", here)
    rows = [line.split("\t") for line in Path(place).read_text().splitlines()]
    assert rows[1][:2] == ["v", "cost $$5"]
    assert Path(rows[0][2].replace("${__HERE__}", here)).read_bytes() == GENOME
    other = data_lock(blobs, name="odd", loc={"fasta_indexes": [{"value": "x"}]})
    with pytest.raises(Refused) as caught:
        deploy(ALL, [], blobs, f"{in_memory}/tree", data=[*sets, other])
    assert caught.value.code == "D083"
    assert read_deployed(f"{in_memory}/tree", "example").number == 1


def test_a_set_called_as_a_release_of_the_site_is_refused(in_memory: str, blobs: Blobs) -> None:
    lock = data_lock(blobs, name="tool")
    with pytest.raises(Refused) as caught:
        deploy(ALL, [tool(blobs)], blobs, f"{in_memory}/tree", data=[lock])
    assert caught.value.code == "D082"
    assert not os.path.lexists(f"{in_memory}/tree/sites/example")


def test_large_files_get_their_setting(in_memory: str, blobs: Blobs) -> None:
    lock = data_lock(blobs)
    deploy(ALL, [], blobs, f"{in_memory}/tree", data=[lock])
    text = read(f"{in_memory}/tree/sites/example", "cvmfs/server.conf").decode()
    assert "CVMFS_FILE_MBYTE_LIMIT=1024\n" in text
    from ssds.ship.refdata.compose import server_text

    assert b"CVMFS_FILE_MBYTE_LIMIT=3001\n" in server_text((3000 << 20) + 1)


def test_files_are_given_as_the_archive_had_them(in_memory: str, blobs: Blobs) -> None:
    run = tarfile.TarInfo("data/run.sh")
    run.mode, run.mtime = 0o100750, 1_000_000
    lock = data_lock(blobs, data_layer(FILES), small_tar({"data/run.sh": run}))
    deploy(ALL, [], blobs, f"{in_memory}/tree", data=[lock])
    status = os.stat(f"{in_memory}/tree/sites/example/data/words/1.0/run.sh")
    assert status.st_mode & 0o777 == 0o755
    assert status.st_mtime == 1_000_000
