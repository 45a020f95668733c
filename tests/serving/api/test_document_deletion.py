"""DELETE /v1/documents: for an admin who may see the document, once and for all."""

from pathlib import Path

import pytest

from serving.access.keys import Keys
from tests.serving.twin_server import twin
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.library import add_to_library, library_of

WORD = "zyquokka"
TEXT = f"The {WORD} paper says that a pier moves by eleven centimetres between a neap and a spring tide, every fortnight."


def test_a_document_is_erased_by_an_admin_who_may_see_it_and_stays_away(tmp_path: Path) -> None:
    with twin(tmp_path, ui_password="open sesame") as (server, _):
        lake = server.answers.lake
        persona = load_persona(server.settings.personas_dir, "runa")
        closed = persona.model_copy(update={"visibility": "connections"})
        gone = add_to_library(lake, closed, "https://x.example/paper", TEXT, title=f"On {WORD} and tides")
        kept = add_to_library(
            lake, persona, "https://x.example/other", "Another page that is about rope and nothing else."
        )
        keys = Keys(lake)
        bearer = {
            "writer": keys.create("writer", ["*"], ["write", "library"], audience="private")[0],
            "public": keys.create("public", ["*"], ["admin"], audience="public")[0],
            "owner": keys.create("owner", ["*"], ["admin", "library"], audience="private")[0],
        }

        def erase(
            who: str, doc_id: str = gone.doc_id, persona: str = "runa"
        ) -> tuple[int, dict[str, object]]:
            answer = server.client.delete(
                "/v1/documents", params={"persona": persona, "doc_id": doc_id}, headers={"Authorization": f"Bearer {bearer[who]}"}
            )  # fmt: skip
            assert WORD not in answer.text
            return answer.status_code, answer.json()

        assert erase("writer")[0] == 403
        assert erase("public")[0] == 404
        for nothing in ("../../raw", "0" * 16):
            assert erase("owner", doc_id=nothing)[0] == 404
        assert erase("owner", persona="nobody")[0] == 404
        assert set(library_of(lake, "runa")) == {gone.doc_id, kept.doc_id}

        status, told = erase("owner")
        assert status == 200
        assert (told["doc_id"], told["datasets"], told["models"]) == (gone.doc_id, {}, [])
        assert told["places"]["raw"] == 1  # type: ignore[index]
        assert set(library_of(lake, "runa")) == {kept.doc_id}
        assert WORD not in "".join(lake.read(key).decode("utf-8", "replace") for key in lake.keys(""))
        assert erase("owner")[0] == 404

        # Adding it again is refused and says why.
        with pytest.raises(TwinError, match="erased"):
            add_to_library(lake, persona, "https://x.example/paper", TEXT)
        page = {"Authorization": "Bearer open sesame", "X-Twin-UI": "1"}
        other = server.client.delete(
            "/v1/documents", params={"persona": "runa", "doc_id": kept.doc_id}, headers=page
        )
        assert other.status_code == 200
        assert library_of(lake, "runa") == {}
