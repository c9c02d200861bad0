"""``dataclass`` for frozen records, made many times as fast as the standard library's.

Planning makes about ninety such classes when it is imported: with ``dataclasses.dataclass`` that
is half of the time of a small plan, for each class is compiled from six texts, and importing it
brings the parser and the disassembler along. Here one text is compiled (``__init__``, once a few
records were made without it); the other methods are shared, and the standard ``Field`` objects are
made when somebody asks.
Type checkers see the standard decorator, and ``fields``, ``replace``, ``asdict`` and pattern
matching work as with it: a test compares both.
"""

from __future__ import annotations

from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "field", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    MISSING = object()
    _FEW = 16
    """So many records of a class are made before its ``__init__`` is worth being compiled."""

    class _Item:
        """A field as it was declared."""

        __slots__ = ("compare", "default", "default_factory", "kw_only", "name", "repr", "type")

        def __init__(self, default: Any, default_factory: Any, shown: bool, compare: bool) -> None:
            self.default, self.default_factory = default, default_factory
            self.repr, self.compare = shown, compare

    def field(
        *,
        default: Any = MISSING,
        default_factory: Any = MISSING,
        repr: bool = True,  # noqa: A002 - the standard name
        compare: bool = True,
    ) -> Any:
        """Returns what ``dataclass`` takes a field's default and its part in methods from."""
        return _Item(default, default_factory, repr, compare)

    def replace(record: Any, /, **changes: Any) -> Any:
        """Returns a copy with some fields changed; of standard data classes too."""
        names = getattr(record, "__record_fields__", None)
        if names is None:
            import dataclasses

            return dataclasses.replace(record, **changes)
        for name in names:
            if name not in changes:
                changes[name] = getattr(record, name)
        return record.__class__(**changes)

    def dataclass(*, frozen: bool, slots: bool = False, kw_only: bool = False) -> Any:
        """Returns a decorator; only frozen classes are made, without order.

        Raises:
            TypeError: a class that the standard decorator would refuse, or one with
                ``__post_init__``: use the standard one there.
        """
        if not frozen:
            raise TypeError("only frozen records are made here")
        return lambda cls: _record(cls, slots, kw_only)

    class _StandardFields:
        """What ``dataclasses`` calls ``__dataclass_fields__``, made when it is asked for."""

        def __set_name__(self, owner: type, name: str) -> None:
            self.owner = owner

        def __get__(self, record: object, cls: type) -> dict[str, Any]:
            import dataclasses

            found = {}
            for name, item in self.owner.__record_fields__.items():
                given = {"repr": item.repr, "compare": item.compare, "kw_only": item.kw_only}
                if item.default is not MISSING:
                    given["default"] = item.default
                elif item.default_factory is not MISSING:
                    given["default_factory"] = item.default_factory
                made = found[name] = dataclasses.field(**given)
                made.name, made.type = name, item.type
                made._field_type = dataclasses._FIELD  # noqa: SLF001 - what ``fields`` looks for
            self.owner.__dataclass_fields__ = found
            return found

    def _record(cls: type, slots: bool, kw_only: bool) -> type:
        own = _own_fields(cls, kw_only)
        fields: dict[str, _Item] = {}
        for base in cls.__mro__[-1:0:-1]:
            if "__dataclass_fields__" in base.__dict__ and "__record_fields__" not in base.__dict__:
                raise TypeError(f"{cls.__qualname__} is built on {base.__qualname__}, no record")
            fields.update(getattr(base, "__record_fields__", {}))
        fields.update(own)
        shared = [name for name in fields if name not in own] if slots else ()
        body = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
        for name in own:
            body.pop(name, None)
        if slots:
            body["__slots__"] = tuple(own)
        body["__qualname__"] = cls.__qualname__
        body["__record_fields__"] = fields
        body["__dataclass_fields__"] = _StandardFields()
        body["__match_args__"] = tuple(f.name for f in fields.values() if not f.kw_only)
        made = type(cls)(cls.__name__, cls.__bases__, body)
        missing = [name for name in shared if not hasattr(made, name)]
        if missing or hasattr(made, "__post_init__"):
            raise TypeError(f"{cls.__qualname__} is no plain record: {missing}")
        _add_methods(made, fields, slots)
        return made

    def _own_fields(cls: type, kw_only: bool) -> dict[str, _Item]:
        own = {}
        for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063 - inspect is slow
            if "ClassVar" in str(annotation) or "InitVar" in str(annotation):
                raise TypeError(f"{cls.__qualname__}.{name} is no plain field")
            value = cls.__dict__.get(name, MISSING)
            if type(value).__hash__ is None:
                raise ValueError(f"{cls.__qualname__}.{name}: use default_factory")
            if type(value).__module__ == "dataclasses":
                raise TypeError(f"{cls.__qualname__}.{name}: use the field of ssds.core.records")
            found = value if isinstance(value, _Item) else field(default=value)
            found.name, found.type, found.kw_only = name, annotation, kw_only
            own[name] = found
        return own

    def _add_methods(cls: type, fields: dict[str, _Item], slots: bool) -> None:
        _check_order(cls, fields.values())
        values = _getter([f.name for f in fields.values() if f.compare])
        shown = tuple(f.name for f in fields.values() if f.repr)

        left = _FEW

        def first(self: Any, /, *given: Any, **named: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0 or not _filled(self, fields.values(), given, named):
                cls.__init__ = _init_of(cls, fields.values(), slots)
                cls.__init__(self, *given, **named)

        def equal(self: Any, other: object) -> Any:
            if other.__class__ is not self.__class__:
                return NotImplemented
            return self is other or values(self) == values(other)

        def text(self: Any) -> str:
            texts = [f"{name}={getattr(self, name)!r}" for name in shown]
            return f"{self.__class__.__qualname__}({', '.join(texts)})"

        cls.__init__ = first
        cls.__eq__ = equal
        cls.__hash__ = lambda self: hash(values(self))
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = recursive_repr()(text)
        cls.__setattr__ = _refuse
        cls.__delattr__ = _refuse
        cls.__getstate__ = _state
        cls.__setstate__ = _set_state

    def _filled(record: Any, fields: Any, given: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Sets the fields without a compiled ``__init__``; False where that has to say no."""
        values, at, used = {}, 0, 0
        for item in fields:
            name = item.name
            if name in named:
                values[name] = named[name]
                used += 1
            elif at < len(given) and not item.kw_only:
                values[name] = given[at]
                at += 1
            elif item.default is not MISSING:
                values[name] = item.default
            elif item.default_factory is not MISSING:
                values[name] = item.default_factory()
            else:
                return False
        if used != len(named) or at != len(given):
            return False
        for name, value in values.items():
            object.__setattr__(record, name, value)
        return True

    def _getter(names: list[str]) -> Any:
        if not names:
            return lambda _: ()
        getter = attrgetter(*names)
        return getter if len(names) > 1 else lambda record: (getter(record),)

    def _check_order(cls: type, fields: Any) -> None:
        optional = False
        for item in fields:
            if not item.kw_only:
                given = item.default is MISSING and item.default_factory is MISSING
                if optional and given:
                    raise TypeError(f"{cls.__qualname__}.{item.name} needs a default")
                optional = not given

    def _init_of(cls: type, fields: Any, slots: bool) -> Any:
        """Compiles ``__init__``; values go straight to their places."""
        bound: dict[str, Any] = {"MISSING": MISSING}
        positional, named, lines = [], [], []
        for number, item in enumerate(fields):
            name, value = item.name, item.name
            argument = name
            if item.default is not MISSING:
                bound[f"default{number}"] = item.default
                argument = f"{name}=default{number}"
            elif item.default_factory is not MISSING:
                bound[f"make{number}"] = item.default_factory
                argument = f"{name}=MISSING"
                value = f"make{number}() if {name} is MISSING else {name}"
            (named if item.kw_only else positional).append(argument)
            if slots:
                bound[f"set{number}"] = getattr(cls, name).__set__
                lines.append(f"  set{number}(self, {value})")
            else:
                lines.append(f"  self.__dict__[{name!r}] = {value}")
        arguments = ", ".join(["self", *positional, *(["*", *named] if named else [])])
        text = f"def make({', '.join(bound)}):\n def __init__({arguments}):\n"
        text += "\n".join(lines or ["  pass"]) + "\n return __init__"
        space: dict[str, Any] = {}
        exec(text, {"__name__": cls.__module__}, space)  # noqa: S102 - our own text, no outside
        init = space["make"](**bound)
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        return init

    def _refuse(self: Any, name: str, *_: object) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"{type(self).__qualname__}.{name} cannot change")

    def _state(self: Any) -> list[Any]:
        return [getattr(self, name) for name in self.__record_fields__]

    def _set_state(self: Any, state: list[Any]) -> None:
        for name, value in zip(self.__record_fields__, state, strict=True):
            object.__setattr__(self, name, value)
