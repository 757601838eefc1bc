"""Reading a TOML file into a strict pydantic model, with one clear sentence for each mistake. Imports no torch."""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.errors import BenchError, did_you_mean
from benchmark.files import read_text


class Strict(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Turn one of pydantic's complaints into a clause: the field and what is wrong with it.

    An unknown field comes first: where a name is misspelt, it explains why the right one is missing.
    """
    complaints = error.errors()
    first = next((item for item in complaints if item["type"] == "extra_forbidden"), complaints[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"field '{where}' is unknown.{did_you_mean(str(first['loc'][-1]), _fields_at(model, first['loc']))}"
    if first["type"] == "missing":
        return f"field '{where}' is missing; add it"
    message = re.sub(r"^Value error, ", "", first["msg"])
    given = "" if first["type"] == "value_error" else f" (given: {str(first['input'])[:80]!r})"
    # A complaint about how fields fit together has no place of its own and names them itself.
    return f"field '{where}': {message}{given}" if where else f"{message}{given}"


def _fields_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the names that the table at ``place`` may hold; list places and dictionary keys are passed over."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part))
        model = (_model_in(field.annotation) if field else None) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as ``list[Model]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def parse_toml(path: Path) -> dict[str, Any]:
    """Read an existing TOML file, with or without a byte order mark, as plain values.

    Raises:
        BenchError: the file is not TOML.
    """
    try:
        return tomllib.loads(read_text(path, "TOML"))
    except RecursionError:
        raise BenchError(f"{path} is not valid TOML: its tables are nested too deep; write them flat.") from None
    except ValueError as error:  # TOMLDecodeError, or a number with too many digits
        raise BenchError(f"{path} is not valid TOML: {error}; correct that line.") from None


def as_model(raw: dict[str, Any], path: Path, model: type[Model]) -> Model:
    """Turn what ``path`` says, or is to say, into ``model``.

    Raises:
        BenchError: an unknown, missing or wrong field.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        sentence = explain(error, model)
        raise BenchError(f"{path}: {sentence}{'' if sentence.endswith(('.', '?')) else '.'}") from None


def read_toml(path: Path, model: type[Model]) -> Model:
    """Read an existing TOML file into ``model``.

    Raises:
        BenchError: the file is not TOML, or has an unknown, missing or wrong field.
    """
    return as_model(parse_toml(path), path, model)
