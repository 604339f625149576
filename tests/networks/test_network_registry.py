"""The registry: what a configuration may say, and what is refused by name."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.networks import MLP, NETWORKS, UNet, build, register


@pytest.fixture(autouse=True)
def _restored():
    known = dict(NETWORKS)
    yield
    NETWORKS.clear()
    NETWORKS.update(known)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_config_is_plain_and_complete():
    config = MLP(2).config
    assert json.loads(json.dumps(config)) == config
    assert config == {
        "network": "MLP",
        "features": 2,
        "hidden": 128,
        "depth": 3,
        "classes": None,
        "outputs": None,
    }


def test_numpy_integers_and_lists_become_plain():
    config = UNet(np.int64(1), classes=np.int32(3), width=16, levels=[1, np.int8(2)]).config
    assert json.loads(json.dumps(config))["levels"] == [1, 2]


def test_missing_defaults_are_filled_in():
    assert build({"network": "MLP", "features": 3}).config == MLP(3).config


@pytest.mark.parametrize(
    "config, says",
    [
        ({"network": "Unet", "channels": 1}, "unknown network 'Unet'.*Did you mean UNet"),
        ({"network": "os.system", "channels": 1}, "unknown network 'os.system'; known are"),
        ({"network": "MLP", "features": 2, "hiden": 8}, "unknown argument of MLP 'hiden'.*mean hidden"),
        ({"network": "MLP", "features": 2, "self": 8}, "unknown argument of MLP 'self'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(config, says):
    with pytest.raises(UnknownName, match=says):
        build(config)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({}, "the config of MLP lacks features"),
        ({"features": "2"}, r"MLP: features is '2' \(str\); give int"),
        ({"features": 2.0}, r"MLP: features is 2.0 \(float\); give int"),
        ({"features": True}, r"MLP: features is True \(bool\); give int"),
        ({"features": None}, r"MLP: features is None \(NoneType\); give int"),
        ({"features": float("nan")}, r"MLP: features is nan \(float\); give int"),
        ({"features": {"a": 1}}, r"MLP: features is {'a': 1} \(dict\); give int"),
        ({"features": 2, "classes": "ten"}, r"MLP: classes is 'ten' \(str\); give int | None"),
        ({"features": 2, "classes": nested(100_000)}, r"MLP: classes is \[\[.* \(list\); give int | None"),
        ({"features": 0}, "MLP: features is 0; give a whole number from 1"),
        ({"features": 10**400}, "MLP: features is 1000"),
        ({"features": 2, "depth": 10**9}, "MLP: depth is 1000000000; give a whole number from 1 to 1024"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, says):
    with pytest.raises(InputError, match=says):
        build({"network": "MLP", **arguments})


@pytest.mark.parametrize("levels", [3, "12", [1, "2"], [1, [2]], nested(100_000), [], [0], [1] * 17, [1, -2]])
def test_bad_levels_are_refused(levels):
    with pytest.raises(InputError, match="level"):
        build({"network": "UNet", "levels": levels})


@pytest.mark.parametrize("dropout", [float("nan"), float("inf"), 1.0, -0.1, "0", None, True])
def test_bad_chances_are_refused(dropout):
    with pytest.raises(InputError, match="dropout is"):
        build({"network": "UNet", "dropout": dropout})


@pytest.mark.parametrize("config", [None, [], "UNet", {}, {"network": 3}, {"network": ["UNet"]}])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(InputError, match=r"give a dictionary such as \{'network'"):
        build(config)


def test_constructors_refuse_what_build_refuses():
    with pytest.raises(InputError, match=r"UNet: width is '32' \(str\); give int"):
        UNet(1, width="32")
    with pytest.raises(TypeError, match="widht"):
        UNet(1, widht=32)


def test_a_user_adds_a_network():
    @register
    class Scaled(nn.Module):
        def __init__(
            self, gain: float, sizes: list[int], *, mode: str | None = None, pair: tuple[int, str]
        ) -> None:
            super().__init__()
            self.gain, self.pair = nn.Parameter(torch.tensor(gain)), pair

    config = Scaled(2, [1, 2], pair=(3, "a")).config
    assert config == {"network": "Scaled", "gain": 2.0, "sizes": [1, 2], "mode": None, "pair": [3, "a"]}
    again = build(json.loads(json.dumps(config)))
    assert isinstance(again, Scaled)
    assert again.pair == (3, "a")
    with pytest.raises(InputError, match=r"Scaled: pair is \[3\] \(list\); give tuple\[int, str\]"):
        build({**config, "pair": [3]})
    with pytest.raises(InputError, match="Scaled: gain is inf"):
        build({**config, "gain": float("inf")})


def test_a_class_with_no_constructor_of_its_own_is_known_by_its_base():
    @register
    class Narrow(MLP):
        pass

    assert Narrow(2).config == {**MLP(2).config, "network": "Narrow"}
    assert MLP(2).config["network"] == "MLP"
    assert type(build(Narrow(2).config)) is Narrow


def test_a_subclass_that_is_not_registered_has_no_config():
    class Wide(MLP):
        pass

    assert not hasattr(Wide(2), "config")


def test_what_cannot_be_rebuilt_is_not_registered():
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()

    class Untyped(nn.Module):
        def __init__(self, size) -> None:
            super().__init__()

    class Clash(nn.Module):
        def __init__(self, network: int) -> None:
            super().__init__()

    with pytest.raises(InputError, match="Clash: rename its argument network, a key"):
        register(Clash)

    class Open(nn.Module):
        def __init__(self, *sizes: int) -> None:
            super().__init__()

    for network in (Untyped, Open):
        with pytest.raises(Unsuitable, match=f"{network.__name__} cannot be registered"):
            register(network)
        assert network.__name__ not in NETWORKS
    with pytest.raises(Unsuitable, match=r"dict is no torch\.nn\.Module"):
        register(dict)


def test_a_name_is_taken_once():
    class UNet(nn.Module):
        pass

    with pytest.raises(InputError, match=r"'UNet' already belongs to girsanov\.networks\.unet\.UNet"):
        register(UNet)
    register(NETWORKS["UNet"])  # the same class again is no conflict
