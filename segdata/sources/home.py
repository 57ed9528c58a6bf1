"""Where the data of the sources that ship lie: source files, `tables/` of labels, and `lists/` of frames."""

from pathlib import Path

HOME = Path(__file__).parents[1] / "datasets"
