"""The papers' figures, from the table of published numbers."""

from leaderboard.published import PublishedNumber, read_published

COVID, DERMA = "COVID-19 Radiography", "DermaMNIST"
PGD7 = {"attack": "pgd-7", "eps_255": 8.0}
PGD20, PGD100 = {"attack": "pgd-20", "eps_255": 8.0}, {"attack": "pgd-100", "eps_255": 8.0}
CLEAN_IMAGES = {"attack": "none", "metric": "accuracy"}


def printed(source: str, table: str, setting: str = "", **which: object) -> float:
    """The number that a paper prints; a share is in %.

    Args:
        source: the paper's short name.
        table: the paper's number of the table.
        setting: text that the defense's setting contains.
        which: further columns and their values.

    Raises:
        LookupError: no number matches, or several different ones do.
    """
    values = {
        100 * one.value if one.unit == "share" else one.value
        for one in read_published()
        if (one.source, one.table) == (source, table) and setting in one.setting and _has(one, which)
    }
    if len(values) != 1:
        raise LookupError(f"{source}, Table {table} has {len(values)} numbers for {setting} {which}, not one")
    return round(values.pop(), 6)


def _has(number: PublishedNumber, which: dict[str, object]) -> bool:
    return all(getattr(number, column) == value for column, value in which.items())
