"""Finding a trained adapter by the name of its variant and putting it into a base."""

from pathlib import Path

from sg_models.adapter import Adapter, AdapterError, read_adapter
from sg_models.gsa_adapter import GSAAdapter, build_adapter
from train.base_model import ADAPTERS, BaseModel
from train.grounded_unet import attach, block_sizes

NO_ADAPTER = "none"  # variant (i): the graph as a caption


def load_adapter(base: BaseModel, name: str) -> GSAAdapter | None:
    """The adapter of a variant (`vi`), or at a path, in the base's UNet; None for `none`.

    Raises `AdapterError` where there is none, or where it does not fit the base.
    """
    if name == NO_ADAPTER:
        return None
    adapter = read_adapter(_path(base, name))
    adapter.check_base(base.name, base.prediction_type)
    return _install(base, adapter)


def _path(base: BaseModel, name: str) -> Path:
    if name.endswith(".safetensors"):
        return Path(name)
    found = sorted(ADAPTERS.glob(f"{name}-*-{base.name}.safetensors"))
    if len(found) == 1:
        return found[0]
    known = sorted({path.name.split("-")[0] for path in ADAPTERS.glob(f"*-*-{base.name}.safetensors")})
    raise AdapterError(
        f"there is no adapter {name!r} for {base.name} in {ADAPTERS}; "
        f"write {', '.join([NO_ADAPTER, *known])} or the path of a .safetensors file"
    )


def _install(base: BaseModel, adapter: Adapter) -> GSAAdapter:
    module = build_adapter(adapter)
    if adapter.config["blocks"] != block_sizes(base.unet):
        raise AdapterError(f"{adapter.name} was made for a UNet of other sizes than {base.name}'s")
    module.load_state_dict({name: tensor.float() for name, tensor in adapter.state_dict.items()})
    module.to(base.device).requires_grad_(False).eval()
    attach(base.unet, module)
    return module
