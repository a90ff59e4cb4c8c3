"""The dependency rule of the design, and what no source file may do, read off the sources themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
COMFYUI = {"comfy", "folder_paths", "nodes", "execution", "server", "latent_preview", "node_helpers"}
TRAINING = {"diffusers", "accelerate", "peft", "train"}
FORBIDDEN = {
    "sg_models": COMFYUI | TRAINING | {"transformers", "sg_models"},  # itself: by relative imports alone
    "train": COMFYUI,
    "nodes": TRAINING | {"sg_models", "nodes"},
}
RELATIVE = {  # what a `from ..x import` may reach, by the number of dots
    "sg_models": {1: None, 2: {path.name for path in (REPOSITORY / "sg_models").iterdir()}},  # its wings
    "train": {},
    "nodes": {1: None, 2: {"sg_models"}},
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def sources() -> list[Path]:
    files = [REPOSITORY / "__init__.py"]
    for package in FORBIDDEN:
        files += sorted((REPOSITORY / package).rglob("*.py"))
    return files


def breaches(text: str, package: str, module: str = "") -> list[str]:
    """What a module of a package does against the rules, one line each; `package` is "" for the entry point."""
    found = []
    for node in ast.walk(ast.parse(text)):
        against = [*_breaches(node, package), *_nodes_of_nodes(node, package, module)]
        found += [f"line {node.lineno}: {breach}" for breach in against]  # type: ignore[attr-defined]
    return found


def _nodes_of_nodes(node: ast.AST, package: str, module: str) -> Iterator[str]:
    """What two files of nodes share belongs into a third module; only what lists them all imports them."""
    if package == "nodes" and module.endswith("_nodes") and isinstance(node, ast.ImportFrom) and node.level == 1:
        for name in [node.module] if node.module else [alias.name for alias in node.names]:
            if name.endswith("_nodes"):
                yield f"an import of {name}"


def _breaches(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _imported(alias.name, package)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield from _imported(str(node.module), package)
    elif isinstance(node, ast.ImportFrom) and package:
        allowed = RELATIVE[package]
        names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        if node.level not in allowed:
            yield f"a relative import with {node.level} dots"
        elif (reach := allowed[node.level]) is not None and not set(names) <= reach:
            yield f"a relative import of {', '.join(names)}"
    elif isinstance(node, ast.Call):
        yield from _called(node)
    if getattr(node, "id", None) == "NODE_CLASS_MAPPINGS" or getattr(node, "value", None) == "NODE_CLASS_MAPPINGS":
        yield "NODE_CLASS_MAPPINGS"


def _imported(name: str, package: str) -> Iterator[str]:
    root = name.split(".")[0]
    if root in PICKLES:
        yield f"an import of {root}"
    forbidden = FORBIDDEN.get(package, COMFYUI | TRAINING)
    if root in forbidden or (root.startswith("comfy") and package != "nodes"):
        yield f"an import of {name}"


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
    package = path.relative_to(REPOSITORY).parts[0]
    assert breaches(path.read_text("utf-8"), package if package in FORBIDDEN else "", path.stem) == []


def test_all_three_packages_are_seen():
    assert {path.relative_to(REPOSITORY).parts[0] for path in sources()} == {*FORBIDDEN, "__init__.py"}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("sg_models", "import comfy.ops"),
        ("sg_models", "import comfy_api.latest"),
        ("sg_models", "import folder_paths"),
        ("sg_models", "from diffusers import UNet2DConditionModel"),
        ("sg_models", "def f():\n    from accelerate import Accelerator"),
        ("sg_models", "import peft"),
        ("sg_models", "import transformers"),
        ("sg_models", "import train.loop"),
        ("sg_models", "from sg_models.scene_graph import SceneGraph"),
        ("sg_models", "from ..train import loop"),
        ("sg_models", "import nodes"),
        ("train", "from comfy import ops"),
        ("train", "import nodes.attention"),
        ("train", "from .loop import train"),
        ("nodes", "from ..train.loop import train"),
        ("nodes", "from .. import train"),
        ("nodes", "import sg_models"),
        ("nodes", "from diffusers import DDIMScheduler"),
        ("nodes", "NODE_CLASS_MAPPINGS = {}"),
        ("", "import comfy"),
        ("", '__all__ = ["NODE_CLASS_MAPPINGS"]'),
        ("train", "import pickle"),
        ("train", "eval('1')"),
        ("train", "torch.load(path)"),
        ("train", "torch.load(path, weights_only=False)"),
        ("train", "np.load(path, allow_pickle=True)"),
    ],
)
def test_a_breach_is_found(package: str, line: str):
    assert breaches(line, package)


@pytest.mark.parametrize("line", ["from .layout_nodes import predicted", "from . import layout_nodes"])
def test_files_of_nodes_do_not_import_each_other(line: str):
    assert breaches(line, "nodes", "batch_nodes")
    assert not breaches(line, "nodes", "extension")


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("sg_models", "from .scene_graph import SceneGraph"),
        ("train", "from sg_models.scene_graph import SceneGraph\nimport diffusers"),
        ("nodes", "import comfy.ops\nfrom ..sg_models import sg_mini\nfrom .attention import attention_options"),
        ("train", "torch.load(path, weights_only=True)\nmodule.eval()"),
    ],
)
def test_what_is_allowed_passes(package: str, line: str):
    assert not breaches(line, package)
