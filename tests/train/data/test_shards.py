"""Shards: what is in them, that they are ordinary tars, that they are read at random, and what is refused."""

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from accelerate.state import AcceleratorState

from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.layers.layout import MASK_SIDE
from train import precompute
from train.conditioning.phrase_encoders import ClipPhrases
from train.data import shard_files
from train.data.dataset import TRAIN, VALIDATION
from train.data.graph_samples import no_features
from train.data.graph_variation import with_gaps
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.latents import PicturesEncoded, split_latents
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.data.shard_files import ABOUT, UNFINISHED
from train.data.shard_writing import partial_phrases
from train.data.shards import ShardLatents, Shards, StoredPhrases
from train.data.training_samples import PictureOptions, ShardOptions, picture_samples
from train.objectives.gsa import GSADenoiser, GSAObjective
from train.running.command_line import UsageError

COUNT, VAL, PER_SHARD = 22, 3, 5


def config_for(checkpoint: Path, out: Path, **changes) -> precompute.Config:
    settings = {"base": str(checkpoint), "pictures": COUNT, "validation": VAL, "per_shard": PER_SHARD, "out": out}
    return precompute.Config(**settings | changes)


@pytest.fixture(scope="module")
def folder(sg_mini_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of a few Shapes; not to be changed."""
    AcceleratorState._reset_state(True)
    place = tmp_path_factory.mktemp("shards") / "shapes-sg-mini-clip"
    precompute.main(config_for(sg_mini_checkpoint, place))
    return place


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The same shards, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def clip(base) -> RememberedPhrases:
    return RememberedPhrases(ClipPhrases(base))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_webdataset_library_reads_them(folder: Path):
    tars = sorted(str(path) for path in folder.glob("train-*.tar"))
    assert len(tars) == 5
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == [f"{place:08d}" for place in range(COUNT)]
    graphs = ShapesSplit(TRAIN, COUNT).graphs
    for sample, graph in zip(samples, graphs, strict=True):
        assert SceneGraph.from_dict(sample["graph.json"]) == graph
        assert sample["latents.npy"].shape == (4, 16, 16) and sample["latents.npy"].dtype == np.float16
        assert sample["phrases.npy"].shape == (len(sample["phrases.json"]), 128)
        assert len(sample["masks.npy"]) == len(graph.objects)


@pytest.mark.parametrize(("name", "count"), [(TRAIN, COUNT), (VALIDATION, VAL)])
def test_they_hold_what_the_data_set_holds(folder: Path, base, clip, tmp_path: Path, name: str, count: int):
    split, true = Shards(folder, "shapes").split(name, 1000), ShapesSplit(name, count)
    assert (split.dataset, split.name, len(split.graphs)) == ("shapes", name, count)
    assert list(split.graphs) == true.graphs
    places = list(range(count))[::-1]
    torch.testing.assert_close(
        ShardLatents(split, base)[places], split_latents(base, true, tmp_path)[places], atol=1e-3, rtol=1e-3
    )
    assert all(torch.equal(split.masks(i, MASK_SIDE), true.masks(i, MASK_SIDE)) for i in places)
    assert split.nested.tolist() == true.nested.tolist() and split.fingerprint() == true.fingerprint()
    rng = np.random.default_rng(0)
    told = [with_gaps(split.graphs[place], rng) for place in places]
    for (objects, relations), (x, edges) in zip(StoredPhrases(split, clip)(told, places), clip(told), strict=True):
        torch.testing.assert_close(objects, x, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(relations, edges, atol=2e-3, rtol=2e-3)


def test_fewer_than_all_are_the_first(folder: Path):
    split = Shards(folder, "shapes").split(TRAIN, 7)
    assert len(split.graphs) == 7 and list(split.starts) == [0, 5] and split.nested.max(initial=0) < 7
    with pytest.raises(IndexError):
        split.graphs[7]


def test_every_telling_of_a_graph_is_stored(folder: Path, clip, monkeypatch: pytest.MonkeyPatch):
    split = Shards(folder, "shapes").split(TRAIN, COUNT)
    stored, rng = StoredPhrases(split, clip), np.random.default_rng(0)
    monkeypatch.setattr(ClipPhrases, "encode", lambda *_: pytest.fail("encoded"))
    for _ in range(20):
        stored([with_gaps(graph, rng) for graph in split.graphs], range(COUNT))
    with pytest.raises(pytest.fail.Exception, match="encoded"):
        stored([SceneGraph((SceneObject("unicorn"),))], [0])


def test_a_phrase_that_is_not_stored_is_encoded(folder: Path, clip):
    graph = SceneGraph((SceneObject("unicorn"), SceneObject("circle")), (Relation(0, "rides", 1),))
    split = Shards(folder, "shapes").split(TRAIN, COUNT)
    (stored,), (live,) = StoredPhrases(split, clip)([graph], [0]), clip([graph])
    assert all(torch.allclose(a, b, atol=2e-3) for a, b in zip(stored, live, strict=True))


def test_of_up_to_three_attributes_all_subsets_are_stored_and_of_more_the_whole():
    three, four = SceneObject("dog", ("a", "b", "c")), SceneObject("cat", ("a", "b", "c", "d"))
    kept = [keep for n in range(4) for keep in itertools.combinations("abc", n)]
    phrases = partial_phrases(SceneGraph((three, four), (Relation(0, "near", 1),)))
    assert set(phrases) == {" ".join((*keep, "dog")) for keep in kept} | {"a b c d cat", "near"}
    assert len(phrases) == len(set(phrases)) == 10


def test_what_is_there_is_not_written_again_and_what_is_missing_is(folder: Path, copy: Path, sg_mini_checkpoint: Path):
    """A shard is the same whichever run writes it, and whichever others it writes."""
    (copy / "train-000002.tar").unlink()
    (copy / "train-000004.index.npy").unlink()
    kept = (copy / "train-000001.tar").stat().st_mtime_ns
    precompute.main(config_for(sg_mini_checkpoint, copy))
    assert files(copy) == files(folder)
    assert (copy / "train-000001.tar").stat().st_mtime_ns == kept


def test_an_interruption_leaves_whole_shards_and_no_page_that_says_they_are_all(
    sg_mini_checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, calls = tmp_path / "out", itertools.count()
    encode = precompute.ShardWriter._sample

    def interrupted(*arguments) -> dict:
        if next(calls) == PER_SHARD + 2:
            raise KeyboardInterrupt
        return encode(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(precompute.ShardWriter, "_sample", interrupted)
        with pytest.raises(KeyboardInterrupt):
            precompute.main(config_for(sg_mini_checkpoint, out))
    assert set(files(out)) == {"train-000000.tar", "train-000000.index.npy", UNFINISHED}
    with pytest.raises(UsageError, match="shards are whole when train/precompute.py has ended"):
        Shards(out, "shapes")
    precompute.main(config_for(sg_mini_checkpoint, out))
    assert files(out) == files(folder)


def test_processes_write_shards_of_their_own(sg_mini_checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch):
    """Both of two processes, one after the other; together they write what one would have."""
    written: list[list[int]] = []
    write = precompute.ShardWriter.write
    monkeypatch.setattr(precompute.ShardWriter, "write", lambda w, n: written.append(list(n)) or write(w, n))

    class Two:
        device, num_processes = torch.device("cpu"), 2

        def __init__(self, number: int) -> None:
            self.process_index, self.is_main_process = number, number == 0

        def wait_for_everyone(self) -> None:
            pass

    for number in (1, 0):
        monkeypatch.setattr(precompute, "this_process", lambda number=number, **_: Two(number))
        precompute.main(config_for(sg_mini_checkpoint, tmp_path / "out"))
    assert sorted(written[0] + written[2]) == list(range(5)) and not set(written[0]) & set(written[2])
    assert files(tmp_path / "out") == files(folder)


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"pictures": 30}, "splits"), ({"phrases": "none"}, "phrases"), ({"per_shard": 6}, "per_shard")],
)
def test_a_folder_of_other_shards_is_not_mixed(copy: Path, sg_mini_checkpoint: Path, changes: dict, what: str):
    before = files(copy)
    with pytest.raises(UsageError, match=f"made from another .*{what}.*delete the folder"):
        precompute.main(config_for(sg_mini_checkpoint, copy, **changes))
    assert files(copy) == before


@dataclass
class Options(DatasetOptions, ShardOptions):
    pass


def test_mirrored_pictures_are_stored_with_the_others(sg_mini_checkpoint: Path, tmp_path: Path):
    precompute.main(config_for(sg_mini_checkpoint, tmp_path / "flips", flips=True, pictures=6, phrases="none"))
    split = Shards(tmp_path / "flips", "shapes").split(TRAIN, 100)
    assert list(split.graphs) == list(open_dataset(DatasetOptions(flips=True)).split(TRAIN, 6).graphs)
    with pytest.raises(UsageError, match="leave out --flips, or give it to precompute.py"):
        open_dataset(Options(flips=True, shards=tmp_path / "flips"))


def test_shards_stand_in_the_place_of_a_data_set(folder: Path):
    data = open_dataset(Options(shards=folder))
    assert isinstance(data, Shards)
    assert (data.name, data.large_area, data.nested_rate) == (Shapes.name, Shapes.large_area, Shapes.nested_rate)
    with pytest.raises(UsageError, match="latents and no pictures"):
        data.split(TRAIN, 3).pictures([0], 128)
    with pytest.raises(UsageError, match="no split 'test', it has train, val"):
        data.split("test", 3)


def changed(copy: Path, **values) -> Shards:
    about = json.loads((copy / ABOUT).read_text()) | values
    (copy / ABOUT).write_text(json.dumps(about))
    return Shards(copy, about["dataset"])


def test_shards_of_another_data_set_base_or_encoder_are_refused(folder: Path, copy: Path, base, clip):
    with pytest.raises(UsageError, match="holds shapes, not vg; write --dataset shapes"):
        Shards(folder, "vg")
    with pytest.raises(
        UsageError, match="latents for sd21-base at 128 pixels, and sg-mini draws 128.*--base sd21-base"
    ):
        ShardLatents(changed(copy, base="sd21-base").split(TRAIN, 3), base)
    with pytest.raises(UsageError, match="latents for sg-mini at 256 pixels"):
        ShardLatents(changed(copy, base="sg-mini", side=256).split(TRAIN, 3), base)
    with pytest.raises(UsageError, match="vectors of bert phrases, not of clip; write --phrases bert"):
        StoredPhrases(changed(copy, phrases="bert").split(TRAIN, 3), clip)
    with pytest.raises(UsageError, match="of format 9"):
        changed(copy, format=9)
    split = Shards(folder, "shapes").split(TRAIN, 3)
    with torch.no_grad():
        next(base.vae.parameters()).add_(1.0)
        base.text_encoder.get_input_embeddings().weight.add_(1.0)
    with pytest.raises(UsageError, match="another autoencoder"):
        ShardLatents(split, base)
    with pytest.raises(UsageError, match="another clip than the one that is loaded"):
        StoredPhrases(split, clip)


def test_shards_without_vectors_train_what_needs_none(sg_mini_checkpoint: Path, tmp_path: Path, base, clip):
    precompute.main(config_for(sg_mini_checkpoint, tmp_path / "bare", phrases="none"))
    split = Shards(tmp_path / "bare", "shapes").split(TRAIN, COUNT)
    assert picture_samples(PictureOptions(), base, split, no_features)(range(4)).latents.shape == (4, 4, 16, 16)
    with pytest.raises(UsageError, match="vectors of none phrases, not of clip"):
        picture_samples(PictureOptions(), base, split, clip)
    with pytest.raises(UsageError, match="no pictures to encode in each step"):
        picture_samples(PictureOptions(encode="each-step"), base, split, no_features)


def break_tar(copy: Path, damage: str) -> None:
    tar = copy / "train-000001.tar"
    if damage == "short":
        tar.write_bytes(tar.read_bytes()[:600])
    elif damage == "bytes":
        tar.write_bytes(bytes(tar.stat().st_size))
    else:
        (tar if damage == "missing" else copy / "train-000001.index.npy").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("short", "is cut short"),
        ("bytes", "is damaged"),
        ("missing", "cannot be opened"),
        ("no index", "cannot be opened"),
    ],
)
def test_a_damaged_shard_is_named(copy: Path, damage: str, said: str):
    break_tar(copy, damage)
    split = Shards(copy, "shapes").split(TRAIN, COUNT)
    split.graphs[0]
    with pytest.raises(UsageError, match=rf"train-000001\.tar {said}.*delete it and run train/precompute.py again"):
        split.graphs[PER_SHARD + 1]


def test_a_disk_that_cannot_be_read_ends_in_a_sentence(folder: Path):
    class Broken(BytesIO):
        def read(self, *_) -> bytes:
            raise OSError(5, "Input/output error")

    split = Shards(folder, "shapes").split(TRAIN, COUNT)
    split._file(0).file = Broken()
    with pytest.raises(UsageError, match=r"train-000000\.tar cannot be read.*Input/output error"):
        split.latents(0)


def test_few_files_are_open_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.data.shards.OPEN_SHARDS", 2)
    split = Shards(folder, "shapes").split(TRAIN, COUNT)
    for place in (*range(COUNT), *range(0, COUNT, PER_SHARD)):
        split.graphs[place], split.latents(place)
    assert split._file.cache_info().currsize == 2


def test_a_full_disk_leaves_no_half_shard(sg_mini_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Full(shard_files.TarWriter):
        def write(self, sample: dict) -> int:
            if sample["__key__"] == "00000007":
                raise OSError(28, "No space left on device")
            return super().write(sample)

    monkeypatch.setattr(shard_files, "TarWriter", Full)
    with pytest.raises(OSError, match="No space left"):
        precompute.main(config_for(sg_mini_checkpoint, tmp_path / "out"))
    assert set(files(tmp_path / "out")) == {"train-000000.tar", "train-000000.index.npy", UNFINISHED}


@pytest.fixture
def sources(base, clip, folder: Path, tmp_path: Path) -> Iterator[dict]:
    """Samples of the same scenes from a cache of latents, from pictures and from shards."""
    pictures, shards = ShapesSplit(TRAIN, COUNT), Shards(folder, "shapes").split(TRAIN, COUNT)
    options = PictureOptions(latents_dir=tmp_path)
    settings = {"seed": 3, "nested_rate": Shapes.nested_rate, "masks": True}
    yield {
        "once": picture_samples(options, base, pictures, clip, **settings),
        "each-step": picture_samples(replace(options, encode="each-step"), base, pictures, clip, **settings),
        "shards": picture_samples(options, base, shards, clip, **settings),
    }


@pytest.mark.parametrize("source", ["each-step", "shards"])
def test_losses_are_the_same_wherever_samples_come_from(sources: dict, source: str, base, clip, make_adapter):
    """All that differs is the rounding of phrase vectors and latents to float16."""
    objective = GSAObjective(base, sources["once"], clip, large_area=Shapes.large_area, timestep_power=0.8)
    model = GSADenoiser(base, make_adapter(gate=0.5, tokens=24))
    losses = {
        name: objective.loss(model, sources[name](range(8)), torch.Generator().manual_seed(0))[0].item()
        for name in ("once", source)
    }
    assert losses[source] == pytest.approx(losses["once"], rel=1e-3)


@pytest.mark.parametrize("source", ["each-step", "shards"])
def test_samples_are_the_same_wherever_they_come_from(sources: dict, source: str):
    """All shards fit into one pool, so that the order is the same, too; vectors and latents are kept in float16."""
    for indices in (range(8), range(2 * COUNT - 3, 2 * COUNT + 5)):
        one, other = sources["once"](indices), sources[source](indices)
        assert one.graphs == other.graphs and torch.equal(one.is_null, other.is_null)
        torch.testing.assert_close(one.latents, other.latents, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(one.encoded.x, other.encoded.x, atol=2e-3, rtol=2e-3)
        assert torch.equal(one.encoded.truth.boxes, other.encoded.truth.boxes)
        assert torch.equal(one.encoded.truth.masks, other.encoded.truth.masks)
        assert torch.equal(one.encoded.edge_index, other.encoded.edge_index)


def test_pictures_are_encoded_in_each_step_for_training_alone(sources: dict, base, clip, tmp_path: Path):
    assert isinstance(sources["each-step"].latents, PicturesEncoded)
    options = PictureOptions(encode="each-step", latents_dir=tmp_path)
    validation = picture_samples(options, base, ShapesSplit(VALIDATION, 2), clip)
    assert not isinstance(validation.latents, PicturesEncoded)
    assert len(validation.latents) == 2 and len(sources["each-step"].latents) == COUNT
