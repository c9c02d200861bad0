"""Galaxy's data tables over the data sets of a site: ``.loc`` files and the list of tables. Pure.

Paths begin with ``${__HERE__}``, which Galaxy replaces in both by the folder of the list, so that
the tree may be mounted anywhere. Source: Galaxy's documentation, "Data tables"; its tool_data
reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from ssds.core.errors import Refused
from ssds.lock.data import DataLock
from ssds.ship.refdata.entry import DataEntry

FOLDER = "galaxy"
CONF = f"{FOLDER}/tool_data_table_conf.xml"
_HERE = "${__HERE__}"


def galaxy_files(sets: Iterable[tuple[DataLock, DataEntry]]) -> dict[str, bytes]:
    """Returns path → bytes of the tables; empty where no set has rows.

    Raises:
        Refused: D083, two sets give one table other columns.
    """
    columns: dict[str, tuple[list[str], str]] = {}
    rows: dict[str, list[str]] = {}
    for lock, entry in sets:
        for table, given in sorted(lock.loc.items()):
            for row in cast(list[Mapping[str, str]], given):
                names, first = columns.setdefault(table, (list(row), str(lock.id)))
                if sorted(names) != sorted(row):
                    raise Refused(
                        f"the Galaxy table {table} has the columns {', '.join(names)} in {first}, "
                        f"and {', '.join(row)} in {lock.id}",
                        hint="Give both the same columns, or leave one out of the site's data.",
                        code="D083",
                    )
                values = [_value(row[name], f"{_HERE}/../{entry.place}") for name in names]
                rows.setdefault(table, []).append("\t".join(values))
    if not rows:
        return {}
    files = {
        f"{FOLDER}/{table}.loc": "".join(f"{row}\n" for row in found).encode()
        for table, found in rows.items()
    }
    xml = ["<tables>"]
    for table in sorted(rows):
        xml += [
            f'    <table name="{table}" comment_char="#" allow_duplicate_entries="False">',
            f"        <columns>{', '.join(columns[table][0])}</columns>",
            f'        <file path="{_HERE}/{table}.loc"/>',
            "    </table>",
        ]
    xml.append("</tables>\n")
    return {**files, CONF: "\n".join(xml).encode()}


def _value(text: str, path: str) -> str:
    """Returns a column's text; what Galaxy's reader would expand is written as it is meant."""
    return path.join(part.replace("$", "$$") for part in text.split("{path}"))
