"""Past cases and policy passages as LangChain's `BaseRetriever`: a query goes in, LangChain documents come out."""

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from proveout.retrieval.memory import Memory
from proveout.retrieval.passages import Passages


class PastCases(BaseRetriever):
    """Cases like a text. Metadata: case, similarity (cosine), document_class, origin, position, and the case's `fields`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    memory: Memory
    k: int = 5
    position: int | None = None  # only what was known then

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        position = self.memory.position if self.position is None else self.position
        found = []
        for similar in self.memory.search(query, self.k, position):
            record = self.memory.answer(similar.case, position)
            assert record is not None  # it was found at this position
            about = {
                "case": similar.case,
                "similarity": similar.similarity,
                "document_class": record.document_class,
                "origin": record.origin,
                "fields": dict(record.fields),
                "position": position,
            }
            found.append(Document(page_content=record.text, metadata=about, id=similar.case))
        return found


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
