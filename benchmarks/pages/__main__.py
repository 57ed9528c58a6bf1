"""`python -m benchmarks.pages`: write the figures of benchmarks/results/ into the pages that show them."""

from benchmarks.pages.tables import PAGES, ROOT, filled

if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(filled(page))
