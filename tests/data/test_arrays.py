"""Arrays come back as they were, their codes have mean 0 and variance 1; bad files are refused."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from girsanov import data
from girsanov.data.arrays import ArrayCodec, read_array
from girsanov.data.scales import Scale
from girsanov.errors import InputError, SavedFileError

RNG = np.random.default_rng(0)
FLOATS = RNG.normal(3.0, 5.0, (50, 4))
DTYPES = ["float16", "float32", "float64", "int8", "uint16", "int64", "bool"]


def values(dtype, shape=(50, 4)):
    if dtype == "bool":
        return RNG.integers(0, 2, shape).astype(bool)
    low, high = (0, 100) if dtype[0] == "u" else (-100, 100)
    return RNG.integers(low, high, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(50, 4), (50, 1), (50, 2, 3), (50, 1, 4, 4)])
def test_round_trip(dtype, shape):
    array = values(dtype, shape)
    codec = ArrayCodec.learn(array)
    x, back = codec.encode(array), codec.decode(codec.encode(array))
    assert x.dtype == torch.float32 and x.shape == shape == (50, *codec.shape)
    assert back.dtype == array.dtype
    np.testing.assert_allclose(back.astype(float), array.astype(float), atol=2e-5 if dtype[0] == "f" else 0)


def test_vectors_are_standardized_by_feature_and_the_rest_as_a_whole():
    wide = FLOATS * np.array([1, 10, 100, 1e6]) + np.array([0, 5, 1e4, -3])
    x = ArrayCodec.learn(wide).encode(wide)
    torch.testing.assert_close(x.mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(4), atol=1e-6, rtol=0)
    image = wide.reshape(50, 2, 2)
    x = ArrayCodec.learn(image).encode(image)
    assert len(ArrayCodec.learn(image).scales) == 1
    assert x.mean().item() == pytest.approx(0, abs=1e-6) and x.std(correction=0).item() == pytest.approx(
        1, abs=1e-6
    )
    assert x.std((0, 2), correction=0)[0] < 0.1  # a scale for each feature would have made this 1


def test_generated_whole_numbers_are_rounded_and_stay_in_the_seen_range():
    codec = ArrayCodec.learn(np.array([[0], [1], [2], [9]]))
    back = codec.decode(torch.tensor([[-50.0], [0.0], [0.1], [50.0]]))
    assert back.tolist() == [[0], [3], [3], [9]] and back.dtype == np.int64


def test_generated_floats_may_leave_the_seen_range():
    codec = ArrayCodec.learn(FLOATS)
    assert (codec.decode(torch.full((1, 4), 30.0)) > FLOATS.max(0)).all()


def test_a_constant_comes_back_whatever_was_generated():
    array = np.full((9, 2), 0.1)
    array[:, 1] = range(9)
    codec = ArrayCodec.learn(array)
    assert codec.encode(array)[:, 0].tolist() == [0.0] * 9
    assert (codec.decode(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))[:, 0] == 0.1).all()


@pytest.mark.parametrize(
    "array", [[[1e150], [-1e150]], [[5e-324], [0.0]], [[1.0], [1.0 + 1e-15]], [[1e-200], [2e-200]]]
)
def test_extreme_scales(array):
    codec = ArrayCodec.learn(np.array(array))
    back = codec.decode(codec.encode(np.array(array)))
    np.testing.assert_allclose(back, array, rtol=1e-6)
    assert back[0] != back[1]


def test_refuses_a_range_too_wide_for_float64():
    with pytest.raises(InputError, match="too wide"):
        ArrayCodec.learn(np.array([[1e300], [-1e300]]))
    with pytest.raises(InputError, match="2\\^53"):
        ArrayCodec.learn(np.array([[2**60], [1]]))
    with pytest.raises(InputError, match="standardized"):
        ArrayCodec.learn(FLOATS).encode(np.full((1, 4), 1e200))


@pytest.mark.parametrize(
    "array, says",
    [
        (np.zeros((0, 3)), "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.float64(3.0), "shape"),
        (np.zeros(3), r"x\[:, None\]"),
        (np.zeros((3, 2), complex), "complex128"),
        (np.array([["a"]]), "dtype <U1"),
        (np.array([[None]]), "object"),
        (np.zeros((3, 2), "datetime64[s]"), "datetime64"),
        (np.zeros((3, 2), [("a", "f8")]), "give real numbers"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), r"index \(1, 1\)"),
        (np.array([[1.0, -np.inf]], np.float16), r"index \(0, 1\)"),
        (np.array([[1.0, np.nan]], np.longdouble), r"index \(0, 1\)"),
    ],
)
def test_refuses_what_is_no_batch_of_finite_numbers(array, says):
    with pytest.raises(InputError, match=says):
        ArrayCodec.learn(np.asarray(array))


def test_the_users_array_is_not_changed_and_need_not_be_contiguous():
    array = FLOATS.copy()
    backwards = array[::-1, ::2]
    swapped = array.astype(">f4")
    for given in (array, backwards, swapped, np.broadcast_to(array[:1], (5, 4))):
        codec = ArrayCodec.learn(given)
        np.testing.assert_allclose(codec.decode(codec.encode(given)), given, rtol=1e-5)
    assert (array == FLOATS).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_decodes_rows_of_any_real_dtype_and_layout(dtype):
    codec = ArrayCodec.learn(FLOATS)
    x = torch.arange(8.0).reshape(4, 2).T.to(dtype)
    assert not x.is_contiguous()
    np.testing.assert_array_equal(codec.decode(x), codec.decode(x.double().contiguous()))
    assert codec.decode(torch.zeros(0, 4)).shape == (0, 4)
    assert codec.decode(torch.zeros(1, 4, requires_grad=True).expand(3, 4)).shape == (3, 4)


@pytest.mark.parametrize(
    "x, says",
    [
        (torch.zeros(3, 5), r"\(3, 5\).*\(N, 4\)"),
        (torch.zeros(4), r"\(N, 4\)"),
        (torch.zeros(()), r"\(N, 4\)"),
        (torch.zeros(3, 4, dtype=torch.complex64), "complex"),
        (torch.tensor([[0.0, 1.0, 2.0, torch.nan]]), r"index \(0, 3\)"),
        ([[0.0]], "tensor"),
    ],
)
def test_refuses_other_rows(x, says):
    with pytest.raises(InputError, match=says):
        ArrayCodec.learn(FLOATS).decode(x)


def test_refuses_another_shape():
    with pytest.raises(InputError, match=r"\(3, 5\).*\(N, 4\)"):
        ArrayCodec.learn(FLOATS).encode(np.zeros((3, 5)))


def test_a_codec_survives_json():
    for array in (FLOATS, values("int8"), values("float32", (50, 2, 2)), values("bool")):
        codec = ArrayCodec.learn(array)
        assert data.codec_from_config(json.loads(json.dumps(codec.to_config()))) == codec


CONFIG = ArrayCodec.learn(FLOATS).to_config()
SCALE = CONFIG["scales"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pickle"},
        {"kind": 3},
        {"shape": ["4"]},
        {"shape": [0]},
        {"shape": []},
        {"shape": [True]},
        {"shape": "4"},
        {"shape": [5]},
        {"dtype": "object"},
        {"dtype": "os.system"},
        {"dtype": "complex128"},
        {"dtype": None},
        {"scales": []},
        {"scales": [3]},
        {"scales": [{}]},
        {"scales": [{**SCALE, "scale": float("nan")}]},
        {"scales": [{**SCALE, "scale": 0}]},
        {"scales": [{**SCALE, "scale": "1"}]},
        {"scales": [{**SCALE, "mean": 10**400}]},
        {"scales": [{**SCALE, "low": 3.0, "high": 2.0}]},
    ],
)
def test_refuses_a_changed_config(change):
    with pytest.raises((SavedFileError, InputError)):
        data.codec_from_config({**CONFIG, **change})


def test_refuses_a_scale_that_cannot_be_undone():
    with pytest.raises(InputError, match="scale is 0"):
        Scale(mean=0.0, scale=0.0, low=0.0, high=1.0)


# Files


def test_reads_npy_and_npz(tmp_path):
    np.save(tmp_path / "a.npy", FLOATS)
    np.savez_compressed(tmp_path / "b.npz", x=FLOATS, other=np.zeros(3))
    np.savez(tmp_path / "c.npz", only=FLOATS, day=np.arange(50))
    for name, label in (("a.npy", None), ("b.npz", None), ("c.npz", "day")):
        array, labels = read_array(tmp_path / name, label)
        assert (array == FLOATS).all()
        assert (labels is None) if label is None else (labels == np.arange(50)).all()


class Touch:
    """A pickle that would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "raw.npy", "raw.npz"])
def test_a_pickle_is_refused_and_never_loaded(tmp_path, name):
    payload = Touch(tmp_path / "touched")
    if name == "a.npy":
        np.save(tmp_path / name, np.array([payload], object), allow_pickle=True)
    elif name == "a.npz":
        np.savez(tmp_path / name, x=np.array([payload], object))
    else:
        (tmp_path / name).write_bytes(pickle.dumps(payload))
    with pytest.raises(SavedFileError, match="runs the code in it"):
        read_array(tmp_path / name, None)
    assert not (tmp_path / "touched").exists()
    np.load(tmp_path / "a.npy", allow_pickle=True) if name == "a.npy" else None
    assert (tmp_path / "touched").exists() == (
        name == "a.npy"
    )  # the payload works, so the test could have failed


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("part", range(0, 64, 7))
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_a_truncated_file_is_refused(tmp_path, ending, part):
    whole = tmp_path / f"whole{ending}"
    np.save(whole, FLOATS) if ending == ".npy" else np.savez(whole, x=FLOATS)
    content = whole.read_bytes()
    (tmp_path / f"a{ending}").write_bytes(content[: len(content) * part // 64])
    with pytest.raises(SavedFileError, match=f"a{ending}"):
        read_array(tmp_path / f"a{ending}", None)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    shape, larger = b"(10, 10), }".ljust(31), b"(10, 99999999999999), }".ljust(31)
    content = npy(np.zeros((10, 10))).replace(shape, larger)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(SavedFileError, match="could not be read"):
            read_array(tmp_path / name, None)


@pytest.mark.parametrize(
    "arrays, label, says",
    [
        ({"a": FLOATS, "b": FLOATS}, None, "holds a, b. Name the data x"),
        ({"x": FLOATS}, "y", "no labels named 'y'"),
        ({"x": FLOATS}, "x", "Name the data x"),
        ({"x": FLOATS, "y": FLOATS}, "y", "one label a row"),
        ({}, None, "holds nothing"),
    ],
)
def test_refuses_archives_that_do_not_tell(tmp_path, arrays, label, says):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=says):
        read_array(tmp_path / "a.npz", label)


def test_an_npy_file_has_no_labels(tmp_path):
    np.save(tmp_path / "a.npy", FLOATS)
    with pytest.raises(InputError, match="no labels"):
        read_array(tmp_path / "a.npy", "y")
