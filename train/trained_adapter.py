"""Finding a trained adapter by the name of its variant and putting it into a base."""

from pathlib import Path

from sg_models.adapter import Adapter, AdapterError, read_adapter
from sg_models.gsa_adapter import GSAAdapter, build_adapter
from sg_models.phrase_features import RememberedPhrases
from train.base_model import ADAPTERS, BaseModel
from train.conditioning import CaptionConditioner, Conditioner, GroundedConditioner
from train.grounded_unet import attach, block_sizes
from train.phrase_encoders import phrase_encoder

NO_ADAPTER = "none"  # variant (i): the graph as a caption


def load_variant(base: BaseModel, name: str, bert: str | None = None) -> Conditioner:
    """The variant of a name (`vi`) or of the adapter file at a path, put into the base; the caption for `none`.

    `bert` names another BERT than the packaged one. Raises `AdapterError` where there is no such adapter, or where it
    does not fit the base.
    """
    if name == NO_ADAPTER:
        return CaptionConditioner(base)
    file = read_adapter(_path(base, name))
    file.check_base(base.name, base.prediction_type)
    adapter, encoder = _install(base, file), phrase_encoder(file.phrase_encoder, base, bert)
    if encoder.dim != adapter.config["phrase_dim"]:
        raise AdapterError(
            f"{file.name} was trained on phrases of {adapter.config['phrase_dim']} numbers, this {encoder.name} gives "
            f"{encoder.dim}; name the one it was trained with"
        )
    return GroundedConditioner(base, adapter, RememberedPhrases(encoder))


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
