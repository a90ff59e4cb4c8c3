"""Phrase vectors from a checkpoint's own CLIP or from a BERT: the phrase encoders of this host."""

from collections.abc import Sequence

import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import torch
from einops import rearrange

from ..sg_models.adapters.phrase_features import mean_over_real
from .socket_types import LoadedBert

MAX_TOKENS = 77  # as in training
NO_CLIP = (
    "Phrases are read by CLIP here, and the clip that is connected is {names}. Connect the CLIP output of the Load "
    "Checkpoint node that the model comes from."
)

NO_PROJECTION = (
    "{node} holds pictures against texts, and the clip that is connected cannot: its checkpoint lacks the projection "
    "into the space of pictures. Load the whole CLIP that the base was made with in Load CLIP."
)

Token = tuple[int, float]


def clip_vectors(clip: comfy.sd.CLIP, phrases: Sequence[str]) -> torch.Tensor:
    """Each phrase's hidden state at its end-of-text token, in the layer that the UNet is conditioned on.

    All phrases go through the text model in one batch. A clip-skip setting is ignored: adapters are trained on the
    base's own conditioning layer. Returns float32 vectors [P, D] of P > 0 phrases.
    """
    states, ends = text_states(clip, phrases)
    return states[torch.arange(len(phrases)), ends]


def text_states(clip: comfy.sd.CLIP, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """The UNet's context for texts, and the places of their end-of-text tokens: float32 [P, 77, D] and [P].

    As `clip_vectors` reads phrases: literally, in one batch, and without clip skip.
    """
    sections, ends = zip(*(tokenize(clip, text) for text in texts), strict=True)
    clip = clip.clone()
    clip.layer_idx = None
    hidden = clip.encode_from_tokens({clip.tokenizer.clip_name: list(sections)})
    return rearrange(hidden, "1 (p l) d -> p l d", p=len(texts)), torch.tensor(ends)


def caption_states(clip: comfy.sd.CLIP, text: str) -> torch.Tensor:
    """The UNet's context for a text that is taken literally and cut at CLIP's length: [1, 77, D], float32."""
    return text_states(clip, [text])[0]


def literal_states(clip: comfy.sd.CLIP, texts: Sequence[str]) -> torch.Tensor:
    """The UNet's context for texts that are taken literally, each cut at CLIP's length: [P, 77, D], float32.

    As in *CLIP Text Encode* a clip-skip setting counts, and SDXL's two text models both read. Raises `ValueError` in
    words for text models other than CLIP.
    """
    names = clip.tokenize("").keys()
    if not all(hasattr(clip.tokenizer, f"clip_{name}") for name in names):
        raise ValueError(NO_CLIP.format(names=" and ".join(names)))
    readers = {name: getattr(clip.tokenizer, f"clip_{name}") for name in names}
    sections = {name: [tokens_of(words, text)[0] for text in texts] for name, words in readers.items()}
    return rearrange(clip.encode_from_tokens(sections), "1 (p l) d -> p l d", p=len(texts))


def text_vectors(clip: comfy.sd.CLIP, texts: Sequence[str], node: str) -> torch.Tensor:
    """Texts, taken literally, in the space that CLIP shares with pictures: float32 vectors [P, D] of unit length.

    Raises `ValueError` in words, in the name of a node, for text models other than one CLIP, and for a CLIP whose
    checkpoint lacks the projection into that space, as those of Stable Diffusion 1.x do.
    """
    names = clip.tokenize("").keys()
    if len(names) != 1 or not all(hasattr(clip.tokenizer, f"clip_{name}") for name in names):
        raise ValueError(NO_CLIP.format(names=" and ".join(names)))
    model = getattr(clip.cond_stage_model, clip.cond_stage_model.clip).transformer
    projection = model.text_projection.weight
    if torch.equal(projection.float().cpu(), torch.eye(len(projection))):
        raise ValueError(NO_PROJECTION.format(node=node))
    clip = clip.clone()
    clip.layer_idx = None
    vectors = {}
    for text in dict.fromkeys(texts):
        section, _ = tokenize(clip, text)
        _, vectors[text] = clip.encode_from_tokens({clip.tokenizer.clip_name: [section]}, return_pooled=True)
    found = torch.cat([vectors[text] for text in texts]).float()
    return found / found.norm(dim=-1, keepdim=True)


def word_means(clip: comfy.sd.CLIP, words: Sequence[str], length: int) -> torch.Tensor:
    """Words as the mean of at most `length` of their tokens' embeddings: float32 vectors [P, W]."""
    comfy.model_management.load_models_gpu([clip.patcher])
    text_model = getattr(clip.cond_stage_model, clip.cond_stage_model.clip)
    table = text_model.transformer.get_input_embeddings().weight
    tokenizer = getattr(clip.tokenizer, clip.tokenizer.clip).tokenizer
    rows = [tokenizer(word)["input_ids"][1:-1][:length] for word in words]
    return torch.stack([table[row].float().mean(dim=0) for row in rows])


def bert_vectors(bert: LoadedBert, phrases: Sequence[str]) -> torch.Tensor:
    """The mean over each phrase's real tokens in BERT's last layer: float32 vectors [P, D]."""
    comfy.model_management.load_models_gpu([bert.patcher])
    batch = bert.tokenizer(list(phrases), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    batch = batch.to(bert.patcher.load_device)
    states = bert.patcher.model["bert"](**batch).last_hidden_state  # [P, L, D]
    keep = comfy.model_management.intermediate_device()
    return mean_over_real(states.float(), batch["attention_mask"]).to(keep)


def tokenize(clip: comfy.sd.CLIP, phrase: str) -> tuple[list[Token], int]:
    """The phrase's tokens, padded, all of weight one, and the place of its end-of-text token.

    The phrase is taken literally: ComfyUI's prompt syntax, in which brackets are weights and `embedding:` opens a
    file, is a matter for prompts.
    """
    return tokens_of(getattr(clip.tokenizer, clip.tokenizer.clip), phrase)


def tokens_of(words: comfy.sd1_clip.SDTokenizer, phrase: str) -> tuple[list[Token], int]:
    """`tokenize` with one of a CLIP's tokenizers: SDXL has two."""
    ids = words.tokenizer(phrase, truncation=True, max_length=words.max_length)["input_ids"]
    padding = [words.pad_token] * (words.max_length - len(ids))
    return [(token, 1.0) for token in ids + padding], ids.index(words.end_token)
