"""The tables of variants and bases: what is shipped is what they say, and whoever reads them finds everything."""

from pathlib import Path

import pytest

from sg_models.adapters.adapter import read_adapter
from sg_models.adapters.variants import (
    KINDS,
    PHRASE_ENCODERS,
    SEVEN,
    VARIANTS,
    files_in_words,
    find_variant,
    phrases_of,
)
from sg_models.bases.known_bases import BASES, find_base

MODELS = Path(__file__).resolve().parents[3] / "models"


def test_names_are_the_papers():
    assert SEVEN == ("i", "ii", "iii", "iv", "v", "vi", "vii")
    assert list(VARIANTS) == [*SEVEN, "gc"]
    assert VARIANTS["vi"].file_name("sg-mini") == "vi-gsa-clip-sg-mini.safetensors"


def test_a_lora_lies_beside_a_file_that_is_named_after_its_kind():
    assert VARIANTS["ii"].adapter_names("sd21") == ["structure-clip-sd21.safetensors"]
    assert VARIANTS["gc"].adapter_names("sd21") == ["graph-conditioning-sd21.safetensors"]
    assert VARIANTS["gc"].file_name("sd21") == "gc-lora-clip-sd21.safetensors"


@pytest.mark.parametrize("variant", [VARIANTS[name] for name in SEVEN if VARIANTS[name].kind], ids=lambda v: v.name)
def test_shipped_files_are_what_the_table_says(variant):
    (name,) = variant.adapter_names("sg-mini")
    file = read_adapter(MODELS / "scene_graph" / name)
    assert (file.kind, file.phrase_encoder, file.base) == (variant.kind, variant.phrases, "sg-mini")
    if variant.is_lora:
        assert (MODELS / "loras" / variant.file_name("sg-mini")).is_file()


def test_every_row_is_found_by_its_kind_and_phrases():
    for variant in VARIANTS.values():
        if variant.kind:
            assert variant.kind in KINDS and variant.phrases in PHRASE_ENCODERS
            assert find_variant(variant.kind, variant.phrases) is variant
            assert variant.phrases in phrases_of(variant.kind)
    with pytest.raises(KeyError, match="no variant is gsa with other phrases"):
        find_variant("gsa", "other")


def test_files_of_a_kind_in_words():
    assert files_in_words("gsa") == "variant v, vi or vii, such as vi-gsa-clip-sg-mini"
    assert files_in_words("layout-controlnet") == "variant iii or iv, such as iv-controlnet-clip-sg-mini"
    assert files_in_words("structure-clip") == "variant ii, such as structure-clip-sg-mini"
    assert files_in_words("graph-conditioning") == "variant gc, such as graph-conditioning-sg-mini"


def test_every_base_is_found_by_what_it_is():
    for base in BASES.values():
        assert find_base(base.family, base.prediction_type) is base
    assert find_base("sg-mini", "v_prediction") is None
