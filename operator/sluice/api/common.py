"""What all resource models share."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from sluice.api.units import JSON
from sluice.errors import InvalidSpec


class Model(BaseModel):
    """A frozen part of a resource; camelCase outside, snake_case inside; unknown fields are dropped."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    @classmethod
    def parse(cls, value: object, where: str) -> Self:
        """Parse what the API server holds.

        Args:
            value: the JSON value.
            where: for the message, such as `Rollout shop/checkout: spec`.

        Raises:
            InvalidSpec: the first three problems, each with its field.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])[:120]}: {item['msg'][:200]}"
                for item in error.errors()[:3]
            )
            raise InvalidSpec("InvalidSpec", f"{where}: {problems}") from error

    def dump(self) -> JSON:
        """The JSON form, without fields that are unset (None)."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ObjectRef(Model):
    """Who an object is."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class LabelRequirement(Model):
    """One of a selector's expressions."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Model):
    """A Kubernetes label selector. Empty matches everything."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelRequirement, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether the labels satisfy every requirement. Pure.

        An operator that is not one of In, NotIn, Exists, DoesNotExist matches nothing (the CRD refuses it).
        """
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _satisfied(requirement, labels) for requirement in self.match_expressions
        )


def _satisfied(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    match requirement.operator:
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels
    return False
