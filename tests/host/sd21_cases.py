"""What the full-size comparison draws, said once for both sides of it: ComfyUI's process and the test's."""

GRAPH = "small red dog | left of | large blue house\nlarge blue house | under | white cloud"
PHRASES = ("small red dog", "left of", "a (weighted:1.5) dog")
SIDE = 256  # pixels
CASES = {  # which adapters take part
    "base": (),
    "gsa": ("gsa",),
    "controlnet": ("controlnet",),
    "both": ("gsa", "controlnet"),
    "lora": ("lora",),
}
