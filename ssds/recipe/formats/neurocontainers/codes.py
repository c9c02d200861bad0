"""What can be wrong in recipes of NeuroDesk's format: code → summary and what to do."""

from __future__ import annotations

ERRORS: dict[str, tuple[str, str]] = {
    "N010": ("not a recipe name", "Use lower-case letters, digits, dots and dashes, at most 64."),
    "N011": (
        "not a version",
        "Quote it; use letters, digits and . _ + ~ : -, beginning with a letter or digit.",
    ),
    "N012": ("unknown package manager", "Use apt or yum."),
    "N013": ("not an image of a registry", "Write [HOST/]REPOSITORY[:TAG], as in ubuntu:24.04."),
    "N014": ("variant is reserved", "arm64 and names that end in _arm64 are architectures."),
    "N015": ("two variants with one name", "Rename one: _ becomes -, a digit in front gets a v."),
    "N016": ("variant on an architecture that the recipe lacks", "Add it under architectures."),
    "N017": ("unknown option", "Declare it under options."),
    "N018": ("directive of no known kind", "Write one of the kinds."),
    "N020": ("no choice of try holds", "Add one whose condition holds here."),
    "N021": ("environment variable over several lines", "ENV holds one line; write a file."),
    "N022": ("text cannot be split into words", "Close its quotes, or write a list."),
    "N023": ("entry point with quotes", "Write the path of one program, or a script's."),
    "N024": ("directives nested too deeply", "Groups and includes go 8 levels deep."),
    "N025": ("include cannot be read", "Name a file below macros/ of the checkout."),
    "N026": ("template cannot be used", "Correct its name, method or arguments."),
    "N027": ("file declared twice", "Rename one of them."),
    "N028": ("file without origin", "Give it one of url, filename, contents."),
    "N029": ("copy without source and destination", "Write what is copied, then where to."),
    "N030": (
        "not a destination of a copy",
        "Write an absolute path; with several sources it ends with /.",
    ),
    "N044": ("run without a command", "Write at least one command."),
    "N053": ("recipe is too much work to read", "Shorten its loops, lists and includes."),
    "N054": ("suite without a test", "Write one, or remove the file: untested is not passed."),
    "N060": ("value of the wrong type in fulltest.yaml", "Write what is expected there."),
    "N061": ("suite or test is not whole", "Add the key."),
    "N064": ("validator that nobody knows", "It would pass silently: use one that is known."),
    "N066": ("path that cannot be looked at", "Name a file below the work folder, without '..'."),
    "N067": ("variables make the text too long", "Variables may not name each other in circles."),
}

WARNINGS: dict[str, tuple[str, str]] = {
    "N040": ("file is not in the recipe's folder", "Add it: the build will fail without it."),
    "N041": ("command cannot have a wrapper", "Write its name alone, and its folder under path."),
    "N042": ("version is a number", 'Quote it: "1.10" and 1.1 would be the same number.'),
    "N043": ("key that nothing reads", "Remove it, or write a directive of its own."),
    "N045": ("file is asked for outside of a run", "Only a run has it mounted: ask there."),
    "N046": ("recipe without readme", "Write readme, structured_readme or README.md."),
    "N047": ("here-document in a run", "Its lines get joined by &&: declare a file with contents."),
    "N049": (
        "address over plain http",
        "Use https: anybody on the way can change what comes, and the lock holds what came first.",
    ),
    "N050": ("base image without a version", "Name a tag that stays, best with its digest."),
    "N055": (
        "base is an image of a recipe that is here in another version",
        "It is used as it was published; name the version here, and the two are built together.",
    ),
    "N051": ("version is whatever is newest", "Name a version: latest is another one next month."),
    "N052": (
        "not an SPDX licence expression in the NeuroDesk recipe",
        "Use identifiers of the SPDX licence list, or name: for a licence of its own.",
    ),
    "N048": (
        "run ends with a line that goes on",
        "Remove the backslash, or the empty lines at the end.",
    ),
    "N062": (
        "suite is for another version",
        "Its tests run in this image all the same: bring it up to date with build.yaml.",
    ),
    "N063": ("key that nobody reads in fulltest.yaml", "Remove it, or correct its spelling."),
    "N065": ("depends on a test that does not come before", "Correct the name, or the order."),
    "N068": (
        "suite is skipped: host_script would run on the host",
        "Make its data in setup.script, which runs in the image, or name it as a source.",
    ),
    "N069": ("two tests of one name", "Rename one: what depends on it cannot tell them apart."),
}
