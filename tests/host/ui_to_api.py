"""Turns a workflow as the front end saves it into the prompt that the server runs.

The front end does this in the browser; here `/object_info` says which inputs are widgets and in what order their values
are saved.
"""

from typing import Any

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
WITHOUT_CODE = {"Note", "MarkdownNote"}


def api_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The API form of a front-end workflow (version 0.4, no subgraphs)."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in WITHOUT_CODE:
            continue
        inputs = widget_values(node, object_info[node["type"]])
        inputs |= {slot["name"]: sources[slot["link"]] for slot in node["inputs"] if slot["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def widget_values(node: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """The values in a node's widgets, by input; every saved value must belong to one.

    As in the front end, a workflow that was saved before a node had its last widgets leaves them at their defaults.
    """
    specs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    order = info["input_order"].get("required", []) + info["input_order"].get("optional", [])
    saved = iter(node["widgets_values"])
    values = {}
    for name in order:
        kind, *options = specs[name]
        if not isinstance(kind, list) and kind not in WIDGET_TYPES:
            continue
        values[name] = next(saved, options[0].get("default") if options else None)
        if options and options[0].get("control_after_generate"):
            next(saved, None)  # the choice of "fixed", "increment" … beside a seed
    left = list(saved)
    assert not left, f"{node['type']} {node['id']} has values that belong to no widget: {left}"
    return values
