"""A chain of steps that touches everything a layer can hold; the same in every sandbox mode."""

from __future__ import annotations

from rootfs import EPOCH, base, base_folder, modes, scratch, shell, trees

from ssds.oci.layers import ExportedLayer

STEPS = (
    # files, links, owners, set-uid, sticky, long and odd names, fifo, attributes, capabilities
    """
    mkdir -p /opt/a/b /opt/sticky; echo one >/opt/a/b/file; ln /opt/a/b/file /opt/a/again
    ln -s ../a/b/file /opt/a/link; chmod 1777 /opt/sticky; chmod 4755 /opt/a/b/file
    chown 1000:2000 /opt/a/b; chown 65534:65534 /opt/sticky; mkfifo /opt/fifo
    long=$(head -c 120 /dev/zero | python3 -c 'import sys; print("x" * len(sys.stdin.read()))')
    mkdir -p /opt/$long/$long; echo deep >/opt/$long/$long/$long; ln -s /opt/$long/$long /opt/far
    echo u >"/opt/bl\u00fcte"; touch /opt/empty; python3 - <<'END'
import os
os.setxattr("/opt/a", "user.note", b"kept\\0bytes")
os.setxattr("/opt/a/b/file", "security.capability", bytes.fromhex("0100000200200000") + bytes(12))
os.mkfifo(b"/opt/raw-\\xff")
END
    """,
    # changes, removals, replaced folders, folders only touched, dropped places
    """
    rm /etc/group; echo changed >>/etc/passwd; rm -r /opt/sticky; mkdir /opt/sticky
    chmod 700 /opt/a; touch /usr/bin /usr/lib/new; rm /usr/lib/new; rm -r /home/alice
    echo x >/tmp/x; echo x >/run/x; echo host >/etc/hostname; echo id >/etc/machine-id
    mkdir -p /var/cache/ldconfig /var/log/apt; date >/var/cache/ldconfig/aux-cache
    date >/var/log/apt/history.log; date >/var/log/dpkg.log; mv /opt/a/link /opt/moved
    rm /opt/fifo; mkdir /opt/fifo; echo f >/opt/fifo/file; rm -r /opt/a/b; echo now >/opt/a/b
    """,
    # a folder that was removed comes back with other content
    """
    mkdir -p /home/alice; echo back >/home/alice/file; echo root:x:0: >/etc/group
    rm -r /opt/sticky; rm -rf /opt/a; touch -d 2001-02-03 /opt/old; touch -d 2099-01-01 /opt/future
    """,
)


def run_step(mode: str, number: int, lowers: tuple[str, ...]) -> tuple[str, ExportedLayer, str]:
    """Runs one step on the base and ``lowers``; returns its changes, its layer and the tar."""
    upper = trees(mode).new_upper()
    result, output = shell(mode, STEPS[number], lowers=lowers, upper=upper)
    assert result.exit_code == 0, output
    tar = f"{scratch()}/{mode}-{number}.tar"
    below = [base_folder(mode), *lowers]
    return upper, trees(mode).export(upper, below, EPOCH, tar), tar


def diff_ids(mode: str) -> list[str]:
    """The diffIDs of the base and of the chain, each step on the unpacked layers before it."""
    found = [str(base()[0])]
    lowers: tuple[str, ...] = ()
    for number in range(len(STEPS)):
        upper, layer, tar = run_step(mode, number, lowers)
        trees(mode).discard(upper)
        found.append(str(layer.diff_id))
        lowers = (*lowers, trees(mode).layer(layer.diff_id, tar))
    return found


def print_diff_ids() -> None:
    """For another process."""
    print("\n".join(diff_ids(modes()[0])))
