"""What most scripts do: list a board and fetch its files, one after the other, with requests.

python -m bench.plain URL FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import requests

HEADERS = {"User-Agent": "a script"}  # boards refuse that of requests
AGAINST_HANGING_S = 30.0


def main(words: list[str]) -> None:
    """Write every file of the board at that address into that folder."""
    address, folder = words[0], Path(words[1])
    folder.mkdir(parents=True, exist_ok=True)
    page = ""
    while posts := _get(f"{address}/posts.json?limit=200{page}").json():
        for post in posts:
            (folder / f"{post['id']}.{post['file_ext']}").write_bytes(_get(post["file_url"]).content)
        page = f"&page=b{posts[-1]['id']}"


def _get(url: str) -> requests.Response:
    answer = requests.get(url, headers=HEADERS, timeout=AGAINST_HANGING_S)
    answer.raise_for_status()
    return answer


if __name__ == "__main__":
    main(sys.argv[1:])
