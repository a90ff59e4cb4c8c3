"""The variants of *Scene Graph Conditioning in Latent Diffusion*, a row each: nodes, scripts and comparison read this.

What a variant adds to its base is one adapter file, of a kind; (i) adds nothing, and (ii) a LoRA beside its file, as
(gc) does, which is another paper's: *Image Synthesis with Graph Conditioning*.
"""

from dataclasses import dataclass

# kinds of adapter files
GSA, LAYOUT_CONTROLNET, STRUCTURE_CLIP = "gsa", "layout-controlnet", "structure-clip"
LAYOUT = "layout"  # a pretrained layout, from which the ControlNet's training starts
GSA_START = "gsa-start"  # gated self-attention alone, from which training starts
GLIGEN = "gligen"  # GLIGEN's public weights, which need no training here
NOISED_CLIP = "noised-clip"  # the eye of guidance, which is no variant: it changes nothing of a base
GRAPH_CONDITIONING = "graph-conditioning"
GCA = "gca"  # a graph encoder that is aligned with CLIP, from which graph conditioning's training starts
KINDS = (GSA, LAYOUT_CONTROLNET, STRUCTURE_CLIP, LAYOUT, GSA_START, GLIGEN, NOISED_CLIP, GRAPH_CONDITIONING, GCA)

# phrase encoders, as adapter files and --phrases call them; Structure-CLIP is a kind of file and what it encodes with
CLIP, BERT = "clip", "bert"
PHRASE_ENCODERS = (CLIP, BERT, STRUCTURE_CLIP)


@dataclass(frozen=True)
class Variant:
    """One variant: what it gives the UNet of a graph, and through what."""

    name: str
    title: str
    kind: str | None  # of its adapter file; None: the graph is a caption, and there is no file
    phrases: str  # the phrase encoder
    method: str  # the word for it in file names
    is_lora: bool = False  # whether a LoRA belongs to it, beside the adapter file

    def file_name(self, base: str) -> str:
        """Of the adapter on a base, or of the LoRA where there is one: `vi-gsa-clip-sg-mini.safetensors`."""
        return f"{self.name}-{self.method}-{self.phrases}-{base}.safetensors"

    def adapter_names(self, base: str) -> list[str]:
        """The files in models/scene_graph that it is made of."""
        if self.kind is None:
            return []
        return [f"{self.kind}-{base}.safetensors" if self.is_lora else self.file_name(base)]


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("i", "text, CLIP", None, CLIP, "text"),
        Variant("ii", "text, Structure-CLIP, LoRA", STRUCTURE_CLIP, STRUCTURE_CLIP, "lora", is_lora=True),
        Variant("iii", "layout, BERT, ControlNet", LAYOUT_CONTROLNET, BERT, "controlnet"),
        Variant("iv", "layout, CLIP, ControlNet", LAYOUT_CONTROLNET, CLIP, "controlnet"),
        Variant("v", "embeddings, BERT, gated self-attention", GSA, BERT, "gsa"),
        Variant("vi", "embeddings, CLIP, gated self-attention", GSA, CLIP, "gsa"),
        Variant("vii", "embeddings, Structure-CLIP, gated self-attention", GSA, STRUCTURE_CLIP, "gsa"),
        Variant("gc", "graph conditioning, CLIP-aligned", GRAPH_CONDITIONING, CLIP, "lora", is_lora=True),
    )
}
SEVEN = ("i", "ii", "iii", "iv", "v", "vi", "vii")  # the paper's, which are compared side by side
CAPTION_VARIANT = "i"


def find_variant(kind: str, phrases: str) -> Variant:
    """The variant of a kind and a phrase encoder; `KeyError` if there is none."""
    found = [v for v in VARIANTS.values() if (v.kind, v.phrases) == (kind, phrases)]
    if not found:
        raise KeyError(f"no variant is {kind} with {phrases} phrases")
    return found[0]


def phrases_of(kind: str) -> list[str]:
    """The phrase encoders that variants of a kind are trained with."""
    return [v.phrases for v in VARIANTS.values() if v.kind == kind]


def files_in_words(kind: str) -> str:
    """Which files are of a kind, for a sentence: `variant v, vi or vii, such as vi-gsa-clip-sg-mini`."""
    of_kind = [v for v in VARIANTS.values() if v.kind == kind]
    *first, last = (v.name for v in of_kind)
    example = next((v for v in of_kind if v.phrases == CLIP), of_kind[0])
    names = f"{', '.join(first)} or {last}" if first else last
    return f"variant {names}, such as {example.adapter_names('sg-mini')[0].removesuffix('.safetensors')}"


def noised_clip_name(base: str) -> str:
    """The file of the eye for noise on a base."""
    return f"{NOISED_CLIP}-{base}.safetensors"


def structure_clip_name(base: str) -> str:
    """The file of Structure-CLIP's knowledge encoder on a base, which (ii) and (vii) start from."""
    return f"{STRUCTURE_CLIP}-{base}.safetensors"
