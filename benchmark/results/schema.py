"""The one schema of a result row, shared by the harness that writes it and the leaderboard that reads it.

One row is one image under one cell (track, attack, norm, eps) or one corruption sequence of one image. Every number on
the site is computed from these rows. This module imports no torch.
"""

import pyarrow as pa

SCHEMA_VERSION = 4
"""Raised when a column is added or changes meaning; readers accept every version up to this one."""

CLEAN, CORRUPTION = "clean", "corruption"
DIAGNOSTIC = "diagnostic"
"""``track`` of rows that tell whether gradients can be believed; they have a file of their own and rank nobody."""

EXTERNAL = "external"
"""``track`` and ``attack`` of rows of adversarial images by outsiders; ``suite`` says who found one."""

WITHOUT_ATTACKER = (CLEAN, CORRUPTION)
"""``track`` of rows without an attacker. All others but the diagnostic one are attacked: the matrix names them."""

NORMS = ("linf", "l2", "l0")
"""Norms of budgets, in the order in which pages show them.

A budget ``eps_255`` is the radius in 1/255 in L-inf, the root-mean-square perturbation of a component in 1/255 in L2
(radius eps / 255 * sqrt(C * H * W), so that one number fits every image size), and the number of changed pixels in L0.
"""

PERTURBATIONS = (
    "gaussian_noise",
    "shot_noise",
    "speckle_noise",
    "gaussian_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "spatter",
    "brightness",
    "translate",
    "rotate",
    "shear",
    "scale",
    "tilt",
)
"""``attack`` in the corruption track, in the order in which pages show them."""


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"description": meaning})


_TEXT = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        _column("submission", _TEXT, "name of the submission"),
        _column(
            "submission_hash", _TEXT, "sha256 over its revision, entry point and all files deployed on this data set"
        ),
        _column("dataset", _TEXT, "name of the data set card"),
        _column("dataset_hash", _TEXT, "sha256 over the split's images, labels and ids"),
        _column("split", _TEXT, "split of the data set, 'test' for official rows"),
        _column("sample_id", pa.string(), "id of the image inside the data set"),
        _column("group_id", pa.string(), "patient; absent where no patient is known"),
        _column("task", _TEXT, "binary or multiclass"),
        _column("matrix_version", _TEXT, "version of the threat-model matrix, of the diagnostics in their track"),
        _column("matrix_hash", _TEXT, "sha256 of that file"),
        _column("profile", _TEXT, "'official' or 'quick': which budgets of the matrix were used"),
        _column("official", pa.bool_(), "true when profile, subset and cells are the official ones"),
        _column("individual", pa.bool_(), "true when every cell attacked every image (--individual)"),
        _column("track", _TEXT, "clean, corruption, diagnostic, or a track of the matrix with an attacker"),
        _column(
            "attack", _TEXT, "cell of the matrix, or the perturbation's name in the corruption track; 'none' in clean"
        ),
        _column("suite", _TEXT, "group that the cell belongs to, such as 'autoattack'; empty for a single attack"),
        _column("unranked", pa.bool_(), "true for a cell outside the worst case, which attacks every image by itself"),
        _column("norm", _TEXT, "'linf', 'l2', 'l0'; empty for clean and corruption"),
        _column("eps_255", pa.float64(), "budget, in 1/255 (pixels for l0, see NORMS); null for clean and corruption"),
        _column("severity", pa.int8(), "1..5 in the corruption track, else null"),
        _column("status", _TEXT, "'ok', or 'gap' when the cell could not run on this image"),
        _column("reason", _TEXT, "why there is a gap, or how a candidate was projected; empty otherwise"),
        _column("label", pa.int16(), "true class"),
        _column("pred_clean", pa.int16(), "deployed label on the clean image, -1 = abstained"),
        _column("pred", pa.int16(), "deployed label on this row's image (first draw), -1 = abstained"),
        _column(
            "preds",
            pa.list_(pa.int16()),
            "deployed labels: of the frames 0, 1, 2 ... of a corruption sequence, where frame 0 is the clean image; of "
            "all of the judge's draws elsewhere, where they were kept",
        ),
        _column("correct", pa.bool_(), "right in at least half of the judge's draws and right on the clean image"),
        _column("abstained", pa.bool_(), "the deployed defense abstained (first draw)"),
        _column("draws", pa.int16(), "judge's draws: 1 for a deterministic defense"),
        _column("right_draws", pa.int16(), "draws in which the deployed label was the true one"),
        _column("outcome", pa.float32(), "task's score of the decision in [0, 1]; null where correct says all"),
        _column("metric", pa.float32(), "task specific (Dice, IoU ...); null for classification"),
        _column("accepted", pa.bool_(), "accepted by the defense's detector; null without one"),
        _column("accept_score", pa.float32(), "acceptance score of a detector; null without one"),
        _column("vote_margin", pa.float32(), "lead of a vote's first class; null where score has the Robust Metric"),
        _column("grid_outcome", pa.float32(), "outcome of the candidate rounded to 8 bits; null where not judged"),
        _column(
            "score",
            pa.float32(),
            "acceptance score of the detector; of a vote its Robust Metric when it ended, the maximum for a unanimous "
            "early end; null without either, and in skipped and repeated rows",
        ),
        _column("scores", pa.list_(pa.float32()), "the same of each frame of a corruption sequence"),
        _column(
            "probs", pa.list_(pa.float32()), "deployed probabilities of all classes (first draw), in the clean track"
        ),
        _column(
            "probs_but_last",
            pa.list_(pa.float32()),
            "deployed probabilities (first draw), three decimals, of all classes but the last, which has the rest to "
            "1; in attack tracks; null in skipped and repeated rows",
        ),
        _column("copies", pa.int32(), "random copies that the vote took (first draw); null without a vote"),
        _column("copies_taken", pa.list_(pa.int32()), "the same of each frame of a corruption sequence"),
        _column("skipped", pa.bool_(), "the verdict follows from a nested cell, so the attack was not run here"),
        _column("broken_by", _TEXT, "'attack@eps' that broke the image when this row was skipped; empty otherwise"),
        _column(
            "same_as",
            _TEXT,
            "track whose row of this image, attack and budget this repeats, as two views coincide; empty",
        ),
        _column("linf", pa.float32(), "L-inf distance to the clean image in [0, 1], three decimals; under this norm"),
        _column("l2", pa.float32(), "L2 distance to the clean image, three decimals; under this norm"),
        _column("pixels", pa.int32(), "pixels that differ from the clean image; under L0"),
        _column("queries", pa.int64(), "forward passes that the attack spent on this image; null where not run"),
        _column("gradients", pa.int64(), "backward passes that the attack spent on this image; null where not run"),
        _column("seconds", pa.float32(), "attack time divided by the images of its batch, two significant digits"),
        _column("device", _TEXT, "cpu or cuda"),
        _column(
            "isolation",
            _TEXT,
            "how the code of the entry was shut in: bwrap or process; null for not at all",
        ),
        _column("made_by", _TEXT, "hash of the code that made the row; null for rows older than the column"),
        _column("harness_version", _TEXT, "version of the benchmark package"),
        _column("git_commit", _TEXT, "commit of the harness, '+dirty' when changed, empty when unknown"),
        _column("started_at", _TEXT, "UTC start of the unit, ISO 8601"),
    ]
)
"""The columns. A file leaves out those that hold nothing but nulls, or empty texts or false where that is the same, and
says once what is the same in all of its rows (:data:`CONSTANT`); readers fill them in."""

EMPTY = ("suite", "norm", "reason", "broken_by", "same_as")
"""Text columns in which an absent value is an empty text."""

FALSE = ("individual", "abstained", "skipped", "unranked")
"""Truth columns in which an absent value is false."""

REPEATED = ("score", "probs_but_last", "copies", "linf", "l2", "pixels", "queries", "gradients", "seconds")
"""Columns that a row with ``same_as`` leaves to the row that it repeats."""

CONSTANT = (
    *("submission_hash", "dataset_hash", "split", "task", "matrix_version", "matrix_hash", "profile"),
    *("isolation", "made_by"),
)
"""Text columns that a file may keep as one value in its metadata, where all of its rows have the same."""

ESSENTIAL = ("submission", "dataset", "track", "sample_id", "status", "official", "correct")
"""Columns that every file has."""

OF_A_RUN = ("seconds", "device", "harness_version", "git_commit", "started_at")
"""Columns that every file of this version has too: a reader without this package drops them to compare two runs."""

NOT_IDENTITY = ("seconds", "device", "isolation", "made_by", "harness_version", "git_commit", "started_at")
"""Columns that may differ between two runs of the same unit; all others must be equal."""
