"""Where the images of a split are saved: by their ids, below one folder, and no two ids in one place."""

import hashlib
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

LONGEST = 120
"""Bytes that a place may have: with its ending a name stays within the 143 of an encrypted folder (255 elsewhere), and
with the folder above it within the 260 that Windows allows a path."""

_CUT = 60
_UNSAFE = frozenset('%<>:"\\|?*')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def places(ids: Sequence[str]) -> list[PurePosixPath]:
    """Return a place for each of these different ids, without an ending and relative to a folder.

    A slash makes a folder, as in the folders of images that such ids come from. What a file system may not take, or may
    take for something else, is percent-encoded; a place that would be too long, or the same as another one where case
    does not count, is the beginning of the id's last part with a hash of the id.
    """
    taken: set[str] = set()
    found = []
    for name in ids:
        place, attempt = _readable(name), 0
        while _as_file_systems_see_it(place) in taken:
            place, attempt = _hashed(name, attempt), attempt + 1
        taken.add(_as_file_systems_see_it(place))
        found.append(PurePosixPath(place))
    return found


def _as_file_systems_see_it(place: str) -> str:
    """Some file systems confuse upper and lower case, and the two ways to write an accented letter."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", place).casefold())


def _readable(name: str) -> str:
    *folders, last = (_part(part) for part in name.split("/"))
    # A folder must not have the name of an image file of another id.
    folders = [re.sub(r"\.(?=png$)", "%2E", folder, flags=re.IGNORECASE) for folder in folders]
    place = "/".join((*folders, last))
    return place if len(place.encode("utf-8")) <= LONGEST else _hashed(name, 0)


def _hashed(name: str, attempt: int) -> str:
    digest = hashlib.sha256(f"{attempt}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    beginning = ""
    for character in name.rpartition("/")[2]:
        if len((beginning + _safe(character)).encode("utf-8")) > _CUT:
            break
        beginning += _safe(character)
    return f"{beginning}~{digest}"


def _part(part: str) -> str:
    """A folder's or file's name; every part has another one."""
    if not part:
        return "%2F"  # the slash that made it: no other part gives this, since a percent sign is encoded too
    encoded = [_safe(character) for character in part]
    if _DEVICE.fullmatch(part):
        encoded[0] = _percent(part[0])
    if part[-1] in ". ":
        # Windows drops spaces and dots at the end; and '.' and '..' would be no folders of their own.
        encoded[-1] = _percent(part[-1])
    return "".join(encoded)


def _safe(character: str) -> str:
    if character in _UNSAFE or not character.isprintable():
        return _percent(character)
    try:
        character.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return _percent(character)
    return character


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
