"""Networks by name: a dictionary of plain values rebuilds a network, and runs no code of its own.

    net = UNet(channels=1, classes=10)
    net.config                    {"network": "UNet", "channels": 1, "classes": 10, "width": 48, ...}
    build(net.config)             the same architecture with fresh weights, ready for saved ones

`register` makes the constructor of a class check its arguments against their annotations and record
them, defaults included, so that a later change of a default leaves saved models alone. Only classes in
`NETWORKS` are ever built; nothing is imported by name.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Mapping
from numbers import Integral, Real
from reprlib import repr as short
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from girsanov.errors import InputError, Unsuitable, choose, require

N = TypeVar("N", bound=type[nn.Module])

NETWORKS: dict[str, type[nn.Module]] = {}
"""The networks that `build` knows, by class name."""

PLAIN = (int, float, bool, str, NoneType)


def register(network: N) -> N:
    """Make a network known to `build`, and so to the loading of saved models. A class decorator.

    The class is known by its name. Every argument of its constructor needs an annotation made of int,
    float, bool, str, None, and tuples, lists or unions of these; that is what a JSON file can hold. An
    argument annotated `nn.Module` takes a registered network, and its config stands in its place.
    An instance then has `config`, its arguments as a dictionary. A subclass is registered anew.

    Raises:
        Unsuitable: not a torch module, or an argument that no JSON value can give.
        InputError: the name belongs to another class.
    """
    name = network.__name__
    require(issubclass(network, nn.Module), f"{name} is no torch.nn.Module; derive it from one", Unsuitable)
    known = NETWORKS.get(name, network)
    require(
        (known.__module__, known.__qualname__) == (network.__module__, network.__qualname__),
        f"the name {name!r} already belongs to {known.__module__}.{known.__qualname__}; rename the class",
    )
    construct, signature, hints = network.__init__, _signature(network), _hints(network)

    @functools.wraps(construct)
    def recorded(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = list(bound.arguments.items())[1:]
        values = {key: _converted(name, key, value, hints[key]) for key, value in given}
        construct(self, **values)
        if type(self) is network:  # a subclass that is not registered has no config of its own
            config = {"network": name, **{key: _plain(value) for key, value in values.items()}}
            self.config = config  # type: ignore[assignment]

    network.__init__ = recorded  # type: ignore[method-assign]
    NETWORKS[name] = network
    return network


def build(config: Mapping[str, Any]) -> nn.Module:
    """Build a network from its `config`; the inverse of `net.config`.

    The weights are fresh and meant to be replaced; the global random state is left as it was. Under
    `with torch.device("meta")` only the shapes are built, to compare with those of a file.

    Args:
        config: {"network": name, argument: value, ...}, as read from a JSON file.

    Raises:
        UnknownName: no such network or argument; the message offers the nearest.
        InputError: an argument is missing, or has the wrong type or value.
    """
    require(
        isinstance(config, Mapping) and isinstance(config.get("network"), str),
        f"config is {short(config)}; give a dictionary such as {{'network': 'MLP', 'features': 2}}",
    )
    network = choose(config["network"], NETWORKS, "network")
    name, arguments = network.__name__, {key: value for key, value in config.items() if key != "network"}
    parameters = list(_signature(network).parameters.values())[1:]
    names = [p.name for p in parameters]
    for key in arguments:
        choose(key, dict.fromkeys(names), f"argument of {name}")
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in arguments]
    require(not missing, f"the config of {name} lacks {', '.join(missing)}; add it")
    with torch.random.fork_rng(devices=[]):
        return network(**arguments)


def _signature(network: type[nn.Module]) -> inspect.Signature:
    return inspect.signature(network.__init__)


def _hints(network: type[nn.Module]) -> dict[str, Any]:
    """The annotation of every argument, refused where a JSON value could not give it."""
    hints = get_type_hints(network.__init__)
    name = network.__name__
    require("network" not in hints, f"{name}: rename its argument network, a key of every config")
    for p in list(_signature(network).parameters.values())[1:]:
        require(
            p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and _is_plain(hints.get(p.name)),
            f"{name} cannot be registered: no JSON value gives its argument {p}. Annotate it "
            "with int, float, bool, str, None, or tuples, lists or unions of these.",
            Unsuitable,
        )
    return hints


def _is_plain(hint: Any) -> bool:
    if get_origin(hint) in (tuple, list, Union, UnionType):
        return all(option is Ellipsis or _is_plain(option) for option in get_args(hint))
    return hint in PLAIN or hint is nn.Module


def _converted(network: str, name: str, value: Any, hint: Any) -> Any:
    """The value in the type its annotation asks for."""
    try:
        return _fit(value, hint)
    except TypeError:
        wanted = inspect.formatannotation(hint)
        raise InputError(
            f"{network}: {name} is {short(value)} ({type(value).__name__}); give {wanted}"
        ) from None


def _fit(value: Any, hint: Any) -> Any:
    """The value as the annotation asks for it, or a TypeError."""
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for option in options:
            with contextlib.suppress(TypeError):
                return _fit(value, option)
    elif origin in (tuple, list) and isinstance(value, tuple | list):
        repeated = origin is list or options[-1] is Ellipsis
        each = options[:1] * len(value) if repeated else options
        if len(each) == len(value):
            return origin(map(_fit, value, each))
    elif hint in PLAIN:
        return _scalar(value, hint)
    elif hint is nn.Module:
        if isinstance(value, Mapping):  # from a saved config
            return build(value)
        if isinstance(value, nn.Module) and NETWORKS.get(type(value).__name__) is type(value):
            return value
    raise TypeError


def _scalar(value: Any, hint: type) -> Any:
    number = not isinstance(value, bool)
    if hint is int and number and isinstance(value, Integral):
        return int(value)
    if hint is float and number and isinstance(value, Real):
        with contextlib.suppress(OverflowError):  # a whole number beyond the largest float
            if math.isfinite(value):
                return float(value)
    if hint in (bool, str, NoneType) and isinstance(value, hint):
        return value
    raise TypeError


def _plain(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return dict(value.config)  # type: ignore[arg-type]
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
