"""`python -m benchmarks.pages`: write the figures of benchmarks/results/ into the pages that show them."""

from benchmarks.pages.curves import write_pictures
from benchmarks.pages.tables import PAGES, ROOT, filled

if __name__ == "__main__":
    for page in PAGES:
        text = filled(page)
        print(f"{page}: {'as it was' if text == (ROOT / page).read_text() else 'written'}")
        (ROOT / page).write_text(text)
    write_pictures()
