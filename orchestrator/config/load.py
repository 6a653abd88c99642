"""YAML to a checked model: every mistake at once, each with file, line, column, key and hint. Knows no key itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from orchestrator.core.errors import ConfigWrong

ENV_PREFIX = "KEMBAR_"
Loc = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """One mapping of a configuration file: unknown keys are mistakes, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Wrong:
    """One mistake that a validator found; `at` is the way from the validated value to the key at fault."""

    message: str
    hint: str = ""
    at: Loc = ()


def reject(*wrongs: Wrong) -> NoReturn:
    """Fail a validator with all the mistakes that it found."""
    raise PydanticCustomError("kembar", "{first}", {"first": wrongs[0].message, "wrongs": wrongs})


@dataclass(slots=True)
class Document:
    """One file with the environment laid over it, and where each key and value stands."""

    path: Path
    value: Any = None
    problems: list[str] = field(default_factory=list)
    _keys: dict[Loc, str] = field(default_factory=dict)  # "file:line:col", or "environment: VARIABLE"
    _values: dict[Loc, str] = field(default_factory=dict)

    def problem(self, loc: Loc, message: str, hint: str = "", *, of_key: bool = False) -> str:
        """The line that reports a mistake at `loc`; a key that is not there points at its parent."""
        place = self._keys.get(loc) if of_key else None
        for length in range(len(loc), -1, -1):
            place = place or self._values.get(loc[:length])
        line = f"{place or f'{self.path}:1:1'}: {dotted(loc)}: {message}"
        return f"{line}  hint: {hint}" if hint else line

    def origin(self, loc: Loc) -> str:
        """Who gives the value at `loc`: a place in the file, a variable of the environment, or the default."""
        return self._values.get(loc, "default")

    def validated(self, model: type[Model]) -> Model:
        """The file as `model`. Raises ConfigWrong with every mistake, those of the text included."""
        try:
            result = model.model_validate({} if self.value is None else self.value)
        except ValidationError as error:
            found = [line for one in error.errors(include_url=False) for line in self._lines(model, one)]
            raise ConfigWrong((*self.problems, *found)) from None
        if self.problems:
            raise ConfigWrong(tuple(self.problems))
        return result

    def _lines(self, model: type[BaseModel], error: ErrorDetails) -> Iterator[str]:
        loc = error["loc"]
        match error["type"]:
            case "kembar":
                for wrong in error["ctx"]["wrongs"]:
                    yield self.problem(loc + wrong.at, wrong.message, wrong.hint)
            case "extra_forbidden" | "unexpected_keyword_argument":
                yield self.problem(loc, "unknown key", _known_keys(model, loc), of_key=True)
            case "missing":
                yield self.problem(loc, "required, but missing", _description(model, loc))
            case _:
                yield self.problem(loc, error["msg"].removeprefix("Value error, "), _description(model, loc))

    def overlay(self, environ: Mapping[str, str]) -> None:
        """Lay KEMBAR_SECTION__KEY=value over the file; the value is read as YAML.

        Only names with a double underscore: KEMBAR_CLUSTER, KEMBAR_LAB and others belong to the command line.
        """
        for name, text in sorted(environ.items()):
            if not name.startswith(ENV_PREFIX) or "__" not in name:
                continue
            loc: Loc = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
            place = f"environment: {name}"
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                self.problems.append(f"{place}: {dotted(loc)}: not a YAML value  hint: quote it")
                continue
            parent = self._section(loc[:-1])
            if parent is None:
                self.problems.append(f"{place}: {dotted(loc)}: {dotted(loc[:-1])} is no section of the file")
                continue
            parent[str(loc[-1])] = value
            self._keys[loc] = self._values[loc] = place

    def _section(self, loc: Loc) -> dict[str, Any] | None:
        self.value = {} if self.value is None else self.value
        section = self.value
        for part in loc:
            if not isinstance(section, dict):
                return None
            section = section.setdefault(str(part), {})
        return section if isinstance(section, dict) else None

    def walk(self, node: yaml.Node, loc: Loc = (), above: tuple[yaml.Node, ...] = ()) -> Any:
        """The plain value of a YAML node; marks and duplicate keys are noted on the way."""
        self._values.setdefault(loc, self._place(node))
        if node in above:
            self.problems.append(self.problem(loc, "an alias that contains itself"))
            return None
        if isinstance(node, yaml.SequenceNode):
            return [self.walk(item, (*loc, i), (*above, node)) for i, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return self._scalar(node, loc)
        section: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = (*loc, str(key_node.value))
            if key[-1] in section:
                first = self._keys[key].rsplit(":", 2)[1]
                self.problems.append(f"{self._place(key_node)}: {dotted(key)}: duplicate key, first in line {first}")
                continue
            self._keys[key] = self._place(key_node)
            section[str(key[-1])] = self.walk(value_node, key, (*above, node))
        return section

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.problems.append(self.problem(loc, str(error).splitlines()[0]))
            return None
        finally:
            loader.dispose()

    def _place(self, node: yaml.Node) -> str:
        return f"{self.path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """The file with the environment over it. Raises ConfigWrong if it cannot be read or is no YAML."""
    document = Document(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigWrong((f"{path}:1:1: file: cannot be read: {reason}",)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        raise ConfigWrong((f"{place}: yaml: {error.problem or error.context}",)) from None
    except yaml.YAMLError as error:
        raise ConfigWrong((f"{path}:1:1: yaml: {str(error).splitlines()[0]}",)) from None
    document.value = document.walk(root) if root is not None else None
    document.overlay(environ)
    return document


def load(model: type[Model], path: Path, environ: Mapping[str, str]) -> Model:
    """The file at `path` as `model`. Raises ConfigWrong with every mistake."""
    return read(path, environ).validated(model)


def dotted(loc: Loc) -> str:
    """A key as people write it: clusters[0].vip.address."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "file"


def _known_keys(model: type[Any], loc: Loc) -> str:
    known = list(_fields(_model_at(model, loc[:-1])))
    close = get_close_matches(str(loc[-1]), known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known here: {', '.join(known)}" if known else ""


def _description(model: type[Any], loc: Loc) -> str:
    """What the key means, in the model's own words; of the nearest named key above a list item."""
    names = [part for part in loc if isinstance(part, str)]
    known = _fields(_model_at(model, names[:-1])).get(names[-1]) if names else None
    return known[1] if known else ""


def _fields(model: type[Any] | None) -> Mapping[str, tuple[Any, str]]:
    """Name -> type and description; of a value of the core the names speak for themselves."""
    if model is None:
        return {}
    if issubclass(model, BaseModel):
        return {name: (known.annotation, known.description or "") for name, known in model.model_fields.items()}
    return {name: (hint, "") for name, hint in get_type_hints(model).items()}


def _model_at(model: type[Any], loc: Sequence[str | int]) -> type[Any] | None:
    found: type[Any] | None = model
    for part in loc:
        if found is None or isinstance(part, int):
            continue
        known = _fields(found).get(part)
        found = _model_in(known[0]) if known else None
    return found


def _model_in(annotation: Any) -> type[Any] | None:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
