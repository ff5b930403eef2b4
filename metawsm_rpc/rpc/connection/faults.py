"""Errors in the form of the protocol: a code, one sentence, and `{kind, hint, details}`."""

from typing import Any

from lsprotocol.types import ResponseError
from pygls.exceptions import JsonRpcException

from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import InternalError, InvalidParamsError, MetawsmError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
NOT_INITIALIZED = -32002
CANCELLED = -32800

_SHOWN = 200
"""How many characters of a client's message are quoted in an error."""


def response_error(error: BaseException, doing: str) -> ResponseError:
    """Return the error response for an exception; an internal error says that it is one."""
    if isinstance(error, MetawsmError):
        return ResponseError(error.code, error.message, wire(error.data()))
    if isinstance(error, JsonRpcException):
        return error.to_response_error()
    defect = InternalError(
        f"{doing} failed in a way that it should not: {type(error).__name__}: {shortened(str(error))}"
    )
    return ResponseError(defect.code, defect.message, defect.data())


def refusal(code: int, message: str) -> ResponseError:
    """Return an error of the protocol itself."""
    data = None if code == CANCELLED else {"kind": InvalidParamsError.kind, "hint": None, "details": None}
    return ResponseError(code, message, data)


def shortened(text: Any, length: int = _SHOWN) -> str:
    """Return a client's text, shortened for quoting."""
    whole = str(text)
    return whole if len(whole) <= length else f"{whole[:length]}…"
