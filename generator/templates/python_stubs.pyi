# {{ notice }}

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypedDict
from types import TracebackType

Text: TypeAlias = str | bytes | os.PathLike[str]
Bytes: TypeAlias = str | bytes | bytearray | memoryview

__version__: str

{% for event in events %}{{ event.constant }}: int
{% endfor %}EVENT_ALL: int

class Error(RuntimeError):
    errno: int | None
    last_errno: int
    function: str | None
    strerror: str

class ClosedHandle(ValueError): ...

def event_to_string(events: int) -> str: ...
{% for struct in structs %}
class {{ struct.rust }}(TypedDict):
{% for field in struct.fields %}    {{ field.name }}: {{ field.python }}
{% endfor %}{% endfor %}
class GuestFS:
    def __init__(
        self,
        python_return_dict: bool = False,
        environment: bool = True,
        close_on_exit: bool = True,
    ) -> None: ...
    def __del__(self) -> None: ...
    def __enter__(self) -> GuestFS: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...
    def set_event_callback(
        self, cb: Callable[[int, int, Any, list[int]], object], event_bitmask: int
    ) -> int: ...
    def delete_event_callback(self, event_handle: int) -> None: ...
{% for group in groups %}{% for function in group %}    def {{ function.name }}(self{% for parameter in function.parameters %}, {{ parameter }}{% endfor %}) -> {{ function.returns }}: ...
{% endfor %}{% endfor %}{% for it in aliases %}    {{ it.alias }} = {{ it.name }}
{% endfor %}
