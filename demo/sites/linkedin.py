"""LinkedIn's Member Data Portability API: memberSnapshotData, ten posts a page."""

from demo.sites.answers import Answer, Question
from demo.sites.writing import Piece

PAGE = 10
VISIBILITY = {"public": "PUBLIC", "connections": "CONNECTIONS"}


def answer(question: Question) -> Answer:
    """One page of a domain's snapshot; 404 past the end, as the real API answers."""
    if question.path != "/rest/memberSnapshotData":
        return _error(404, "Resource not found")
    if not question.headers.get("authorization", "").startswith("Bearer ") or _is_bad_token(question):
        return _error(401, "Invalid access token")
    if question.headers.get("linkedin-version") != "202312":
        return _error(426, "Requested version is not active")
    if question.query.get("q") != "criteria":
        return _error(400, "Parameter q is required")
    start = int(question.query.get("start", "0"))
    posts = question.writing.linkedin if question.query.get("domain") == "MEMBER_SHARE_INFO" else []
    page = posts[start * PAGE : (start + 1) * PAGE]
    if not page:
        return _error(404, "No data found for this memberId")
    links = []
    if (start + 1) * PAGE < len(posts):
        href = f"/rest/memberSnapshotData?q=criteria&domain=MEMBER_SHARE_INFO&start={start + 1}"
        links.append({"type": "application/json", "rel": "next", "href": href})
    return Answer.json(
        {
            "paging": {"start": start, "count": PAGE, "links": links},
            "elements": [{"snapshotData": [_share(p) for p in page], "snapshotDomain": "MEMBER_SHARE_INFO"}],
        }
    )


def _is_bad_token(question: Question) -> bool:
    return question.headers["authorization"] == "Bearer expired"


def _error(status: int, message: str) -> Answer:
    return Answer.json({"status": status, "code": "ERROR", "message": message}, status)


def _share(piece: Piece) -> dict[str, str]:
    return {
        "Date": piece.date.strftime("%Y-%m-%d %H:%M:%S"),
        "ShareLink": f"https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A{piece.id}",
        "ShareCommentary": piece.text,
        "SharedUrl": piece.fields.get("shared_url") or "",
        "MediaUrl": "",
        "Visibility": VISIBILITY.get(piece.fields.get("visibility", "public"), "CONNECTIONS"),
    }
