"""Readable stand-ins for characters that a console's encoding does not have. Imports nothing that is slow."""

import codecs
import re
import unicodedata

HANDLER = "stand-in"
"""Name of the error handler for ``str.encode`` and for streams."""

_CHARACTERS = {
    character: told
    for characters, told in {
        "‐‑‒–—―−⁃": "-",
        "‘’‚‛′": "'",
        "“”„‟″«»": '"',
        "•·∙●▪": "*",
        "×✗✘✕": "x",
        "÷⁄∕": "/",
        "±": "+/-",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "≈≃∼": "~",
        "≪": "<<",
        "≫": ">>",
        "∞": "inf",
        "→⟶": "->",
        "←⟵": "<-",
        "↔": "<->",
        "⇒": "=>",
        "∈": "in",
        "√": "sqrt",
        "∑": "sum",
        "∅": "{}",
        "°": "deg",
        "µ": "u",
        "✓✔": "ok",
        "†": "+",
        "‡": "++",
        "§": "section ",
        "©": "(c)",
        "®": "(r)",
        "€": "EUR",
        "£": "GBP",
        "ß": "ss",
        "ı": "i",
        "œ": "oe",
        "Œ": "OE",
        "¿": "?",
        "¡": "!",
        "\u200b\u200c\u200d\u2060\ufeff\u00ad": "",
    }.items()
    for character in characters
}
_LATIN = re.compile(r"LATIN (SMALL|CAPITAL) LETTER ([A-Z]{1,2})( WITH .*)?")
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)( WITH .*)?")
_BOX, _BLOCK, _BRAILLE = range(0x2500, 0x2580), range(0x2580, 0x25A0), range(0x2800, 0x2900)


def stand_in(character: str) -> str:
    """Return ASCII for a character: ``-`` for a dash, ``inf`` for the sign of infinity, ``e`` for an accented one.

    What has no likeness is told by its number, as Python and JSON write it.
    """
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    code = ord(character)
    if code in _BOX:
        return _line(unicodedata.name(character))
    if code in _BLOCK:
        return "#"
    if code in _BRAILLE:
        return "*"
    if unicodedata.combining(character):
        return ""
    plain = unicodedata.normalize("NFKD", character)
    if plain != character:
        return "".join(one if one.isascii() else stand_in(one) for one in plain)
    name = unicodedata.name(character, "")
    for letter in (_LATIN.fullmatch(name), _GREEK.fullmatch(name)):
        if letter:
            return letter[2].lower() if letter[1] == "SMALL" else letter[2].capitalize()
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _line(name: str) -> str:
    """A line of a table's frame."""
    across, down = "HORIZONTAL" in name, "VERTICAL" in name
    return "-" if across and not down else "|" if down and not across else "+"


def written(text: str, encoding: str) -> str:
    """Return ``text`` as a stream of this encoding will show it."""
    if text.isascii():
        return text
    try:
        return text.encode(encoding, HANDLER).decode(encoding)
    except LookupError:
        return text


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(stand_in, error.object[error.start : error.end])), error.end


codecs.register_error(HANDLER, _replace)
