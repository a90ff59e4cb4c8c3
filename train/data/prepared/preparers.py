"""The data sets that `prepare.py` prepares, a line each."""

from train.data.prepared import coco, laion_sg, layouts, own_folder, vg150, visual_genome
from train.data.prepared.preparer import PrepareOptions, Preparer, Source
from train.running.command_line import UsageError

PREPARERS: dict[str, Preparer] = {
    "vg": visual_genome.prepare_closed,
    "vg-open": visual_genome.prepare_open,
    "vg150": vg150.prepare_vg150,
    "coco": coco.prepare,
    "laion-sg": laion_sg.prepare,
    "folder": own_folder.prepare,
    "layouts": layouts.prepare,
}


def find_source(options: PrepareOptions) -> Source:
    """What the data set that the options name is read from; raises `UsageError` where nothing prepares it."""
    if options.dataset not in PREPARERS:
        raise UsageError(f"nothing prepares {options.dataset!r}; write one of: {', '.join(PREPARERS)}")
    if not options.data.is_dir():
        raise UsageError(f"there is no folder {options.data}; put the data set's files there (docs/data.md)")
    return PREPARERS[options.dataset](options)
