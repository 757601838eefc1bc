"""The matrix, and which of its cells decide, as the Markdown that ``docs/matrix.md`` embeds. Imports no torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.errors import BenchError
from benchmark.files import read_text, write_atomically
from benchmark.matrix.cell import Cell
from benchmark.matrix.model import Matrix, Profile, load_matrix

BEGIN = "<!-- matrix:begin -->"
END = "<!-- matrix:end -->"
EVIDENCE_BEGIN = "<!-- evidence:begin -->"
EVIDENCE_END = "<!-- evidence:end -->"
"""The text between these lines of ``docs/matrix.md`` is written by ``bench matrix --write``."""

DOCUMENT = Path("docs") / "matrix.md"
"""The document with the two generated blocks, below the project's folder."""

UNDECIDED = "ranked; decisive for no image yet"
"""The mark of a ranked cell that was the first to break no image."""

UNMET = "ranked; no entry has been evaluated with it"
"""The mark of a ranked cell that no entry with official rows has been evaluated with."""

_NORMS = {"linf": "L∞", "l2": "L2", "l0": "L0"}
_HEADS = (
    "Track",
    "Cell",
    "Suite",
    "Norm",
    "Budgets",
    "Parameters",
    "Evaluated on",
    "Cost",
    "Knowledge",
    "Objective",
    "Source",
)
_UNITS = {"linf": "/255", "l2": "/255 RMS", "l0": "pixels"}
_NEEDS = {"alternative-backward": "stages whose backward pass can be replaced", "detector": "a detector"}
_MEETS = {"always": "every defense", "deterministic": "deterministic", "stochastic": "randomised"}


def idle_mark(cell: Cell, met: bool) -> str:
    """Return the mark of a ranked cell that was decisive nowhere; ``met``: whether an entry was evaluated with it."""
    if met:
        return UNDECIDED
    return f"{UNMET} (needs {_NEEDS[cell.needs]})" if cell.needs else UNMET


def told(params: dict[str, int | float | str | bool]) -> str:
    """Return parameters as ``steps 20, loss margin``; empty without any."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items()
    )


def parameters(cell: Cell) -> str:
    """Return a cell's parameters, those of randomised defenses and its twin in one text."""
    parts = [told(cell.params)]
    if cell.surrogate:
        parts.append(f"surrogate {cell.surrogate}")
    if cell.backward != "declared":
        parts.append(f"backward pass {cell.backward}")
    if cell.stochastic:
        parts.append(f"randomised defense: {told(cell.stochastic)}")
    if cell.same_as:
        parts.append(f"same as {cell.same_as} where the views coincide")
    return "; ".join(part for part in parts if part) or "none"


def budgets(values: list[float]) -> str:
    """Return budgets as ``1, 2, 4, 8``."""
    return ", ".join(f"{value:g}" for value in values)


def meets(cell: Cell) -> str:
    """Return the kind of defense that is evaluated with a cell."""
    return _MEETS[cell.when] + (f" with {_NEEDS[cell.needs]}" if cell.needs else "")


def cost(cell: Cell) -> str:
    """Return ``inexpensive`` or ``expensive``, and whether the cell stays out of the worst case."""
    return f"{cell.cost}, unranked" if cell.unranked else cell.cost


def norm(cell: Cell) -> str:
    """Return the norm as people write it."""
    return _NORMS.get(cell.norm, cell.norm)


def bounds(profile: Profile) -> str:
    """Return what a profile spends, in one text."""
    parts = [
        "ranked" if profile.official else "unofficial, never ranked",
        f"{profile.images} images" if profile.images else "every image of the official subset",
        f"{profile.judge_draws} judge draws and {profile.eot_samples} EOT samples for a randomised defense",
    ]
    if profile.eps_255:
        parts.append(f"eps {budgets(profile.eps_255)} /255")
    if profile.caps:
        parts.append(f"at most {', '.join(f'{value} {name}' for name, value in profile.caps.items())}")
    if profile.severities:
        parts.append(f"corruption severities {', '.join(map(str, profile.severities))}")
    if profile.corruption_images:
        parts.append(f"{profile.corruption_images} images under corruption")
    return "; ".join(parts)


def render(matrix: Matrix, matrix_hash: str) -> str:
    """Render version, hash, profiles, corruption track and all cells; ends without a newline."""
    rows = [
        (
            *(cell.track, cell.name, cell.suite or "–", norm(cell), f"{budgets(cell.eps_255)} {_UNITS[cell.norm]}"),
            *(parameters(cell), meets(cell), cost(cell), cell.knowledge, cell.objective, cell.source),
        )
        for cell in matrix.cell
    ]
    corruption = matrix.corruption
    severities = ", ".join(map(str, corruption.severities))
    return "\n".join(
        [
            f"Matrix version {matrix.version}, sha256 `{matrix_hash}`, {len(matrix.cell)} attack cells.",
            "",
            _line(_HEADS),
            _line("---" for _ in _HEADS),
            *(_line(row) for row in rows),
            "",
            f"Corruption track: mode `{corruption.mode}`, severities {severities}, "
            f"{corruption.images} images of the official subset. Source: {corruption.source}.",
            "",
            *(f"- Profile `{name}`: {bounds(profile)}." for name, profile in matrix.profile.items()),
        ]
    )


def _line(cells: Iterable[str]) -> str:
    texts = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(texts)} |"


def render_evidence(version: str, entries: Sequence[str], counted: int, idle: Sequence[tuple[Cell, str]]) -> str:
    """Render which ranked cells have been decisive nowhere so far; ends without a newline.

    Args:
        version: of the matrix.
        entries: the entries with official rows under this matrix, as ``submission on data set``.
        counted: number of ranked cells.
        idle: the ranked cells that changed no worst case of these entries, each with what is known of it; with an
            empty text where none was evaluated with it.
    """
    if not entries:
        return f"Matrix version {version} has no official rows yet: which of its cells decide is not known."
    on: dict[str, list[str]] = {}
    for entry in entries:
        submission, _, dataset = entry.partition(" on ")
        on.setdefault(dataset, []).append(submission)
    named = {dataset: ", ".join(submissions) for dataset, submissions in on.items()}
    found = (
        f"Of the {counted} ranked cells of matrix version {version}, {counted - len(idle)} were decisive for at least "
        f"one image: no cell before them had broken it at that budget or below. "
        f"Official rows: {'; '.join(f'{dataset} ({names})' for dataset, names in named.items())}."
    )
    marked = [(cell, "; ".join(filter(None, (idle_mark(cell, bool(note)), note)))) for cell, note in idle]
    lines = [f"- {cell.track} `{cell.name}` ({norm(cell)}): {mark}." for cell, mark in marked]
    return "\n".join([found, *([""] if lines else []), *lines])


def block() -> str:
    """Return the matrix in force between its two markers."""
    return f"{BEGIN}\n{render(*load_matrix())}\n{END}"


def evidence_block(evidence: str) -> str:
    """Return the text of :func:`render_evidence` between its two markers."""
    return f"{EVIDENCE_BEGIN}\n{evidence}\n{EVIDENCE_END}"


def write_into(path: Path, evidence: str) -> bool:
    """Bring the two generated blocks of ``path`` up to date; return whether the file changed.

    Args:
        path: the document, :data:`DOCUMENT` of a project.
        evidence: what :func:`render_evidence` gives for the matrix in force.

    Raises:
        BenchError: the file or one of its markers is missing.
    """
    if not path.is_file():
        raise BenchError(f"{path} is missing; restore it.")
    text = read_text(path)
    fresh = _replaced(path, text, block(), "the matrix is")
    fresh = _replaced(path, fresh, evidence_block(evidence), "the cells that decide are")
    if fresh != text:
        write_atomically(path, fresh.encode("utf-8"))
    return fresh != text


def _replaced(path: Path, text: str, block: str, what: str) -> str:
    """Put a block, its two markers as first and last line, in the place of what stands between them."""
    begin, end = block.splitlines()[0], block.splitlines()[-1]
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise BenchError(f"{path} has no lines '{begin}' and '{end}', in this order; put them where {what} to be.")
    return f"{before}{block}{after}"
