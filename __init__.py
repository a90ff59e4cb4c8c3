"""Scene graph conditioning for Stable Diffusion 2.1: the entry point that ComfyUI calls.

Nothing is imported before ComfyUI asks for the nodes, so that tools which import this file by accident (pytest in the
repository root does) need neither ComfyUI nor torch.
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .nodes.extension import SceneGraphExtension

    return SceneGraphExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
