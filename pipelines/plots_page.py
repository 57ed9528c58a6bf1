"""The page that `dvc plots show` fills, with the plotting library inside: python pipelines/plots_page.py FILE

DVC's own page loads its library from the internet. `.dvc/config` names this one instead.
"""

import sys
from pathlib import Path

from segmodels.report.page.charts import library

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Plots of the pipeline</title>
<script>{library}</script>
</head>
<body>{{plot_divs}}</body>
</html>
"""

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(PAGE.format(library=library()), encoding="utf-8")
