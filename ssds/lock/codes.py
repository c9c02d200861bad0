"""Every code of a lock diagnostic: one cause, one remedy."""

from __future__ import annotations

RESTORE = "Restore the file from git (git checkout -- FILE) or make it anew with ssds lock."

CODES: dict[str, tuple[str, str]] = {
    "L001": ("a lock file cannot be read", "Check that it exists and may be read."),
    "L002": ("a lock file is too large", "A lock is a few hundred kilobytes. " + RESTORE),
    "L003": ("a lock file is not UTF-8 text", RESTORE),
    "L004": ("a lock file is not JSON", RESTORE),
    "L005": ("a key appears twice", "Keep one of them; ssds lock merge joins two locks."),
    "L006": ("a value has no canonical form", "Locks hold no floats, no NaN and no null."),
    "L007": ("a lock file is nested too deeply", RESTORE),
    "L008": ("a number is too large", "Numbers are whole and below 2^63."),
    "L009": ("a lock file has a newer format", "Use a newer ssds, or restore the older file."),
    "L010": ("a file is not a lock of ssds", RESTORE),
    "L011": ("unknown key in a lock", "Remove it, or use the ssds version that wrote it."),
    "L012": ("a key is missing in a lock", RESTORE),
    "L013": ("a value in a lock has the wrong type", RESTORE),
    "L014": ("a value in a lock is not allowed", RESTORE),
    "L015": ("a text in a lock is not the digest it should be", RESTORE),
    "L016": ("a lock file has another file's name", "Name it <name>@<version>.lock.json."),
    "L017": ("unknown platform in a lock", "Use linux/amd64 or linux/arm64."),
    "L018": ("the layers of a release do not fit together", RESTORE),
    "L019": ("the index names a platform without a release", "Run ssds apply on that platform."),
    "L020": ("index and revision do not fit together", "Run ssds apply; it sets both."),
    "L021": ("a lock file holds merge conflict marks", "Join both sides with ssds lock merge."),
    "L022": ("a lock uses a shared pin that is not there", "Run ssds lock to pin it again."),
    "L023": ("two releases have one tag text", "Rename one version or variant."),
    "L024": ("an unsafe file name or path in a lock", RESTORE),
    "L025": ("an unsafe command name in a lock", "Commands are plain names or absolute paths."),
    "L026": ("an adopted release and a built one are mixed", RESTORE),
    "L027": ("a file in lockfiles is not a lock", "Move it elsewhere."),
    "L028": ("a package appears twice in one set", "Run ssds lock to resolve the set again."),
    "L029": (
        "a lock refers to a version that its recipe does not offer any more",
        "Put the version back, or choose another: ssds lock --upgrade recipes NAME.",
    ),
    "L030": ("a verdict in a lock is not the one that its output says", RESTORE),
    "L031": ("a result in a lock lacks an output of its kind", RESTORE),
    "L032": ("a pin is missing", "Run ssds lock and commit lockfiles/."),
    "L033": (
        "a pin answers another request than today's",
        "Run ssds lock and commit lockfiles/; or put back what the recipe asked for.",
    ),
}
