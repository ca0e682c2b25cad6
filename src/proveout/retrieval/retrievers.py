"""Past cases and policy passages as LangChain's `BaseRetriever`, and the encoder as its `Embeddings`.

They are apart from what they offer, because importing LangChain takes longer than most searches.
"""

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from proveout.retrieval.encoder import Encoder
from proveout.retrieval.memory import Memory
from proveout.retrieval.passages import Passages


class TextEmbeddings(Embeddings):
    """`Encoder.encode` with lists instead of arrays."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.encoder.encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class PastCases(BaseRetriever):
    """Cases similar to a text. Metadata: case, similarity (cosine), document_class, origin, fields, and the search position."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    memory: Memory
    k: int = 5
    position: int | None = None  # search as of this position; None: now

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        position = self.memory.position if self.position is None else self.position
        documents = []
        for similar in self.memory.search(query, self.k, position):
            record = self.memory.answer(similar.case, position)
            assert record is not None  # because the search has the same position
            metadata = {
                "case": similar.case,
                "similarity": similar.similarity,
                "document_class": record.document_class,
                "origin": record.origin,
                "fields": dict(record.fields),
                "position": position,
            }
            documents.append(Document(page_content=record.text, metadata=metadata, id=similar.case))
        return documents


class PolicyPassages(BaseRetriever):
    """Paragraphs of the policy in words. Metadata: heading, line, similarity (cosine)."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    passages: Passages
    k: int = 3

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [
            Document(
                page_content=passage.text,
                metadata={"heading": passage.heading, "line": passage.line, "similarity": similarity},
            )
            for passage, similarity in self.passages.search(query, self.k)
        ]
