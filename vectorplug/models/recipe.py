"""How a vectorizer cuts texts and vectors in all its calls, beyond the checkpoint's own recipe."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vectorplug.errors import ConfigurationError

__all__ = ["LEAST_LENGTH", "Recipe"]

# Two markers of the tokenizer, one of the role, and one token of the text.
LEAST_LENGTH = 4

Length = Annotated[int, Field(ge=LEAST_LENGTH)]


class Recipe(BaseModel):
    """What is cut; None is left whole.

    pool_factor      one token vector of a document is kept of so many
    document_length  the most tokens that are read of a document, its markers included
    query_length     the most tokens that are read of a query; where the checkpoint expands queries, to no more
    dimensions       numbers of a token's and of the dense vector, at unit norm
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pool_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    document_length: Length | None = None
    query_length: Length | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None

    @classmethod
    def of(cls, **options: Any) -> Self:
        """ConfigurationError for a value that no model could obey."""
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            expected = first["msg"].removeprefix("Input should be ")
            raise ConfigurationError(f"{first['loc'][0]} is {first['input']!r}, expected {expected}.") from error

    def within(self, *, tokens: int, dense: int, document: int, query: int) -> Self:
        """The same without what cuts nothing off such a model: its dims, and its limits (0: it has none).

        ConfigurationError for what the model cannot obey.
        """
        longest, wanted = {"document_length": document, "query_length": query}, self.model_dump()
        for name, most in {**longest, "dimensions": min(tokens, dense)}.items():
            if wanted[name] is None or not (most or name == "dimensions"):
                continue
            if wanted[name] > most:
                has = "the model's vectors have no more numbers" if name == "dimensions" else "the model reads no more"
                raise ConfigurationError(f"{name} is {wanted[name]}, expected at most {most}: {has}.")
            if wanted[name] == (max(tokens, dense) if name == "dimensions" else most):
                wanted[name] = None
        if wanted["pool_factor"] == 1:
            wanted["pool_factor"] = None
        return type(self)(**wanted)

    @property
    def fingerprint(self) -> str:
        """What is cut, such as ":doc128:query16:dims64:pool1.5"; "" where nothing is."""
        named = {
            "doc": self.document_length,
            "query": self.query_length,
            "dims": self.dimensions,
            "pool": self.pool_factor,
        }
        return "".join(f":{name}{_number(value)}" for name, value in named.items() if value is not None)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
