"""What the comparison of GLIGEN draws, said once for both sides of it: ComfyUI's process and the test's."""

GRAPH = (
    "small red dog @ 0.0625 0.5 0.4375 0.9375 | left of | large blue house @ 0.5 0.1875 0.9375 0.875\n"
    "white cloud @ 0.3125 0 0.6875 0.25"
)
SMALL = "red dot @ 0.5 0.5 0.6 0.9"  # 1.6 cells of 16 across
SIDE = 128  # pixels; boxes lie on its grid of 8, which core's node rounds to
TEXT_LAYERS = 3  # of the 2.x text model, whose last one nothing is conditioned on
STEPS, END, CFG = 5, 0.4, 7.5
BASES = {"sd15": ("SD15", "clip_l", "textbox-1"), "sd21-base": ("SD20", "clip_h", "textbox-2")}
