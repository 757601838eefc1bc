"""What an entry's accuracy has to be read against: alone it can flatter a model that gives one answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard.constant import marks, percent, spread
from leaderboard.record import Record


@dataclass(frozen=True)
class Background:
    """An entry's figures on clean images, None where none were run, and the marks that the board gives it.

    ``constant`` is the accuracy of the best answer that is the same for all images.
    """

    submission: str
    accuracy: Record | None
    balanced: Record | None
    constant: Record | None
    marks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The figures in words, with 95 % intervals."""
        if self.accuracy is None or self.balanced is None or self.constant is None:
            return f"Its balanced accuracy is unknown without clean rows; run 'bench evaluate {self.submission}'."
        return (
            f"Clean accuracy {spread(self.accuracy)}, balanced accuracy {spread(self.balanced)}; "
            f"always predicting one class would score {percent(self.constant.value)}."
        )


def background(submission: str, records: Iterable[Record], classes: Sequence[str] = ()) -> Background:
    """Collect it from one entry's records.

    Args:
        submission: the entry's name.
        records: all of the entry's records (one submission, one data set, one official mark).
        classes: names of the classes in the order of their labels.
    """
    own = list(records)
    clean = {record.metric: record for record in own if record.track == "clean"}
    return Background(
        submission,
        clean.get("accuracy"),
        clean.get("balanced_accuracy"),
        clean.get("majority_class_rate"),
        marks(own, classes),
    )
