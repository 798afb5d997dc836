"""The experiments of the book: one file each, e01, e02 and so on, numbered like the chapters.

Each has `run(seed=0, quick=True) -> dict`: quick is what a page runs live, the full run is what `python -m mambaedu.lab.experiments e02` records.
"""
