"""Exact MaxSim as LlamaIndex's node postprocessor."""

from llama_index.core.bridge.pydantic import Field
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import SkipValidation

from vectorplug.errors import InputError
from vectorplug.search.reranking import best, scores_of
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["VectorplugRerank"]


class VectorplugRerank(BaseNodePostprocessor):
    """Ranks nodes by exact MaxSim with the question, which becomes their score, and keeps the `top_n` best.

    All are kept where `top_n` is None. `vectorizer` is a `Vectorizer` or what `Vectorizer.remote` gives.
    """

    vectorizer: SkipValidation[TextVectorizer] = Field(exclude=True, description="What encodes question and nodes.")
    top_n: int | None = Field(default=None, ge=1, description="How many nodes are kept; None is all.")

    @classmethod
    def class_name(cls) -> str:
        """The name in LlamaIndex's events."""
        return "VectorplugRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("there is no question to rank the nodes by: give query_bundle or query_str.")
        texts = [node.node.get_content(MetadataMode.EMBED) for node in nodes]
        scores, _ = scores_of(self.vectorizer, query_bundle.query_str, texts)
        return [NodeWithScore(node=nodes[place].node, score=float(scores[place])) for place in best(scores, self.top_n)]
