# {{ notice }}

"""Each type of argument and of result goes through the module and comes back."""

import contextlib
import os

import guestfs


@contextlib.contextmanager
def fails(says):
    try:
        yield
    except RuntimeError as error:
        assert says in str(error), str(error)
    else:
        raise AssertionError("it did not fail")


def written(name):
    with open(name, "rb") as file:
        return file.read()


def has(got, expected):
    assert {key: got[key] for key in expected} == expected, got


def all_have(got, expected):
    assert len(got) == len(expected), got
    for one, other in zip(got, expected):
        has(one, other)

{% for case in cases %}
def {{ case.ident }}(g):
{% for line in case.python %}    {{ line }}
{% endfor %}
{% endfor %}
CASES = [
{% for case in cases %}    {{ case.ident }},
{% endfor %}]

if __name__ == "__main__":
    for case in CASES:
        case(guestfs.GuestFS(python_return_dict=True))
    print(len(CASES), "cases")
