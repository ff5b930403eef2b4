"""The parameters of verbs: models derived from the signatures of `Service`, which validate what clients send."""

import inspect
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from metawsm_rpc.domain.wire import camel
from metawsm_rpc.errors import InvalidParamsError
from metawsm_rpc.rpc.connection.faults import shortened
from metawsm_rpc.service import Service
from metawsm_rpc.verbs import Verb

_SHOWN = 20
"""How many wrong parameters an error names."""


class Parameters(BaseModel):
    """The parameter of every verb: `root` is a path or a file URI, by default that of the workspace folder."""

    model_config = ConfigDict(
        alias_generator=camel, validate_by_name=False, validate_by_alias=True, extra="forbid", strict=True
    )

    root: str | None = None


@cache
def model(verb: Verb) -> type[Parameters]:
    """Return the model of a verb's parameters: camelCase keys, nothing unknown, no conversions."""
    method = getattr(Service, verb.method)
    hints = get_type_hints(method)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(method).parameters.items()
        if name != "self"
    }
    return create_model(f"{verb.name[:1].upper()}{verb.name[1:]}Params", __base__=Parameters, **fields)


def checked(verb: Verb, sent: object) -> tuple[str | None, dict[str, Any]]:
    """Return `(root, arguments)` for the verb's method.

    `sent` is an object or None; an empty one may be an empty array, as Lua encodes it. A null member counts as
    absent. Raises `InvalidParamsError` that names each wrong parameter.
    """
    if sent is None or sent == []:
        sent = {}
    if not isinstance(sent, dict):
        raise InvalidParamsError(f"The parameters of {verb.name} are an object, not {type(sent).__name__}.")
    try:
        found = model(verb).model_validate({name: value for name, value in sent.items() if value is not None})
    except ValidationError as error:
        problems = [
            {"parameter": shortened(".".join(map(str, problem["loc"]))), "message": shortened(problem["msg"])}
            for problem in error.errors(include_input=False, include_context=False, include_url=False)[:_SHOWN]
        ]
        listed = "; ".join(f"{problem['parameter']}: {problem['message']}" for problem in problems)
        raise InvalidParamsError(f"{verb.name} cannot be called so: {listed}.", details=problems) from error
    arguments = {name: getattr(found, name) for name in found.model_fields_set - {"root"}}
    return found.root, arguments
