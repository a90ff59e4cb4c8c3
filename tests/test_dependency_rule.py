"""The dependency rules of the design, and what no source file may do, read off the sources themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
COMFYUI = {"comfy", "folder_paths", "nodes", "execution", "server", "latent_preview", "node_helpers"}
TRAINING = {"diffusers", "accelerate", "peft", "train"}
FORBIDDEN = {
    "sg_models": COMFYUI | TRAINING | {"transformers", "sg_models"},  # itself: by relative imports alone
    "train": COMFYUI,
    "nodes": TRAINING | {"sg_models", "nodes"},
    "benchmarks": set(),
}
RELATIVE = {"sg_models": {"sg_models"}, "train": set(), "nodes": {"sg_models", "nodes"}, "benchmarks": set()}
# the wings of a package from the ground up: each may import what is in it or below it
WINGS = {
    "sg_models": (
        "files",
        "graph",
        "bases",
        "verification",
        "drawing",
        "layers",
        "guidance",
        "arrangement",
        "adapters",
    ),
    "train": ("running", "bases", "conditioning", "data", "losses", "report", "objectives"),
}
# one folder for each world, known to the table of data sets alone, and that to scripts alone
WORLDS = {f"train.data.{path.parent.name}" for path in (REPOSITORY / "train/data").glob("*/__init__.py")}
TABLE = "train.data.known_datasets"
SCRIPTS = {f"train.{path.stem}" for path in (REPOSITORY / "train").glob("*.py")} - {"train.__init__"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def sources() -> list[Path]:
    files = [REPOSITORY / "__init__.py"]
    for package in FORBIDDEN:
        files += sorted((REPOSITORY / package).rglob("*.py"))
    return files


def breaches(text: str, place: str) -> list[str]:
    """What a source at a place in the repository (`sg_models/graph/caption.py`) does against the rules, a line each."""
    found = []
    for node in ast.walk(ast.parse(text)):
        found += [f"line {node.lineno}: {breach}" for breach in _breaches(node, place)]  # type: ignore[attr-defined]
    return found


def _breaches(node: ast.AST, place: str) -> Iterator[str]:
    package = PurePosixPath(place).parts[0]
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _imported(alias.name, package)
            yield from _between_wings(alias.name, place)
    elif isinstance(node, ast.ImportFrom):
        module = _absolute(node, place)
        if node.level and package in RELATIVE:
            if module is None or module.split(".")[0] not in RELATIVE[package]:
                yield f"a relative import of {'.' * node.level}{node.module or ''}"
        elif not node.level:
            yield from _imported(module, package)
        for name in (module, *(f"{module}.{alias.name}" for alias in node.names)):
            yield from _between_wings(name, place)
    elif isinstance(node, ast.Call):
        yield from _called(node)
    if getattr(node, "id", None) == "NODE_CLASS_MAPPINGS" or getattr(node, "value", None) == "NODE_CLASS_MAPPINGS":
        yield "NODE_CLASS_MAPPINGS"


def _absolute(node: ast.ImportFrom, place: str) -> str | None:
    """The module that is imported from, by its name from the repository's root; None outside of that."""
    if not node.level:
        return str(node.module)
    folders = PurePosixPath(place).parts[:-1]
    if node.level > len(folders) + 1:
        return None
    kept = [*folders[: len(folders) - node.level + 1], *(node.module.split(".") if node.module else [])]
    return ".".join(kept or [node.names[0].name])


def _imported(name: str, package: str) -> Iterator[str]:
    root = name.split(".")[0]
    if root in PICKLES:
        yield f"an import of {root}"
    forbidden = FORBIDDEN.get(package, COMFYUI | TRAINING)
    if root in forbidden or (root.startswith("comfy") and package in ("sg_models", "train")):
        yield f"an import of {name}"


def _between_wings(name: str | None, place: str) -> Iterator[str]:
    """What is imported inside the project: a script, a higher wing, a world, another file of nodes."""
    if name is None:
        return
    here, there = PurePosixPath(place).with_suffix("").parts, name.split(".")
    if name in SCRIPTS:
        yield f"an import of the script {name}"
    module = ".".join(here)
    for world in (*WORLDS, TABLE):
        # scripts may: some make SG-Mini, which is of such a world
        if here[0] == "train" and len(here) > 2 and f"{name}.".startswith(f"{world}."):
            if module != TABLE and not module.startswith(f"{world}."):
                yield f"an import of {name}: nothing here may know a data set"
    wings = WINGS.get(here[0], ())
    if len(here) > 2 and len(there) > 1 and here[0] == there[0] and {here[1], there[1]} <= set(wings):
        if wings.index(there[1]) > wings.index(here[1]):
            yield f"an import of {name}, which is in a higher wing than {here[1]}"
    if here[0] == there[0] == "nodes" and len(there) == 2:
        if there[1].endswith("_nodes") and here[1].endswith("_nodes") and there[1] != here[1]:
            yield f"an import of {name}: what files of nodes share has a file of its own"


def _called(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in ("eval", "exec", "compile", "__import__", "importlib.import_module"):
        yield f"a call of {name}"
    if name in ("torch.load", "th.load") and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if keywords.get("allow_pickle", "False") != "False":
        yield "allow_pickle"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_sources_keep_the_rules(path: Path):
    assert breaches(path.read_text("utf-8"), path.relative_to(REPOSITORY).as_posix()) == []


def test_all_packages_and_wings_are_seen():
    assert {path.relative_to(REPOSITORY).parts[0] for path in sources()} == {*FORBIDDEN, "__init__.py"}
    for package, wings in WINGS.items():
        assert {path.parent.name for path in (REPOSITORY / package).glob("*/__init__.py")} == set(wings)
    assert {"train.train_gsa", "train.sample", "train.compare"} <= SCRIPTS
    assert WORLDS == {"train.data.shapes", "train.data.prepared"}


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("sg_models/graph/caption.py", "import comfy.ops"),
        ("sg_models/graph/caption.py", "import comfy_api.latest"),
        ("sg_models/graph/caption.py", "import folder_paths"),
        ("sg_models/layers/layout.py", "from diffusers import UNet2DConditionModel"),
        ("sg_models/layers/layout.py", "def f():\n    from accelerate import Accelerator"),
        ("sg_models/layers/layout.py", "import peft"),
        ("sg_models/layers/layout.py", "import transformers"),
        ("sg_models/layers/layout.py", "import train.running.loop"),
        ("sg_models/layers/layout.py", "from sg_models.graph.scene_graph import SceneGraph"),
        ("sg_models/layers/layout.py", "from ...train.running import loop"),
        ("sg_models/layers/layout.py", "from ..adapters.adapter import Adapter"),
        ("sg_models/graph/caption.py", "from ..drawing import label_font"),
        ("sg_models/graph/caption.py", "import nodes"),
        ("train/sample.py", "from comfy import ops"),
        ("train/sample.py", "import nodes.attention"),
        ("train/sample.py", "from .running.loop import train"),
        ("train/sample.py", "from train.evaluate import measure"),
        ("train/sample.py", "from train import train_gsa"),
        ("train/running/loop.py", "import train.train_gsa"),
        ("benchmarks/training.py", "from train.train_gsa import Config"),
        ("train/losses/denoising.py", "from train.data.shapes.scene import SIDE"),
        ("train/conditioning/sampling.py", "from train.data.shapes import shapes_dataset"),
        ("train/conditioning/sampling.py", "from train.data import known_datasets"),
        ("train/data/graph_samples.py", "from train.data.shapes.scene import SIDE"),
        ("train/objectives/gsa.py", "def f():\n    import train.data.shapes.shapes_dataset"),
        ("train/bases/load.py", "from train.conditioning.sampling import STEPS"),
        ("nodes/layout_nodes.py", "from ..train.running.loop import train"),
        ("nodes/layout_nodes.py", "from .. import train"),
        ("nodes/layout_nodes.py", "import sg_models"),
        ("nodes/layout_nodes.py", "from diffusers import DDIMScheduler"),
        ("nodes/layout_nodes.py", "from .scene_graph_nodes import read_graph"),
        ("nodes/layout_nodes.py", "from . import scene_graph_nodes"),
        ("nodes/layout_nodes.py", "NODE_CLASS_MAPPINGS = {}"),
        ("__init__.py", "import comfy"),
        ("__init__.py", '__all__ = ["NODE_CLASS_MAPPINGS"]'),
        ("train/sample.py", "import pickle"),
        ("train/sample.py", "eval('1')"),
        ("train/sample.py", "torch.load(path)"),
        ("train/sample.py", "torch.load(path, weights_only=False)"),
        ("train/sample.py", "np.load(path, allow_pickle=True)"),
    ],
)
def test_a_breach_is_found(place: str, line: str):
    assert breaches(line, place)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("sg_models/graph/caption.py", "from .scene_graph import SceneGraph"),
        ("sg_models/adapters/adapter.py", "from ..graph.scene_graph import SceneGraph"),
        ("train/sample.py", "from sg_models.graph.scene_graph import SceneGraph\nimport diffusers"),
        ("train/data/latents.py", "from train.bases.base_model import BaseModel"),
        ("nodes/layout_nodes.py", "import comfy.ops\nfrom ..sg_models.bases import sg_mini\nfrom .pictures import x"),
        ("nodes/extension.py", "from .layout_nodes import LayoutPredictor"),
        ("train/sample.py", "torch.load(path, weights_only=True)\nmodule.eval()"),
    ],
)
def test_what_is_allowed_passes(place: str, line: str):
    assert not breaches(line, place)
