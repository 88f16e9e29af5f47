"""The CTC heads of a model, and which of them is to write."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from embedsvc.encoder.ctc import CtcHead, with_language_model
from embedsvc.errors import FeatureDisabled, HeadNotFound, InvalidArgument
from embedsvc.languages import normalize
from embedsvc.types import HeadInfo, HeadKind


class Heads:
    """All heads that are served, by name; those that were `added` come first for their language."""

    def __init__(self, heads: Iterable[CtcHead], added: Iterable[str] = ()) -> None:
        self._heads = {head.info.name: head for head in sorted(heads, key=lambda h: h.info.name)}
        self._added = frozenset(added)

    def left_out(self) -> dict[str, str]:
        """Why the calibration beside a head is not used, by its name."""
        return {name: head.left_out for name, head in self._heads.items() if head.left_out}

    def joined(self, more: Sequence[CtcHead]) -> "Heads":
        """These and others, which were added to them."""
        names = (head.info.name for head in more)
        return Heads([*self._heads.values(), *more], self._added.union(names))

    def infos(self) -> tuple[HeadInfo, ...]:
        """What each of them is."""
        return tuple(head.info for head in self._heads.values())

    def on(self, body: str) -> tuple[str, ...]:
        """Names of those that read the states of a body."""
        return tuple(name for name, head in self._heads.items() if head.body.key == body)

    def with_language_models(self, paths: Mapping[str, Path]) -> "Heads":
        """The same, some with the language model of a folder or a file, by the name of the head.

        Raises HeadNotFound, and FailedPrecondition for what cannot be used.
        """
        if not paths:
            return self
        given = {
            name: with_language_model(self._named(name, "", ""), path.expanduser())
            for name, path in paths.items()
        }
        return Heads((self._heads | given).values(), self._added)

    def chosen(self, name: str = "", language: str = "", prefix: str = "") -> CtcHead:
        """The head of that name, or one that writes the language; `prefix` leads to the fields.

        With neither it is the only one there is, or else the only one for any language. Raises
        FeatureDisabled without any head, HeadNotFound, and InvalidArgument for a language that the
        head named does not write, or for a choice that is left open.
        """
        if not self._heads:
            raise FeatureDisabled(
                "`model` must have a CTC head to write down speech, or one of another model beside "
                "it (--head), but there is none"
            )
        code = self._code(language, f"{prefix}language_code") if language else ""
        if name:
            return self._named(name, code, prefix)
        return self._writing(code, prefix) if code else self._usual(prefix)

    def written_language(self, head: CtcHead, language: str) -> str:
        """Code of the language that `head` writes when it is asked for `language`, or for none.

        It is "" where neither says which. Raises InvalidArgument as `chosen` does.
        """
        if language:
            return self._code(language, "language_code")
        return head.info.languages[0] if len(head.info.languages) == 1 else ""

    def _code(self, language: str, field: str) -> str:
        try:
            return normalize(language)
        except InvalidArgument as error:
            # Models know languages that the table does not.
            if any(language in head.info.languages for head in self._heads.values()):
                return language
            raise InvalidArgument(
                f"`{field}` must be a language of ISO 639 or BCP 47, but is {language[:100]!r}",
                field=field,
            ) from error

    def _named(self, name: str, code: str, prefix: str) -> CtcHead:
        head = self._heads.get(name)
        if head is None:
            raise HeadNotFound(
                f"`{prefix}head` must be one of {self._told()}, but is {name[:200]!r}",
                field=f"{prefix}head",
                name=name[:200],
            )
        if code and not _writes(head, code):
            raise InvalidArgument(
                f"`{prefix}language_code` must be one that {name!r} writes "
                f"({', '.join(head.info.languages)}), but is {code!r}",
                field=f"{prefix}language_code",
            )
        return head

    def _writing(self, code: str, prefix: str) -> CtcHead:
        """Text rather than phones, for this language rather than for any, and what was added."""
        fit = [head for head in self._heads.values() if _writes(head, code)]
        if not fit:
            raise HeadNotFound(
                f"`{prefix}language_code` must be one that a head writes, but none of "
                f"{self._told()} writes {code!r}",
                field=f"{prefix}language_code",
                name=code,
            )
        return min(fit, key=self._rank)

    def _rank(self, head: CtcHead) -> tuple[bool, bool, bool]:
        info = head.info
        return info.kind is not HeadKind.TEXT, not info.languages, info.name not in self._added

    def _usual(self, prefix: str) -> CtcHead:
        heads = list(self._heads.values())
        if len(heads) > 1:
            heads = [head for head in heads if not head.info.languages]
        if len(heads) != 1:
            raise InvalidArgument(
                f"`{prefix}head` must be set, to one of {self._told()}, where there are several",
                field=f"{prefix}head",
            )
        return heads[0]

    def _told(self) -> str:
        return ", ".join(self._heads)


def _writes(head: CtcHead, code: str) -> bool:
    return not head.info.languages or code in head.info.languages
