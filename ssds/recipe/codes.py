"""Every diagnostic of the recipe room: one cause, one code, one summary, one remedy.

``docs/reference/diagnostics.md`` is made from it (``tests/doc_reference.py``).
"""

from __future__ import annotations

import functools

from ssds.core.diagnostics import Diagnostic, Severity, Span
from ssds.core.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One row of the table: constant summary, constant hint, how bad it is."""

    summary: str
    hint: str
    severity: Severity = Severity.ERROR


FAMILIES = {
    "R": "recipe",
    "B": "bases file",
    "P": "policies file",
    "C": "channels file",
    "S": "site file",
    "V": "advisories file",
    "K": "catalog file",
    "W": "settings",
    "N": "NeuroDesk recipe",
    "G": "data set",
    "U": "debts file",
}
"""The letter of a code → the file that it speaks of."""

_SHAPE = {
    "001": ("unknown key", "Remove the key or correct its name."),
    "002": ("a required key is missing", "Add the key."),
    "003": ("wrong type of value", "Write a value of the type that is wanted here."),
    "004": ("value is not one of the allowed ones", "Use one of the allowed values."),
    "005": ("value does not have the right form", "Correct the value."),
    "006": ("value is out of range", "Stay within the limits."),
    "007": ("keys that do not go together", "Keep exactly one of the alternatives."),
    "008": ("value stands twice", "Remove one of them."),
}

_TABLE: dict[str, tuple[str, str]] = {
    "Y001": ("file cannot be read", "It must be a regular file that you may read."),
    "Y002": ("file is too large", "A file of the catalog holds at most 1 MiB; move data out."),
    "Y003": ("file is not UTF-8", "Save it as UTF-8 without a byte order mark."),
    "Y004": ("file begins with a byte order mark", "Save it as UTF-8 without a byte order mark."),
    "Y005": ("control character in text", "Remove the character."),
    "Y006": ("not valid YAML", "Check indentation, quotes and brackets near this place."),
    "Y007": ("tab used for indentation", "Indent with spaces."),
    "Y008": ("key stands twice", "Keep one of them; the later one would silently win."),
    "Y009": ("anchors and aliases are not supported", "Write the value out, or use variables."),
    "Y010": ("tags and directives are not supported", "Remove it; values have plain types only."),
    "Y011": ("more than one document in the file", "Split it into files; remove the '---' line."),
    "Y012": ("file is empty", "Write a mapping of keys and values."),
    "Y013": ("nested too deeply", "At most 32 levels are allowed."),
    "Y014": ("a number with a fraction", 'Quote it: "1.10" and 1.1 would be the same number.'),
    "Y015": ("a key without a value", 'Give it a value, write "" or [] or {}, or remove it.'),
    "Y016": ("a key that is not text", "Quote the key."),
    "Y017": ("a number in an unusual form", "Write plain decimal digits, at most 15, or quote it."),
    "Y018": ("invisible text-direction character", "Remove it: it shows other text than it holds."),
    "Y019": ("too many values in one file", "A file holds at most 50,000 values."),
    "R075": ("name differs from its folder", "The folder below catalog/ has the recipe's name."),
    "R009": ("not a recipe name", "Use lower-case letters, digits and . _ - inside, at most 64."),
    "R010": (
        "not a version",
        "Quote it; use letters, digits and . _ + ~ : -, beginning with a letter or digit.",
    ),
    "R011": ("version and versions exclude each other", "Keep one: version, or versions."),
    "R012": ("unknown base image", "Bases are declared in catalog/bases.yaml."),
    "R013": ("not an SPDX licence expression", "Use identifiers of the SPDX licence list."),
    "R014": ("not a sha256", "Write 64 hexadecimal digits in lower case, quoted."),
    "R015": ("address without transport security or checksum", "Add sha256, or use https."),
    "R017": ("not a web address", "Write https://host/path (http only with sha256)."),
    "R018": ("a source needs exactly one origin", "Keep one of url, git, deb-src, pypi."),
    "R019": ("not a package and version", "Write name/version, as in samtools/1.16.1-1."),
    "R020": ("unknown source", "Declare it under sources."),
    "R022": ("a step needs exactly one kind", "Write one action per list item."),
    "R024": ("path is not absolute", "Begin it with /."),
    "R025": ("path is not in plain form", "Remove empty, . and .. parts."),
    "R026": ("local file is missing", "Put it into the recipe's folder or correct the path."),
    "R027": ("local path leaves the recipe's folder", "Copy the file into the recipe's folder."),
    "R028": (
        "local file cannot be used",
        "Only files, folders and links of limited size with UTF-8 names can be copied.",
    ),
    "R029": ("a copy needs exactly one origin", "Keep one of local, source, recipe."),
    "R030": ("not a Debian package name", "Write a package name, or name=version."),
    "R031": ("not a Python requirement", 'Write it as in "nibabel==5.2.1" (PEP 508).'),
    "R032": ("a Python requirement by address", "Name a version; declare an archive as a source."),
    "R033": ("not an environment variable name", "Use letters, digits and _; no leading digit."),
    "R034": ("environment variable is reserved", "ssds sets it itself; remove it."),
    "R035": ("template cannot be read", "To write two braces as text, use {{ '{{' }}."),
    "R036": ("unknown name in a template", "Declare it under variables."),
    "R037": (
        "not allowed in a template",
        "Names, text, comparison, 'x if y else z' and a few filters are; see recipe.md.",
    ),
    "R038": ("template gives too much text", "Shorten it; large data belongs into files."),
    "R039": ("template fails", "Correct the expression."),
    "R040": ("not a variable name, or a reserved one", "Choose another name: letters, digits, _."),
    "R041": ("two tests with one name", "Rename one."),
    "R042": ("command stands twice", "Remove one."),
    "R044": ("not a date", "Write the last day on which it holds as YYYY-MM-DD."),
    "R045": ("finding waived twice", "Keep one waiver per finding and package."),
    "R046": ("unknown scan policy", "Policies are declared in catalog/policies.yaml."),
    "R047": ("unknown channel", "Channels are declared in catalog/channels.yaml."),
    "R048": ("unknown recipe", "Name a folder of the catalog."),
    "R049": ("unknown version or variant of a recipe", "Name one that its recipe declares."),
    "R077": (
        "neither a version nor a range of versions",
        'Write one version, or comparisons joined by commas: ">=1.16,<2" (>= > <= < == !=).',
    ),
    "R078": (
        "no version lies in the range",
        "Widen the range, or give the other recipe a version that lies in it.",
    ),
    "R050": ("the other recipe lacks this platform", "Add it there, or remove it here."),
    "R051": ("the base lacks this platform", "Add it to the base, or remove it here."),
    "R083": (
        "unknown micro-architecture level",
        "Use v2, v3 or v4 of amd64, or a name of archspec, such as zen3 or neoverse_v1.",
    ),
    "R095": (
        "not an image of a registry",
        "Write [HOST/]REPOSITORY[:TAG][@sha256:…], as in ubuntu:24.04.",
    ),
    "R096": ("a base needs exactly one of recipe and image", "Keep one of them."),
    "R052": ("recipes depend on each other in a circle", "Remove one of the edges."),
    "R053": ("two releases with one tag", "Rename a version or a variant; + ~ : become _ in tags."),
    "R054": (
        "version is reserved for tags of ssds",
        "'latest', and '-r1' and '-sif' at the end, are reserved.",
    ),
    "R055": ("no platform is required", "Mark at least one platform as required."),
    "R058": ("condition can never hold", "Name a platform, version or variant of this recipe."),
    "R059": ("not a command name", "Write the name alone, without folder, blanks or quotes."),
    "R060": ("not an ORCID", "Check the digits: the last one is a checksum."),
    "R065": ("icon is neither SVG nor PNG", "Use a file that ends in .svg or .png."),
    "R066": ("not a platform", "Use linux/amd64 or linux/arm64, with an optional level."),
    "R067": (
        "not a variant name",
        "Use lower-case letters, digits and -, beginning with a letter.",
    ),
    "R069": ("an empty value after rendering", "Give it a value."),
    "R070": ("file name contains a folder", "Write the file's own name."),
    "R071": ("not a user", "Write a user name or number that exists in the image."),
    "R072": ("file lies outside the catalog", "Replace the link by a real file or folder."),
    "R073": ("package would stand twice", "Remove one."),
    "R074": ("address holds a password", "Secrets never enter a recipe; use a public address."),
    "R076": ("too many releases", "Versions times variants times platforms: at most 1,000."),
    "R090": (
        "not a conda package",
        "Write name, name=version, name=version=build or name>=version, without a channel.",
    ),
    "R091": ("not a channel's name", "Write conda-forge; where channels are, the settings say."),
    "R092": (
        "a folder that cannot hold a conda environment",
        "Take a folder of its own of at most 100 characters, such as /opt/conda.",
    ),
    "R093": ("two environments at one place", "Name all packages in one step, or another prefix."),
    "R080": ("not a tag, branch or commit", "Write it as git shows it; no spaces, no .. in it."),
    "R081": ("folder leaves the repository", "Write a relative path without .. parts."),
    "R082": (
        "field is not for repositories",
        "Remove it: the lock states the digest, and a repository is bound unpacked.",
    ),
    "R110": (
        "a package that expands this step is not installed",
        "Install it: pip install 'ssds[generators]'.",
    ),
    "R111": ("unknown template or building block", "Use one of the known ones."),
    "R112": ("unknown method of a template", "Use one of the known ones, or leave method out."),
    "R113": ("unknown version of a template", "Use one of the known ones."),
    "R114": ("unknown argument", "Use one of the known ones."),
    "R115": ("an argument is missing", "Give it, under args or as a key of its own."),
    "R116": (
        "an argument that a shell or a template would read as more than words",
        "Use letters, digits, blanks and . _ / : @ % + = , ~ - only.",
    ),
    "R117": (
        "the step cannot be written out",
        "Change its arguments, or write the steps yourself.",
    ),
    "R118": ("not a source of one file", "Name a source with url and without unpack."),
    "R119": ("a source with a reserved name", "Rename your source; the step brings its own."),
    "R122": (
        "this has no place in a recipe",
        "Nothing was written; docs/how-to/import-a-dockerfile.md lists what is known.",
    ),
    "R123": (
        "recipe is too much work to read",
        "Shorten its texts and variables, or name fewer versions, variants and platforms.",
    ),
    "R121": ("an easybuild step needs exactly one easyconfig", "Keep one of easyconfig, file."),
    "R120": ("not a Spack spec", 'Write it as in "samtools@1.19 +shared ^zlib@1.3".'),
    "B010": ("unknown advisory set", "Advisory sets are declared in catalog/advisories.yaml."),
    "B011": ("not a Debian package name", "Write package names as Debian does."),
    "B012": ("not a platform", "Use linux/amd64 or linux/arm64, with an optional level."),
    "B013": ("a base needs exactly one of suite and image", "Keep one of them."),
    "B014": (
        "not an image of a registry",
        "Write [HOST/]REPOSITORY[:TAG][@sha256:…], as in ubuntu:24.04.",
    ),
    "P010": ("more agreements than audits", "Let `of` be at least as large as `agreements`."),
    "U010": ("owed twice", "Keep one entry per finding and package, and one per test."),
    "U011": ("end of a debt is not a date", "Write the last day on which it holds as YYYY-MM-DD."),
    "C010": ("folder leaves the workspace", "Write a relative path without .. parts."),
    "C011": ("not a registry place", "Write host[:port]/prefix, without http:// and tag."),
    "C013": ("two channels with one place", "Keep one of them."),
    "C014": (
        "not the address of an object store",
        "Write s3+https://HOST/BUCKET/PREFIX, swift+https://HOST/v1/… or https://HOST/FOLDER.",
    ),
    "C015": ("only object stores have replicas", "Declare another channel for the other place."),
    "C016": (
        "licences are judged for public channels only",
        "Write `public: true` beside them, or leave them out.",
    ),
    "S010": ("not a site name", "Name the file with lower-case letters, digits and -."),
    "S011": ("selector matches no release", "Write name or name@version of a recipe."),
    "S012": (
        "not a folder to bind",
        "Write /source[:/target[:ro|rw]]: absolute paths without .. or commas.",
    ),
    "S013": ("not a platform", "Use linux/amd64 or linux/arm64, with an optional level."),
    "S014": ("unknown level", "Use v2, v3 or v4 of amd64, or a name of archspec: zen3."),
    "S015": ("not a file of the machine", "Write an absolute path without .. parts."),
    "S016": ("module of a runtime that is not used", "Add the runtime to runtimes."),
    "S017": ("default that no release has", "Write a version of that recipe, with -variant."),
    "S018": ("unknown sort of selector", "Use category:, licence: or label:."),
    "S019": ("two binds with one target", "Keep one of them, or give it another target."),
    "S020": (
        "selector matches no data set",
        "Write SET or SET@VERSION of catalog/data, category:… or licence:….",
    ),
    "G010": (
        "not a data set's file",
        'Name it catalog/data/SET/VERSION.yaml; SET in lower case, VERSION not "current".',
    ),
    "G011": ("path leaves the data set", "Write a relative path without .. parts."),
    "G012": ("a path in a source that is not unpacked", "Add unpack: true to the source."),
    "G013": ("two index steps have one name", "Rename one of them."),
    "G014": ("unknown name in braces", "Only {path}, the folder of the data, is known here."),
    "G015": ("control character in a value", "Remove the character; tabs divide columns."),
    "G016": ("rows of one table have different columns", "Give all rows the first row's columns."),
    "G017": ("an index step runs in no known image", "Write NAME@VERSION of a recipe."),
    "G018": (
        "a data set is called as a recipe",
        "Modules have these names: rename one of the two.",
    ),
    "V010": (
        "advisory file is missing",
        "Correct the path, or make the set with `ssds advisories update NAME --from …`.",
    ),
    "V011": ("advisory file leaves the workspace", "Write a relative path without .. parts."),
    "K010": ("no catalog here", "Make the folder catalog/, or go to a workspace with -C."),
    "K011": ("no checkout here", "Name a folder that has recipes/ in ssds.yaml."),
    "K012": ("two recipes of one name", "Rename or remove one of them."),
    "W010": (
        "a workspace may not switch the sandbox off",
        "Set it in your own settings, or SSDS_SANDBOX=trusted, where it concerns you only.",
    ),
    "W011": ("environment variable has a wrong value", "Correct or unset it."),
    "W012": ("not an address of a mirror", "Write http://, https:// or file:// and a path."),
    "W013": ("CA bundle is missing", "Name an existing file of PEM certificates."),
    "W014": ("not a platform", "Use linux/amd64 or linux/arm64, with an optional level."),
    "W016": ("password in a shared file", "Put it into your own settings or the environment."),
    "W017": ("not the beginning of an image's name", "Write it in full, with its host."),
    "W018": (
        "not a place of images",
        "Write oci:PATH[:NAME] or HOST[:PORT]/REPOSITORY[:TAG]; http:// before a loopback host.",
    ),
    "W019": (
        "not a place for a cache",
        "Write oci://HOST/REPOSITORY, https://HOST/PATH or the path of a folder.",
    ),
    "W022": (
        "a workspace may not choose the key that signs",
        "Set trust.sign in your own settings, or SSDS_SIGNING_KEY.",
    ),
    "W023": ("public key is missing", "Name an existing file; `ssds key show` prints a key."),
    "W021": ("two caches of one name", "Give each cache a name of its own."),
    "W015": ("catalog folder leaves the workspace", "Write a relative path without .. parts."),
}

_WARNINGS: dict[str, tuple[str, str]] = {
    "R016": (
        "address without a checksum",
        "Add sha256, by hand or, once locked, by ssds check --fix: a lock trusts what came.",
    ),
    "R021": ("source is not used", "Name it in a step or a test, or remove it."),
    "R043": (
        "test asserts nothing but its exit code",
        "Say what must appear: stdout, stdout_equals, stderr or files.",
    ),
    "R056": ("text is not in normal form NFC", "Save it in NFC: look-alikes give other keys."),
    "R062": ("folder without a recipe", "Add recipe.yaml or remove the folder."),
    "R064": ("recipe without tests", "Add at least one test of real work."),
    "U012": ("debt of a recipe that the catalog does not have", "Remove it: nobody owes it."),
    "U013": ("debt of a test that the recipe does not have", "Remove it, or correct the name."),
    "C012": ("plain http to another machine", "Use https, or keep insecure to loopback."),
}

_NOTES: dict[str, tuple[str, str]] = {
    "R085": (
        "recipe offers no command",
        "Name what people type under deploy: commands, or the folders that hold it: paths.",
    ),
    "R086": (
        "several recipes offer one command",
        "Who loads two of these modules gets the one loaded last; offer it in one recipe.",
    ),
    "R087": (
        "base image by a tag, which may stand for another image tomorrow",
        "Add its digest; once locked, ssds check --fix writes it: the next lock keeps the image.",
    ),
    "R084": (
        "a step uses the network, so its result is impure",
        "Pin what it fetches: docs/how-to/from-impure-to-pinned.md goes step by step.",
    ),
}

_OWN: dict[str, Code] = {
    **{
        letter + number: Code(summary=f"{summary} in the {what}", hint=hint)
        for letter, what in FAMILIES.items()
        for number, (summary, hint) in _SHAPE.items()
    },
    **{code: Code(summary=s, hint=h) for code, (s, h) in _TABLE.items()},
    **{
        code: Code(summary=s, hint=h, severity=Severity.WARNING)
        for code, (s, h) in _WARNINGS.items()
    },
    **{code: Code(summary=s, hint=h, severity=Severity.NOTE) for code, (s, h) in _NOTES.items()},
}
"""Code → its row, but for those of NeuroDesk's format, which few catalogs need."""


@functools.cache
def every_code() -> dict[str, Code]:
    """Returns code → its row, those of all formats."""
    from ssds.recipe.formats.neurocontainers import codes

    return {
        **_OWN,
        **{code: Code(summary=s, hint=h) for code, (s, h) in codes.ERRORS.items()},
        **{
            code: Code(summary=s, hint=h, severity=Severity.WARNING)
            for code, (s, h) in codes.WARNINGS.items()
        },
    }


def row_of(code: str) -> Code:
    """Returns the row of a code; raises KeyError for one that nobody wrote down."""
    return _OWN.get(code) or every_code()[code]


def diagnostic(
    code: str,
    span: Span,
    address: str = "",
    facts: tuple[tuple[str, str], ...] = (),
    *,
    first: str = "",
) -> Diagnostic:
    """Returns the diagnostic of ``code`` at ``span``; ``first`` is put before the constant hint."""
    row = row_of(code)
    return Diagnostic(
        code=code,
        summary=row.summary,
        span=span,
        address=address,
        facts=facts,
        hint=f"{first} {row.hint}" if first else row.hint,
        severity=row.severity,
    )


def near(word: str, known: object) -> str:
    """Returns ``Did you mean "x"?`` for the nearest known word, or the empty string."""
    import difflib

    names = [str(k) for k in known] if isinstance(known, list | tuple | set | dict) else []
    best = difflib.get_close_matches(word, sorted(names), n=1, cutoff=0.6)
    return f'Did you mean "{best[0]}"?' if best else ""
