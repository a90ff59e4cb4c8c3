"""Prepares a data set of pictures with scene graphs for training: filters, crops and checks it, once.

    python train/prepare.py vg --data <folder with Visual Genome's files>
    python train/train_gsa.py --base sd21-base --dataset vg --data <the same folder>

docs/data.md says for every data set what to put where, what is left out, and under which licence it is.
"""

from train.data.prepared.downloads import fetch
from train.data.prepared.preparation import prepare, summary
from train.data.prepared.preparer import PrepareOptions
from train.data.prepared.preparers import find_source
from train.running.command_line import run


def main(options: PrepareOptions) -> None:
    if options.download:
        fetch(options)
    for line in summary(prepare(find_source(options), options)):
        print(line)


if __name__ == "__main__":
    run(main, PrepareOptions)
