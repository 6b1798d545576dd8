"""`python -m understudy`."""

from __future__ import annotations

from understudy.cli import main

if __name__ == "__main__":
    main.main()
