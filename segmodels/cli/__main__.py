"""`python -m segmodels.cli`: the command where its script is not on the path."""

from segmodels.cli import main

main()
