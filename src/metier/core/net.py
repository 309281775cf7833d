"""Finds out within seconds whether a model hub answers at all. Knows nothing about what is asked of it."""

from __future__ import annotations

import threading

HUB_SECONDS = 4.0  # how long a hub may take to answer


def hub_answers(endpoint: str) -> bool:
    """Whether a hub answers within seconds; its own client would retry for minutes."""
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(_head(endpoint)), daemon=True)
    asking.start()
    asking.join(HUB_SECONDS + 1)  # looking up a name has no timeout of its own
    return bool(answers and answers[0])


def _head(endpoint: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code != 403
    except (OSError, ValueError):
        return False
